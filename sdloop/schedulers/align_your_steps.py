"""Align Your Steps: tables of noise levels that were optimised for few steps."""

import itertools

import numpy as np
from diffusers.schedulers.scheduling_utils import AysSchedules

from sdloop.errors import SettingError
from sdloop.schedulers.schedule import Scheduler


def ays(steps: int, *, sdxl: bool) -> tuple[float, ...]:
    """The sigmas of Align Your Steps for this number of steps, followed by 0.

    They were optimised for ten steps of Stable Diffusion 1.5 or SDXL. For other numbers of steps
    they are interpolated, linearly in the logarithm of sigma.

    Source: Sabour et al. 2024 (arXiv:2404.14507), section 4 and their "quickstart guide".

    >>> ays(10, sdxl=False)[:3]
    (14.615, 6.475, 3.861)
    """
    table = AysSchedules["StableDiffusionXLSigmas" if sdxl else "StableDiffusionSigmas"]
    if steps == len(table) - 1:
        return tuple(table)
    # The paper's own last level; diffusers' tables have 0 instead.
    known = np.log([*table[:-1], 0.029])
    shares = np.linspace(0, 1, steps + 1)
    between = np.exp(np.interp(shares, np.linspace(0, 1, len(known)), known))
    return (*map(float, between[:-1]), 0.0)


def ays_timesteps(scheduler: Scheduler, steps: int, *, sdxl: bool) -> tuple[int, ...]:
    """The same as timesteps: the training timesteps with the nearest noise levels.

    For ten steps and Stable Diffusion's training schedule they are the paper's own, except one that
    the paper rounds differently. Raises ``SettingError`` if two of them are equal.
    """
    signal = scheduler.alphas_cumprod.double()
    trained = ((1 - signal) / signal).sqrt().numpy()
    sigmas = ays(steps, sdxl=sdxl)[:-1]
    table = AysSchedules["StableDiffusionXLTimesteps" if sdxl else "StableDiffusionTimesteps"]
    if steps == len(table) and np.allclose(trained[table], sigmas, rtol=0.01):
        return tuple(table)
    found = [int(abs(np.log(trained) - np.log(sigma)).argmin()) for sigma in sigmas]
    for one, following in itertools.pairwise(found):
        if following >= one:
            raise SettingError(
                f"steps must be fewer for sigmas 'ays', got {steps}: two of them would have the "
                f"timestep {one}"
            )
    return tuple(found)
