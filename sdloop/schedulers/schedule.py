"""Build schedulers by name, and compute the timesteps and noise levels of their steps."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import diffusers
import torch
from torch import Generator, Tensor

from sdloop.errors import ModelError, SettingError
from sdloop.schedulers.library_messages import no_library_messages
from sdloop.schedulers.names import BY_STRENGTH, SCHEDULERS, SIGMAS, class_of
from sdloop.schedulers.optimisers import Descent
from sdloop.schedulers.prediction import predict_denoised
from sdloop.schedulers.sending import Late
from sdloop.schedulers.supported import check_packages

# The protocol, not a class: set_timesteps, timesteps, order, init_noise_sigma, scale_model_input,
# step, and for img2img add_noise.
Scheduler = Any


@no_library_messages()
def make_scheduler(
    config: Mapping[str, Any],
    *,
    scheduler: str | None = None,
    sigmas: str | None = None,
    timestep_spacing: str | None = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    stop_noise: float = 0.0,
) -> Scheduler:
    """A new scheduler: the checkpoint's own, or another class with the same training schedule.

    Schedulers count their steps, so each run of the loop needs a new one. ``config`` is the
    checkpoint's ``scheduler_config.json``. ``scheduler`` is a name in ``SCHEDULERS``; ``None``
    keeps the checkpoint's. The others are fields of the Recipe, the last three only for optimisers.

    Raises ``SettingError`` if the scheduler needs a package that is not installed.
    """
    class_name = class_of(scheduler, config)
    changes: dict[str, Any] = dict(SCHEDULERS[scheduler].options) if scheduler else {}
    if sigmas is not None:
        changes |= {f"use_{name}_sigmas": name == sigmas for name in SIGMAS if name != "uniform"}
    if timestep_spacing not in (None, BY_STRENGTH):
        changes["timestep_spacing"] = timestep_spacing
    check_packages(class_name, sigmas)
    own = _class(config["_class_name"]).from_config(dict(config))
    if scheduler is not None and "descent" in SCHEDULERS[scheduler].knows:
        asked = {"learning_rate": learning_rate, "weight_decay": weight_decay}
        changes |= {name: value for name, value in asked.items() if value is not None}
        return Descent.of(own, class_name, stop_noise=stop_noise, **changes)
    # From `own.config`, which knows what the checkpoint has set: a plain dict of it would pass the
    # defaults of one class to another, as if the checkpoint had set them.
    return _class(class_name).from_config(own.config, **changes)


@no_library_messages()
def set_steps(
    scheduler: Scheduler,
    steps: int,
    *,
    start: int = 0,
    strength: float | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
) -> tuple[Tensor, list[float]]:
    """Prepare ``scheduler`` for ``steps`` and return its timesteps (CPU) and their sigmas.

    The scheduler spaces the steps (LCM also within a ``strength``), or they are given as a list of
    ``timesteps`` or of ``sigmas`` (one more than steps); not every scheduler accepts a list.

    ``start`` is the first step to run, counted from 0: earlier steps are left out, and
    ``scheduler.add_noise`` noises a picture for that step. There may be more timesteps than steps:
    second-order schedulers call the UNet twice per step.
    Raises ``SettingError`` if the scheduler cannot make that many steps.
    """
    try:
        # On the CPU whatever the UNet's device: otherwise most schedulers would wait for the GPU at
        # every step, to read a number.
        if timesteps is not None:
            scheduler.set_timesteps(timesteps=list(timesteps), device="cpu")
        elif sigmas is not None:
            scheduler.set_timesteps(sigmas=list(sigmas), device="cpu")
        elif strength is not None:
            scheduler.set_timesteps(steps, device="cpu", strength=strength)
        else:
            scheduler.set_timesteps(steps, device="cpu")
    except ValueError as error:
        raise SettingError(f"steps must suit the scheduler, got {steps}: {error}") from error
    trained = scheduler.config.get("num_train_timesteps", 1000)
    if scheduler.timesteps.max() >= trained and not hasattr(scheduler, "sigmas"):
        raise SettingError(
            f"steps must keep the scheduler within its {trained} training timesteps, got {steps}"
        )
    begin = start * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        # Otherwise the scheduler searches for its first timestep, and if rounding makes two equal
        # (beta sigmas with many steps), takes the second: diffusers' own pipelines fail then.
        scheduler.set_begin_index(begin)
    return scheduler.timesteps[begin:], noise_levels(scheduler)[begin:]


def steps_of(scheduler: Scheduler, timesteps: Tensor) -> list[int]:
    """The step of each iteration of the loop, counted from 0 at the first of ``timesteps``.

    Second-order schedulers have two iterations per step, and PNDM has more for its first steps.
    """
    turns = range(len(scheduler.timesteps))
    if type(scheduler).__name__ == "PNDMScheduler":
        if len(scheduler.prk_timesteps):  # three Runge-Kutta steps of four iterations each
            steps = [turn // 4 if turn < 12 else turn - 9 for turn in turns]
        else:
            steps = [max(0, turn - 1) for turn in turns]
    else:
        steps = [turn // scheduler.order for turn in turns]
    begin = place_of(scheduler, timesteps)
    return [step - steps[begin] for step in steps[begin : begin + len(timesteps)]]


def place_of(scheduler: Scheduler, timesteps: Tensor) -> int:
    """Where ``timesteps`` begin among the scheduler's: usually they are the last ones."""
    count, every = len(timesteps), scheduler.timesteps
    last = len(every) - count
    places = (last, *range(last))
    found = (p for p in places if torch.equal(every[p : p + count], timesteps.to(every)))
    return next(found, last)


def noise_levels(scheduler: Scheduler) -> list[float]:
    """The sigma of the UNet's input, for each of ``scheduler.timesteps``.

    Sigma is the noise's standard deviation over the signal's; infinite if no signal is left.
    """
    timesteps = scheduler.timesteps
    if not hasattr(scheduler, "sigmas"):
        signal = scheduler.alphas_cumprod[timesteps.long()].double()
        return [float(sigma) for sigma in ((1 - signal) / signal).sqrt()]
    levels: Tensor = scheduler.sigmas[: len(timesteps)].double()
    middle = _MIDDLES.get(type(scheduler).__name__)
    if middle is not None:
        levels[1::2] = middle(scheduler)[: len(levels[1::2])].double()
    return [float(level) for level in levels]


def has_finished(scheduler: Scheduler, late: Late[None]) -> bool:
    """Whether further steps would change nothing, as with an optimiser that has finished.

    ``late`` belongs to this run of the loop: on a GPU, the answer is that of the step before.
    """
    if not isinstance(scheduler, Descent):
        return False
    return any(bool(finished) for finished, _ in late(scheduler.finished, None))


def unet_calls(scheduler: Scheduler, timesteps: Tensor, row: int) -> int:
    """At how many of ``timesteps`` the UNet ran for the picture in a batch's ``row``."""
    return scheduler.unet_calls[row] if isinstance(scheduler, Descent) else len(timesteps)


def step_options(
    scheduler: Scheduler, eta: float, generators: Sequence[Generator]
) -> dict[str, Any]:
    """Extra arguments for this scheduler's ``step``: ``eta`` and generators, if it takes them."""
    takes = inspect.signature(scheduler.step).parameters
    options = {"eta": eta, "generator": list(generators) or None}
    return {name: value for name, value in options.items() if name in takes}


def denoised_latents(
    scheduler: Scheduler, latents: Tensor, latent_input: Tensor, noise_pred: Tensor, sigma: float
) -> Tensor:
    """The predicted clean latents, in the scheduler's own scaling.

    ``latents`` are the scheduler's, ``latent_input`` what ``scale_model_input`` made of them.
    """
    if hasattr(scheduler, "precondition_outputs"):  # EDM scales its inputs and outputs itself
        clean: Tensor = scheduler.precondition_outputs(latents, noise_pred, sigma)
        return clean
    return predict_denoised(latent_input, noise_pred, sigma, scheduler.config.prediction_type)


def signal(scheduler: Scheduler, sigma: float) -> float:
    """The factor of the clean picture in the scheduler's latents at ``sigma``.

    Its latents are either picture plus noise, or that scaled to unit variance like the UNet's
    input. The latter kind starts from unscaled noise.
    """
    return 1.0 if scheduler.init_noise_sigma != 1 else 1 / math.sqrt(1 + sigma**2)


def moved(
    scheduler: Scheduler, latents: Tensor, noise_pred: Tensor, by: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """``latents`` after moving their clean picture ``by`` a difference, and the new prediction.

    The noise in them does not change, so neither does a noise prediction. ``sigma`` must be finite:
    at infinity the latents contain no picture.
    """
    latents = latents + signal(scheduler, sigma) * by
    if hasattr(scheduler, "precondition_outputs"):  # EDM's are sums of the latents and an output
        nothing, one = by.new_zeros(()), by.new_ones(())
        of_latents = scheduler.precondition_outputs(one, nothing, sigma)
        return latents, noise_pred + by * (1 - of_latents) / scheduler.precondition_outputs(
            nothing, one, sigma
        )
    match scheduler.config.prediction_type:
        case "epsilon":
            return latents, noise_pred
        case "v_prediction":
            return latents, noise_pred - by * sigma / math.sqrt(1 + sigma**2)
        case _:
            return latents, noise_pred + by


# These call the UNet a second time between two levels of `sigmas`, at a level of their own formula.
_MIDDLES: Mapping[str, Callable[[Scheduler], Tensor]] = {
    "KDPM2DiscreteScheduler": lambda s: s.sigmas_interpol[1::2],
    "KDPM2AncestralDiscreteScheduler": lambda s: s.sigmas_interpol[0::2],
    "DPMSolverSDEScheduler": lambda s: (s.sigmas[0:-1:2] * s.sigmas[1::2]).sqrt(),
}

_CLASS_NAMES = frozenset(
    entry.class_name for entry in SCHEDULERS.values() if "descent" not in entry.knows
)


def _class(class_name: str) -> Any:
    """A scheduler class by name: only known ones, because a model's files are not trusted."""
    if class_name not in _CLASS_NAMES:
        raise ModelError(
            f"the model's scheduler is a {class_name!r}, sdloop supports {', '.join(SCHEDULERS)}"
        )
    return getattr(diffusers, class_name)
