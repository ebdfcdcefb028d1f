"""The names of the schedulers, and the settings that each of them supports.

A scheduler has a short name, a diffusers class, and options for this class ("dpmpp-2m-sde" is
``DPMSolverMultistepScheduler`` with another ``algorithm_type``). Labels of A1111
("DPM++ 2M Karras") and CompVis ("k_euler_a") and diffusers' class names are accepted too.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdloop.errors import SettingError

SIGMAS = ("karras", "exponential", "beta", "uniform")
AYS = "ays"  # Align Your Steps: a table, unlike the others, which are formulas
SPACINGS = ("leading", "trailing", "linspace")
BY_STRENGTH = "strength"  # LCM's for img2img: all steps, below the noise level of the strength


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerName:
    """One scheduler.

    ``knows`` lists the optional settings that it supports: ``sigmas`` (other spacings of the noise
    levels), ``spacing`` (``timestep_spacing``), ``timesteps`` and ``sigmas_list`` (explicit lists),
    ``ays`` (Align Your Steps), ``by_strength`` (see ``BY_STRENGTH``), ``step_noise`` (it draws
    noise in its steps, one with ``eta`` only if that is above 0) and ``eta``; ``sample``, if it
    supports this prediction type; and ``edm``, if it is only for UNets trained with EDM (Karras et
    al. 2022, arXiv:2206.00364).
    ``descent`` is a torch optimiser used as a scheduler, see ``sdloop.schedulers.optimisers``, and
    ``decay`` says that it has a ``weight_decay``.
    """

    name: str
    class_name: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    knows: frozenset[str] = frozenset()


def _entry(
    name: str, class_name: str, label: str, knows: str = "", **options: Any
) -> SchedulerName:
    return SchedulerName(
        name=name,
        class_name=f"{class_name}Scheduler",
        label=label,
        options=options,
        knows=frozenset(knows.split()),
    )


def _optimiser(
    name: str, class_name: str, learning_rate: float, knows: str = "decay", **options: Any
) -> SchedulerName:
    return SchedulerName(
        name=name,
        class_name=f"torch.optim.{class_name}",
        label=class_name if name == class_name.lower() else name.capitalize(),
        options={"learning_rate": learning_rate, **options},
        knows=frozenset({"descent", "sample", *knows.split()}),
    )


_LISTED = "sigmas timesteps ays sample"
_DPMPP = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}

SCHEDULERS: Mapping[str, SchedulerName] = {
    entry.name: entry
    for entry in (
        _entry("ddim", "DDIM", "DDIM", "spacing eta step_noise sample"),
        _entry("ddpm", "DDPM", "DDPM", "spacing timesteps ays step_noise sample"),
        _entry("pndm", "PNDM", "PLMS", "spacing", skip_prk_steps=True),
        _entry("lms", "LMSDiscrete", "LMS", "sigmas spacing sample"),
        _entry(
            "euler", "EulerDiscrete", "Euler", "sigmas spacing timesteps sigmas_list ays sample"
        ),
        _entry("euler-a", "EulerAncestralDiscrete", "Euler a", "spacing step_noise"),
        _entry("heun", "HeunDiscrete", "Heun", "sigmas spacing timesteps ays sample"),
        _entry("dpm2", "KDPM2Discrete", "DPM2", "sigmas spacing"),
        _entry("dpm2-a", "KDPM2AncestralDiscrete", "DPM2 a", "sigmas spacing step_noise"),
        _entry("dpmpp-2m", "DPMSolverMultistep", "DPM++ 2M", f"{_LISTED} spacing", **_DPMPP),
        _entry("dpmpp-2m-sde", "DPMSolverMultistep", "DPM++ 2M SDE", f"{_LISTED} spacing", **_SDE),
        _entry("dpmpp-2s", "DPMSolverSinglestep", "DPM++ 2S", _LISTED, **_DPMPP),
        _entry("dpmpp-sde", "DPMSolverSDE", "DPM++ SDE", "sigmas spacing"),
        _entry("deis", "DEISMultistep", "DEIS", "sigmas spacing sample"),
        _entry("unipc", "UniPCMultistep", "UniPC", "sigmas spacing sample"),
        _entry("sa-solver", "SASolver", "SA-Solver", "sigmas spacing step_noise sample"),
        _entry("lcm", "LCM", "LCM", "timesteps by_strength step_noise sample"),
        _entry("tcd", "TCD", "TCD", "eta timesteps step_noise sample"),
        _entry("edm-euler", "EDMEuler", "EDM Euler", "edm"),
        _entry("edm-dpmpp-2m", "EDMDPMSolverMultistep", "EDM DPM++ 2M", "edm"),
        # Smaller betas than usual, so that Adam forgets sooner: there are only about 15 steps.
        _optimiser("adam", "Adam", 1.2, betas=(0.5, 0.9)),
        _optimiser("adamw", "AdamW", 1.2, betas=(0.5, 0.9), weight_decay=0.01),
        _optimiser("nadam", "NAdam", 1.2, betas=(0.5, 0.9)),
        _optimiser("radam", "RAdam", 0.6),
        _optimiser("adamax", "Adamax", 0.9, betas=(0.5, 0.9)),
        _optimiser("adagrad", "Adagrad", 1.6),
        _optimiser("adadelta", "Adadelta", 300.0),
        _optimiser("rmsprop", "RMSprop", 0.3, alpha=0.9),
        _optimiser("rprop", "Rprop", 0.3, ""),
        _optimiser("sgd", "SGD", 0.3),
        _optimiser("asgd", "ASGD", 0.3),
        _optimiser("momentum", "SGD", 0.2, momentum=0.5),
    )
}

# Other common spellings, as `_plain` normalizes them.
_ALIASES = {
    "keuler": "euler",
    "keulera": "euler-a",
    "keulerancestral": "euler-a",
    "eulerancestral": "euler-a",
    "klms": "lms",
    "kheun": "heun",
    "kdpm2": "dpm2",
    "kdpm2a": "dpm2-a",
    "kdpm2ancestral": "dpm2-a",
    "dpm2ancestral": "dpm2-a",
    "kdpmpp2m": "dpmpp-2m",
    "kdpmpp2msde": "dpmpp-2m-sde",
    "kdpmpp2s": "dpmpp-2s",
    "kdpmppsde": "dpmpp-sde",
    "dpmsolver": "dpmpp-2m",
    "dpmsolverpp": "dpmpp-2m",
    "plms": "pndm",
    "ddimparallel": "ddim",
    "ddimparallelscheduler": "ddim",
    "ddpmparallel": "ddpm",
    "ddpmparallelscheduler": "ddpm",
}


def _plain(text: str) -> str:
    """Normalize a name: only letters and digits, ``+`` as ``p`` (``DPM++ 2M`` → ``dpmpp2m``)."""
    return re.sub(r"[^a-z0-9]", "", text.lower().replace("+", "p"))


def _known() -> dict[str, str]:
    spellings = dict(_ALIASES)
    # A class name means the first entry with this class, which is its plain variant.
    for entry in reversed(list(SCHEDULERS.values())):
        spellings[_plain(entry.class_name)] = entry.name
        spellings[_plain(entry.class_name.removesuffix("Scheduler"))] = entry.name
    for entry in SCHEDULERS.values():
        spellings[_plain(entry.name)] = spellings[_plain(entry.label)] = entry.name
    return spellings


_SPELLINGS = _known()

# The classes' defaults for the options that distinguish our names.
_UNSAID = {"algorithm_type": "dpmsolver++", "solver_order": 2, "skip_prk_steps": False}


def parse_scheduler(text: str) -> tuple[str, str | None]:
    """The scheduler that ``text`` names, and the sigmas if the label includes them.

    Raises ``SettingError`` with the nearest name if it is unknown.

    >>> parse_scheduler("DPM++ 2M Karras")
    ('dpmpp-2m', 'karras')
    >>> parse_scheduler("k_euler_a")
    ('euler-a', None)
    >>> parse_scheduler("EulerDiscreteScheduler")
    ('euler', None)
    """
    plain = _plain(text)
    if plain in _SPELLINGS:
        return _SPELLINGS[plain], None
    for sigmas in (*SIGMAS, AYS):
        if plain.endswith(sigmas) and plain.removesuffix(sigmas) in _SPELLINGS:
            return _SPELLINGS[plain.removesuffix(sigmas)], sigmas
    near = difflib.get_close_matches(plain, _SPELLINGS, n=1)
    hint = f"did you mean {_SPELLINGS[near[0]]}?" if near else f"use one of {', '.join(SCHEDULERS)}"
    raise SettingError.of("scheduler", f"must be a known one, got {text!r}: {hint}")


def name_of(config: Mapping[str, Any]) -> str | None:
    """Our name for the scheduler that a checkpoint's ``scheduler_config.json`` describes.

    If a class has several names ("dpmpp-2m" and its SDE variant), its options decide. If no name
    fits them, the result is None: such a scheduler only exists as the model's own.

    >>> name_of({"_class_name": "PNDMScheduler", "skip_prk_steps": True})
    'pndm'
    >>> name_of({"_class_name": "PNDMScheduler"}) is None
    True
    """
    for entry in SCHEDULERS.values():
        if entry.class_name != config["_class_name"] or "descent" in entry.knows:
            continue
        if all(config.get(key, _UNSAID[key]) == value for key, value in entry.options.items()):
            return entry.name
    return None


def class_of(scheduler: str | None, config: Mapping[str, Any]) -> str:
    """The class of the named scheduler, or of the one in the checkpoint's config."""
    return str(config["_class_name"]) if scheduler is None else SCHEDULERS[scheduler].class_name


def sigmas_of(config: Mapping[str, Any]) -> str:
    """The spacing of the noise levels in a scheduler's config: one of ``SIGMAS``.

    >>> sigmas_of({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True})
    'karras'
    """
    return next((name for name in SIGMAS if config.get(f"use_{name}_sigmas")), "uniform")
