"""Three samplers, written by hand: each goes from sigma to sigma, down to no noise.

``denoise(x, sigma)`` predicts the clean latents. The slope dx/dsigma is the predicted noise,
(x - denoise(x, sigma)) / sigma: Karras et al. 2022 (arXiv:2206.00364), equation 3.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

import numpy as np
from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]


def euler(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Follow the slope to the next sigma: first order."""
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x = x + slope * (sigma_next - sigma)
    return x


def heun(denoise: Denoise, x: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Follow the mean of the slopes at both ends: second order, two calls per step."""
    for sigma, sigma_next in pairwise(sigmas):
        slope = (x - denoise(x, sigma)) / sigma
        x_next = x + slope * (sigma_next - sigma)
        if sigma_next > 0:  # without noise there is no slope
            slope = (slope + (x_next - denoise(x_next, sigma_next)) / sigma_next) / 2
        x = x + slope * (sigma_next - sigma)
    return x


def lms(denoise: Denoise, x: Tensor, sigmas: Sequence[float], order: int = 4) -> Tensor:
    """Follow the polynomial through the last slopes: up to fourth order, one call per step."""
    slopes: list[Tensor] = []
    for index, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        slopes = [(x - denoise(x, sigma)) / sigma, *slopes][:order]
        known = sigmas[index + 1 - len(slopes) : index + 1][::-1]
        for slope, at in zip(slopes, known, strict=True):
            others = [other for other in known if other != at]
            basis = np.poly1d(others, r=True).integ() / prod(at - other for other in others)
            x = x + slope * float(basis(sigma_next) - basis(sigma))
    return x
