"""The noise that schedulers add in their steps, from each picture's own seed."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from sdloop.latents.philox import from_philox
from sdloop.schedulers.library_messages import no_library_messages
from sdloop.schedulers.schedule import Scheduler
from sdloop.schedulers.sending import sent
from sdloop.schedulers.supported import check_packages

Between = Callable[[Tensor, Tensor], Tensor]


def seed_step_noise(
    scheduler: Scheduler, latents: Tensor, seeds: Sequence[int], *, rng: str | None
) -> None:
    """Let ``scheduler`` draw the noise of its steps as A1111 does, if it draws any.

    DPM++ SDE draws Brownian paths from torchsde instead of noise from torch's generators; by
    default it uses random seeds, and on a GPU other paths than on the CPU. Other schedulers draw
    from the generators that the loop gives them; with ``rng`` "philox" they get its numbers, and
    DPM++ 2M SDE a Brownian path too. ``set_steps`` must have run.
    """
    if type(scheduler).__name__ == "DPMSolverSDEScheduler":
        scheduler.noise_sampler = _brownian_noise(scheduler, latents, seeds, rng=rng)
    elif rng is None:
        return
    elif _is_sde(scheduler):
        noise = _brownian_noise(scheduler, latents, seeds, rng=rng)
        scheduler.step = _with_noise(scheduler, noise)
    else:
        scheduler.step = from_philox(scheduler.step)


def _is_sde(scheduler: Scheduler) -> bool:
    """Whether it is DPM++ 2M SDE, which is DPM++ 2M with noise."""
    multistep = type(scheduler).__name__ == "DPMSolverMultistepScheduler"
    return multistep and scheduler.config.algorithm_type.startswith("sde-")


def _brownian_noise(
    scheduler: Scheduler, latents: Tensor, seeds: Sequence[int], *, rng: str | None
) -> Between:
    """The noise between two sigmas: the steps of a Brownian path, one for each seed."""
    check_packages("DPMSolverSDEScheduler", None)
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler

    # torchsde warns about rounding at the ends of the path.
    @no_library_messages()
    def noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        drawn: Tensor = path(sigma, sigma_next)
        return sent(drawn, latents.device)

    levels = scheduler.sigmas[scheduler.sigmas > 0]
    ends = levels.min().item(), levels.max().item()
    if rng is None:
        path = BrownianTreeNoiseSampler(latents.cpu(), *ends, list(seeds))
        return noise
    path = from_philox(BrownianTreeNoiseSampler)(latents.cpu(), *ends, list(seeds))
    return from_philox(noise)


def _with_noise(scheduler: Scheduler, noise: Between) -> Callable[..., Any]:
    """The ``step`` of DPM++ 2M SDE, with the noise between the sigmas of each step."""
    step = scheduler.step

    @wraps(step)
    def stepped(noise_pred: Tensor, t: Tensor, *arguments: Any, **options: Any) -> Any:
        index = scheduler.begin_index if scheduler.step_index is None else scheduler.step_index
        index = scheduler.index_for_timestep(t) if index is None else index
        sigma, sigma_next = scheduler.sigmas[index : index + 2]
        # The path ends at the last sigma above 0; the step to 0 adds no noise.
        drawn = noise(sigma, sigma_next) if sigma_next > 0 else torch.zeros_like(noise_pred)
        return step(noise_pred, t, *arguments, variance_noise=drawn, **options)

    return stepped
