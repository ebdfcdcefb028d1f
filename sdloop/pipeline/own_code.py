"""The caller's own loop and scheduler in the pipeline: ``generate(denoise=…, scheduler=…)``.

A loop is called like ``sdloop.denoise``, and yields a ``Step`` for each of its steps; the last
one's ``latents`` become the picture. It may lack parameters of ``sdloop.denoise``, but then a
Recipe that needs them is refused. A scheduler is an object with diffusers' scheduler protocol;
every run of the loop gets a copy.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.errors import SamplingError, SettingError
from sdloop.guidance.guiders import plain
from sdloop.loop import Step, denoise
from sdloop.recipe.guidance_grammar import parse_guidance
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import Scheduler, set_steps

Denoise = Callable[..., Iterator[Step]]

# The settings that choose or configure one of sdloop's schedulers, so not for an own object.
_OF_NAMES = (
    *("scheduler", "sigmas", "timestep_spacing", "timesteps", "sigmas_list"),
    *("learning_rate", "weight_decay", "stop_noise"),
)
# What the loop and the pipeline need from a scheduler.
_PROTOCOL = ("set_timesteps", "scale_model_input", "step", "order", "config")


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnCode:
    """The caller's own loop and scheduler, which replace sdloop's; none by default."""

    denoise: Denoise | None = None
    scheduler: Scheduler | None = None

    @property
    def names(self) -> dict[str, str]:
        """What the picture's file records: the names of the caller's loop and scheduler."""
        names = {}
        if self.denoise is not None:
            names["denoise"] = _name(self.denoise)
        if self.scheduler is not None:
            names["scheduler"] = _name(type(self.scheduler))
        return names

    def check(self, recipe: Recipe) -> None:
        """Raise ``SettingError`` for a setting that this scheduler does not support."""
        if self.scheduler is None:
            return
        name = type(self.scheduler).__name__
        for field in _OF_NAMES:
            value = getattr(recipe, field)
            if value is not None:
                raise SettingError(
                    f"{field} is for the schedulers that have a name, and scheduler is a {name}: "
                    f"set it there, got {value!r}"
                )
        needs_noise = ("add_noise",) if recipe.image or recipe.hires else ()
        for attribute in (*_PROTOCOL, *needs_noise):
            if not hasattr(self.scheduler, attribute):
                raise SettingError(
                    f"scheduler must have {attribute!r}, as diffusers' schedulers do, and {name} "
                    "does not"
                )
        if recipe.eta and "eta" not in inspect.signature(self.scheduler.step).parameters:
            raise SettingError(f"eta has no effect with the scheduler {name}, got {recipe.eta}")
        if recipe.guidance is not None and parse_guidance(recipe.guidance).name == "cfg++":
            raise SettingError(f"guidance cfg++ is for ddim and euler, and scheduler is a {name}")

    def unsettled(self, recipe: Recipe) -> Recipe:
        """``recipe`` to resolve: without eta, which the model's scheduler may not support."""
        return recipe if self.scheduler is None else replace(recipe, eta=0.0)

    def settled(self, resolved: Recipe, recipe: Recipe) -> Recipe:
        """``resolved`` without the model's scheduler, if the caller's replaces it."""
        if self.scheduler is None:
            return resolved
        return replace(resolved, scheduler=None, sigmas=None, timestep_spacing=None, eta=recipe.eta)

    def scheduled(self, recipe: Recipe) -> tuple[Scheduler, Tensor, list[float]] | None:
        """A copy of the scheduler, its timesteps and their sigmas; None if sdloop's is used."""
        if self.scheduler is None:
            return None
        scheduler = copy.deepcopy(self.scheduler)
        steps, start = recipe.schedule
        return scheduler, *set_steps(scheduler, steps, start=start)

    def denoised(
        self,
        unet: Any,
        scheduler: Scheduler,
        latents: Tensor,
        conditioning: Conditioning,
        **options: Any,
    ) -> Iterator[Step]:
        """The steps of this loop, or of sdloop's; ``options`` are those of ``sdloop.denoise``.

        Raises ``SettingError`` for an option that the Recipe needs and the loop lacks, and
        ``SamplingError`` for a loop that yields nothing, or latents of another shape.
        """
        if self.denoise is None:
            yield from denoise(unet, scheduler, latents, conditioning, **options)
            return
        last = None
        taken = _taken(self.denoise, options)
        for last in self.denoise(unet, scheduler, latents, conditioning, **taken):
            if last.latents.shape != latents.shape:
                shapes = f"{tuple(latents.shape)}, got {tuple(last.latents.shape)}"
                raise SamplingError(f"denoise must yield latents of the shape {shapes}")
            yield last
        if last is None:
            raise SamplingError(f"denoise must yield at least one Step, and {_name(self.denoise)} "
                                "yielded none")  # fmt: skip


NO_OWN_CODE = OwnCode()


def _taken(loop: Denoise, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that ``loop`` accepts; the others must have no effect."""
    parameters = inspect.signature(loop).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return dict(options)
    for name, value in options.items():
        if name not in parameters and _matters(name, value):
            raise SettingError(
                f"denoise must take {name!r} for this Recipe, as sdloop.denoise does, and "
                f"{_name(loop)} does not"
            )
    return {name: value for name, value in options.items() if name in parameters}


def _matters(name: str, value: Any) -> bool:
    """Whether the picture would be different without this option."""
    match name:
        case "guidance_scale":
            return any(scale != 1 for scale in value)
        case "guide":
            return value is not plain
        case "eta":
            return bool(value)
        case "masked" | "loss_guidance" | "regions":
            return value is not None
    return False


def _name(code: Any) -> str:
    module = getattr(code, "__module__", None)
    name = getattr(code, "__qualname__", type(code).__qualname__)
    return f"{module}.{name}" if module else name
