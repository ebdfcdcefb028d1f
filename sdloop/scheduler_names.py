"""What people call the schedulers, and which settings each of them knows.

A scheduler has one short name here, the diffusers class behind it, and the options that make the
class behave as its name says ("dpmpp-2m-sde" is ``DPMSolverMultistepScheduler`` with another
``algorithm_type``). Labels of A1111 ("DPM++ 2M Karras"), of CompVis ("k_euler_a") and
diffusers' own class names are understood as well.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdloop.errors import SettingError

SIGMAS = ("karras", "exponential", "beta", "uniform")
SPACINGS = ("leading", "trailing", "linspace")


@dataclass(frozen=True, kw_only=True, slots=True)
class SchedulerName:
    """One scheduler as people know it.

    ``knows`` lists the optional settings it understands: ``sigmas`` (its noise levels can be
    respaced), ``spacing`` (``timestep_spacing``) and ``eta``; ``edm`` is for UNets trained in
    EDM's terms alone (Karras et al. 2022, arXiv:2206.00364).
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


_DPMPP = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_DPMPP_SDE = {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}

SCHEDULERS: Mapping[str, SchedulerName] = {
    entry.name: entry
    for entry in (
        _entry("ddim", "DDIM", "DDIM", "spacing eta"),
        _entry("ddpm", "DDPM", "DDPM", "spacing"),
        _entry("pndm", "PNDM", "PLMS", "spacing", skip_prk_steps=True),
        _entry("lms", "LMSDiscrete", "LMS", "sigmas spacing"),
        _entry("euler", "EulerDiscrete", "Euler", "sigmas spacing"),
        _entry("euler-a", "EulerAncestralDiscrete", "Euler a", "spacing"),
        _entry("heun", "HeunDiscrete", "Heun", "sigmas spacing"),
        _entry("dpm2", "KDPM2Discrete", "DPM2", "sigmas spacing"),
        _entry("dpm2-a", "KDPM2AncestralDiscrete", "DPM2 a", "sigmas spacing"),
        _entry("dpmpp-2m", "DPMSolverMultistep", "DPM++ 2M", "sigmas spacing", **_DPMPP),
        _entry(
            "dpmpp-2m-sde", "DPMSolverMultistep", "DPM++ 2M SDE", "sigmas spacing", **_DPMPP_SDE
        ),
        _entry("dpmpp-2s", "DPMSolverSinglestep", "DPM++ 2S", "sigmas", **_DPMPP),
        _entry("dpmpp-sde", "DPMSolverSDE", "DPM++ SDE", "sigmas spacing"),
        _entry("deis", "DEISMultistep", "DEIS", "sigmas spacing"),
        _entry("unipc", "UniPCMultistep", "UniPC", "sigmas spacing"),
        _entry("sa-solver", "SASolver", "SA-Solver", "sigmas spacing"),
        _entry("lcm", "LCM", "LCM", "spacing"),
        _entry("tcd", "TCD", "TCD", "spacing eta"),
        _entry("edm-euler", "EDMEuler", "EDM Euler", "edm"),
        _entry("edm-dpmpp-2m", "EDMDPMSolverMultistep", "EDM DPM++ 2M", "edm"),
    )
}

# What fingers type that is neither our name, nor a label, nor a class name. Spelled as `_plain`
# leaves them.
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
}


def _plain(text: str) -> str:
    """``DPM++ 2M`` and ``dpmpp-2m`` are one name: letters and digits alone, ``+`` spelled ``p``."""
    return re.sub(r"[^a-z0-9]", "", text.lower().replace("+", "p"))


def _known() -> dict[str, str]:
    spellings = dict(_ALIASES)
    # Later entries must not take a class name away from the plain variant of it that comes first.
    for entry in reversed(list(SCHEDULERS.values())):
        spellings[_plain(entry.class_name)] = entry.name
        spellings[_plain(entry.class_name.removesuffix("Scheduler"))] = entry.name
    for entry in SCHEDULERS.values():
        spellings[_plain(entry.name)] = spellings[_plain(entry.label)] = entry.name
    return spellings


_SPELLINGS = _known()


def parse_scheduler(text: str) -> tuple[str, str | None]:
    """The scheduler that ``text`` names, and the sigmas where a label folds both into one.

    Raises ``SettingError`` with the nearest names when nothing is meant by it.

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
    for sigmas in SIGMAS:
        if plain.endswith(sigmas) and plain.removesuffix(sigmas) in _SPELLINGS:
            return _SPELLINGS[plain.removesuffix(sigmas)], sigmas
    near = difflib.get_close_matches(plain, _SPELLINGS, n=5, cutoff=0.4)
    names = list(dict.fromkeys(_SPELLINGS[spelling] for spelling in near)) or list(SCHEDULERS)
    raise SettingError(f"scheduler must be a known one ({', '.join(names)} …), got {text!r}")


def name_of(config: Mapping[str, Any]) -> str | None:
    """Our name for the scheduler that a checkpoint's ``scheduler_config.json`` describes.

    A class that serves several names ("dpmpp-2m" and its SDE) is told apart by its options. Where
    no name fits them, the answer is None: such a scheduler is the model's own and cannot be asked
    for by name.
    """
    for entry in SCHEDULERS.values():
        same_options = all(config.get(key, value) == value for key, value in entry.options.items())
        if entry.class_name == config["_class_name"] and same_options:
            return entry.name
    return None


def sigmas_of(config: Mapping[str, Any]) -> str:
    """Which spacing of the noise levels a scheduler's config asks for: one of ``SIGMAS``.

    >>> sigmas_of({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True})
    'karras'
    """
    return next((name for name in SIGMAS if config.get(f"use_{name}_sigmas")), "uniform")
