"""Schedules as numbers: the noise level of each step, and of each training timestep."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.pipeline.steps import scheduled
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A noise level: ``sigma`` is the ratio of noise to signal, of their standard deviations.

    It is infinite if no signal is left. ``step`` counts the calls of the UNet from 0: a
    second-order scheduler calls it twice at most steps.
    """

    step: int
    timestep: float
    sigma: float

    @property
    def shares(self) -> tuple[float, float]:
        """The factors of the picture and of the noise; the sum of their squares is 1."""
        if math.isinf(self.sigma):
            return 0.0, 1.0
        signal = 1 / math.sqrt(1 + self.sigma**2)
        return signal, self.sigma * signal

    @property
    def snr(self) -> float:
        """The signal-to-noise ratio, of powers: 1 / sigma²."""
        return math.inf if self.sigma == 0 else 1 / self.sigma**2

    @property
    def decibels(self) -> float:
        """``snr`` in dB."""
        return 10 * math.log10(self.snr) if self.snr else -math.inf


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseSchedule:
    """The noise levels of a run, or of a model's training."""

    name: str
    noise_levels: tuple[Level, ...]


def schedule_of(recipe: Recipe, model: Defaults) -> NoiseSchedule:
    """The noise levels of the loop for a resolved Recipe."""
    _, timesteps, sigmas = scheduled(recipe, model)
    own = str(model.scheduler_config["_class_name"])
    name = own if recipe.scheduler is None else recipe.scheduler
    spaced = recipe.sigmas not in (None, "uniform")
    listed = recipe.timesteps is not None or recipe.sigmas_list is not None
    spacing = f" {recipe.sigmas}" if spaced else " as listed" if listed else ""
    return NoiseSchedule(
        name=f"{name}{spacing}",
        noise_levels=tuple(
            Level(step=step, timestep=float(t), sigma=sigma)
            for step, (t, sigma) in enumerate(zip(timesteps, sigmas, strict=True))
        ),
    )


# The common training schedules, each with the start and end values of its paper.
BETAS: Mapping[str, Mapping[str, Any]] = {
    # Ho et al. 2020 (arXiv:2006.11239), section 4.
    "linear": {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02},
    # Rombach et al. 2022 (arXiv:2112.10752): linear in the square root; Stable Diffusion uses it.
    "scaled-linear": {
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    },
    # Nichol & Dhariwal 2021 (arXiv:2102.09672), eq. 17.
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
}


def training_of(name: str, *, timesteps: int = 1000) -> NoiseSchedule:
    """The noise levels of one of ``BETAS``; ``step`` is the timestep."""
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(num_train_timesteps=timesteps, **BETAS[name])
    signal = scheduler.alphas_cumprod.double()
    sigmas = ((1 - signal) / signal).sqrt().tolist()
    return NoiseSchedule(
        name=name,
        noise_levels=tuple(Level(step=t, timestep=float(t), sigma=s) for t, s in enumerate(sigmas)),
    )
