"""What ``evaluate.py`` measures with: shares and how sure they are, distances between pictures."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def wilson(right: int, asked: int, z: float = 1.96) -> tuple[float, float]:
    """The interval that holds the true share of a count, 95 % of the time with ``z`` 1.96.

    Unlike the share plus or minus its deviation it stays within 0..1 and is honest at the ends:
    ten right of ten do not prove that all are.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(end, 3) for end in wilson(10, 10)]
    [0.722, 1.0]
    """
    if asked == 0:
        return 0.0, 1.0
    share, weight = right / asked, z * z / asked
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / asked + weight / asked / 4)
    # At 0 and 1 one end is the share itself; rounding must not put it on the other side.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """How many of the pictures that were asked about are right."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """Right over asked; NaN where nothing was asked."""
        return self.right / self.asked if self.asked else math.nan

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with the share and its interval."""
        share = self.share if self.asked else None
        interval = wilson(self.right, self.asked)
        return {"right": self.right, "asked": self.asked, "share": share, "interval": interval}


def share_of(answers: Sequence[bool]) -> Share:
    """The Share of these answers."""
    return Share(right=sum(answers), asked=len(answers))


def square_root(matrix: Tensor) -> Tensor:
    """The root of a symmetric matrix without negative eigenvalues, but for rounding's."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """How far two clouds of features (pictures, width) are apart, each taken for a Gaussian.

    ``|m1 - m2|^2 + trace(C1 + C2 - 2 (C1^1/2 C2 C1^1/2)^1/2)``: 0 for equal clouds. Two samples of
    one cloud are not equal and have a distance too, the larger the fewer they are: compare with
    that. In float64, by eigenvalues.

    Source: Heusel et al. 2017 (arXiv:1706.08500), equation 6, with other features.
    """
    one, other = one.double(), other.double()
    means = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    first, second = torch.cov(one.T), torch.cov(other.T)
    root = square_root(first)
    cross = torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
    distance = means + first.trace() + second.trace() - 2 * cross
    return max(0.0, float(distance))


def pairwise_rms(pictures: Tensor) -> float:
    """The mean distance of two of these pictures (count, 3, height, width): the root of the mean
    squared difference, in levels of 255 for pictures in -1..1."""
    pairs = list(itertools.combinations(pictures, 2))
    return sum(rms(one, other) for one, other in pairs) / len(pairs)


def rms(one: Tensor, other: Tensor) -> float:
    """The root of the mean squared difference, in levels of 255 for pictures in -1..1."""
    return float((one - other).square().mean().sqrt()) * 127.5


@torch.no_grad()
def through_vae(vae: Any, batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """Pictures in -1..1 encoded, the posterior's mean decoded, and clamped."""
    for pictures in batches:
        latents = vae.encode(pictures.to(vae.device, vae.dtype)).latent_dist.mean
        yield vae.decode(latents).sample.clamp(-1, 1).float().cpu()


def psnr(pictures: Tensor, made: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each picture (batch, 3, height, width) in -1..1, in dB.

    >>> psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.2))
    tensor([20.])
    """
    errors = (made - pictures).div(2).square().mean(dim=(1, 2, 3))
    return -10 * errors.log10()


def slopes(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The differences of neighbouring pixels (batch, channels, height, width), across and down."""
    return pictures.diff(dim=3), pictures.diff(dim=2)


def edge_energy(pictures: Tensor) -> Tensor:
    """How sharp each picture (batch, 3, height, width) in -1..1 is: the mean square of the
    differences of neighbouring pixels, across and down.

    >>> edge_energy(torch.tensor([[[[-1.0, 1.0], [-1.0, 1.0]]]]))
    tensor([2.])
    """
    across, down = slopes(pictures)
    sums = across.square().sum(dim=(1, 2, 3)) + down.square().sum(dim=(1, 2, 3))
    return sums / (across[0].numel() + down[0].numel())
