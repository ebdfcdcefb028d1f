"""Three samplers, written out: each goes down the sigmas with a function that takes off the noise.

``denoise(x, sigma)`` is what the UNet takes the clean latents to be. The slope dx/dsigma is the
noise, (x - denoise(x, sigma)) / sigma: Karras et al. 2022 (arXiv:2206.00364), equation 3.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import numpy as np
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]


def euler(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Along the slope, as far as the next sigma: first order."""
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (sigma_next - sigma)
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Along the mean of the slopes here and there: second order, for two looks a step."""
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        there = x + slope * (sigma_next - sigma)
        if sigma_next > 0:  # where there is no noise, it has no slope
            slope = (slope + (there - denoise(there, sigma_next)) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def lms(denoise: Denoise, x: Tensor, sigmas: Sequence[float], order: int = 4) -> Tensor:
    """Along the polynomial through the last slopes: one look a step, and up to fourth order."""
    slopes: list[Tensor] = []
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        slopes = [(x - denoise(x, sigma)) / sigma, *slopes][:order]
        known = sigmas[index + 1 - len(slopes) : index + 1][::-1]
        for slope, at in zip(slopes, known, strict=True):
            others = [other for other in known if other != at]
            basis = np.poly1d(others, r=True).integ() / prod(at - other for other in others)
            x = x + slope * float(basis(sigma_next) - basis(sigma))
    return x
