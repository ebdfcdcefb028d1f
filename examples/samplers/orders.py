"""Measure the order of each sampler on a problem with a known answer: normally distributed pixels.

python examples/samplers/orders.py

The clean pixels have a standard deviation of 1, so the best prediction is x / (1 + sigma²), and the
exact result has a closed form. With twice the steps, the error of a sampler of order p is 2^p
times smaller.
"""

from math import log2, sqrt

import torch
from by_hand import Denoise, euler, heun, lms
from torch import Tensor

SIGMA_MAX, SIGMA_MIN, STEPS = 80.0, 0.02, (32, 64, 128, 256)


def denoise(x: Tensor, sigma: float) -> Tensor:
    """The mean of all clean pixels that can become ``x`` with noise."""
    return x / (1 + sigma**2)


def sigmas(steps: int) -> list[float]:
    """The spacing of Karras et al. 2022 (arXiv:2206.00364), equation 5."""
    ends = SIGMA_MAX ** (1 / 7), SIGMA_MIN ** (1 / 7)
    return [(ends[0] + i / steps * (ends[1] - ends[0])) ** 7 for i in range(steps + 1)]


def errors(sampler: Denoise) -> list[float]:
    """The error of the sampler for each number of steps in ``STEPS``."""
    exact = sqrt((1 + SIGMA_MIN**2) / (1 + SIGMA_MAX**2)) * SIGMA_MAX
    start = torch.tensor(SIGMA_MAX, dtype=torch.float64)
    return [abs(float(sampler(denoise, start, sigmas(steps))) - exact) for steps in STEPS]


if __name__ == "__main__":
    print("sampler ", *(f"{steps:>4} steps" for steps in STEPS), "     order")
    for sampler in (euler, heun, lms):
        found = errors(sampler)
        order = log2(found[-2] / found[-1])
        print(f"{sampler.__name__:8}", *(f"{error:10.1e}" for error in found), f"{order:10.2f}")
