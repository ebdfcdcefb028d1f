"""The CLIP loss: the distance between a text and random cutouts of a picture."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

from sdloop.models.clip.load import Clip
from sdloop.models.clip.score import embed_pixels

CUT_OUTS = 16
LEAST = 0.5  # of the shorter side


def far_from_text(
    pictures: Tensor, clip: Clip, text_embeds: Tensor, generator: Generator
) -> Tensor:
    """The mean squared angle, halved, between a text and ``CUT_OUTS`` random squares of a picture.

    ``text_embeds`` (1, width) come from ``embed_texts``. With the whole picture, the loss could be
    lowered by patterns that only a CLIP sees; few of them work in every cutout and at every size.
    The squares are drawn anew at each call, with ``generator`` on the CPU.

    Source: Crowson et al. 2022 (arXiv:2204.08583), section 3.2; the distance of her notebook "CLIP
    Guided Diffusion".
    """
    edge = clip.view.shortest_edge
    cuts = torch.cat([_square(pictures, edge, generator) for _ in range(CUT_OUTS)])
    seen = embed_pixels(clip, cuts.clamp(0, 1))
    angles = 2 * ((seen - text_embeds).norm(dim=-1) / 2).arcsin()
    far: Tensor = (angles.square() / 2).view(CUT_OUTS, -1).mean(dim=0).to(pictures)
    return far


def _square(pictures: Tensor, edge: int, generator: Generator) -> Tensor:
    """A random square of the pictures, at a random size, resized to sides of ``edge``."""
    height, width = pictures.shape[-2:]
    share, down, across = torch.rand(3, generator=generator).tolist()
    side = max(1, round(min(height, width) * (LEAST + (1 - LEAST) * share)))
    top, left = round(down * (height - side)), round(across * (width - side))
    part = pictures[..., top : top + side, left : left + side]
    seen: Tensor = functional.interpolate(
        part, (edge, edge), mode="bicubic", antialias=True, align_corners=False
    )
    return seen
