"""Outlines as a hand draws them: a little beside, thinner or thicker, with gaps.

A ControlNet that saw exact lines alone would take every wobble of a child's for a part of the
scene.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

SUBJECTS_ALONE = 0.35
"""The share of sketches without a backdrop."""

WOBBLE, WAVES = 0.8, 6
"""How far lines stray, in pixels (a standard deviation), and over what part of a side."""

GAPPY, GAPS = 0.5, 0.12
"""The share of sketches with gaps, and how much of their lines is missing."""

PATCH = 6
"""The side of a gap in pixels."""


def numbers(*shape: int, generator: torch.Generator) -> Tensor:
    """Evenly distributed from 0 to 1, on the generator's device."""
    return torch.rand(*shape, generator=generator, device=generator.device)


def wobbled(lines: Tensor, generator: torch.Generator) -> Tensor:
    """Each pixel from a place a little beside its own, neighbours from the same side."""
    count, _, height, width = lines.shape
    shifts = torch.randn(count, 2, WAVES, WAVES, generator=generator, device=generator.device)
    shifts = F.interpolate(shifts, (height, width), mode="bicubic", align_corners=True)
    # grid_sample counts a side from -1 to 1, and across before down.
    steps = WOBBLE * torch.tensor([2 / width, 2 / height], device=lines.device)
    straight = torch.eye(2, 3, device=lines.device).expand(count, 2, 3)
    grid = F.affine_grid(straight, list(lines.shape), align_corners=False)
    moved = grid + shifts.permute(0, 2, 3, 1) * steps
    return F.grid_sample(lines, moved, align_corners=False, padding_mode="zeros")


def with_gaps(lines: Tensor, generator: torch.Generator) -> Tensor:
    """Without what lies in some of the squares that a picture is cut into."""
    count, _, height, width = lines.shape
    squares = numbers(count, 1, height // PATCH, width // PATCH, generator=generator)
    gappy = numbers(count, 1, 1, 1, generator=generator) < GAPPY
    kept = ((squares > GAPS) | ~gappy).float()
    return lines * F.interpolate(kept, (height, width), mode="nearest")


def by_hand(both: Tensor, generator: torch.Generator) -> Tensor:
    """Sketches (count, 3, height, width) in 0..1, white on black, from the lines of ``outlines``,
    (count, 2, height, width): of the whole scene, or of its subjects alone."""
    count = len(both)
    alone = numbers(count, 1, 1, 1, generator=generator) < SUBJECTS_ALONE
    lines = torch.where(alone, both[:, 1:], both[:, :1])
    lines = with_gaps(wobbled(lines, generator), generator)
    thick = F.max_pool2d(lines, 3, stride=1, padding=1)
    lines = lines.lerp(thick, numbers(count, 1, 1, 1, generator=generator).square())
    return lines.expand(-1, 3, -1, -1)


def as_drawn(lines: Tensor) -> Tensor:
    """Exact outlines (count, height, width) as such sketches."""
    return lines[:, None].expand(-1, 3, -1, -1)
