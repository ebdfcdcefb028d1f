"""The losses on pictures: one short function for each.

Each takes pictures (batch, 3, height, width), floats from 0 to 1 (slightly beyond if the decoder
overshoots), and returns one number for each, (batch,); lower is better. They are means over pixels,
so that a scale means the same at every size.
"""

import torch
from torch import Tensor
from torch.nn import functional

from sdloop.schedulers.sending import constant

# The weights of red, green and blue in perceived brightness, after Rec. 709.
LUMA = (0.2126, 0.7152, 0.0722)


def channel_level(pictures: Tensor, channel: int, level: float = 0.9) -> Tensor:
    """The mean distance of red (0), green (1) or blue (2) from ``level``.

    Source: ``blue_loss`` in the notebook "Stable Diffusion Deep Dive" (Whitaker, fast.ai 2022).

    >>> channel_level(torch.full((1, 3, 2, 2), 0.4), 2)
    tensor([0.5000])
    """
    return (pictures[:, channel] - level).abs().mean(dim=(1, 2))


def brightness(pictures: Tensor, level: float = 0.9) -> Tensor:
    """The mean distance of the brightness from ``level``.

    >>> brightness(torch.full((1, 3, 2, 2), 0.4))
    tensor([0.5000])
    """
    luma = constant(LUMA, pictures)
    return ((pictures * luma[:, None, None]).sum(dim=1) - level).abs().mean(dim=(1, 2))


def palette(pictures: Tensor, colours: Tensor) -> Tensor:
    """The mean squared distance of each pixel to the nearest of ``colours`` (number, 3), 0 to 1.

    The quantisation error of Lloyd 1982 (doi:10.1109/TIT.1982.1056489) for a fixed codebook.

    >>> palette(torch.full((1, 3, 2, 2), 0.5), torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.5, 0.7]]))
    tensor([0.0133])
    """
    differences = pictures[:, None] - colours.to(pictures)[None, :, :, None, None]
    return differences.square().mean(dim=2).amin(dim=1).mean(dim=(1, 2))


def unlike(pictures: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The mean squared error against ``target`` (1, 3, height, width), weighted by ``mask``.

    ``mask`` (1, 1, height, width) has a weight for each pixel, 0 to 1.

    >>> one = torch.ones(1, 1, 2, 2)
    >>> unlike(torch.full((1, 3, 2, 2), 0.5), torch.zeros(1, 3, 2, 2), one)
    tensor([0.2500])
    """
    errors = (pictures - target).square().mean(dim=1)
    return (errors * mask[:, 0]).sum(dim=(1, 2)) / mask.sum()


def dissimilar(pictures: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """1 minus the structural similarity (SSIM) to ``target``, weighted by ``mask``.

    Uses Gaussian windows of 11 pixels with a standard deviation of 1.5, each channel separately.

    Source: Wang et al. 2004 (doi:10.1109/TIP.2003.819861), equation 13, for levels from 0 to 1.

    >>> grey = torch.rand(1, 3, 16, 16)
    >>> dissimilar(grey, grey, torch.ones(1, 1, 16, 16)).round(decimals=5).abs()
    tensor([0.])
    """
    mean, mean_target = _blurred(pictures), _blurred(target)
    variance = _blurred(pictures * pictures) - mean * mean
    variance_target = _blurred(target * target) - mean_target * mean_target
    covariance = _blurred(pictures * target) - mean * mean_target
    small, smaller = 0.03**2, 0.01**2
    alike = (2 * mean * mean_target + smaller) * (2 * covariance + small)
    whole = (mean**2 + mean_target**2 + smaller) * (variance + variance_target + small)
    similarity = (alike / whole).mean(dim=1)
    return 1 - (similarity * mask[:, 0]).sum(dim=(1, 2)) / mask.sum()


def _blurred(pictures: Tensor) -> Tensor:
    """Blurred with a Gaussian window; beyond the border, the border pixels are repeated."""
    places = torch.arange(-5, 6, device=pictures.device, dtype=pictures.dtype)
    bell = torch.exp(-places.square() / (2 * 1.5**2))
    row = (bell / bell.sum()).expand(3, 1, 1, 11)
    padded = functional.pad(pictures, (5, 5, 5, 5), mode="replicate")
    across = functional.conv2d(padded, row, groups=3)
    return functional.conv2d(across, row.transpose(2, 3), groups=3)


def asymmetry(pictures: Tensor) -> Tensor:
    """The mean squared difference between a picture and its left-right mirror image.

    >>> asymmetry(torch.tensor([0.0, 1.0]).expand(1, 3, 2, 2))
    tensor([1.])
    """
    return (pictures - pictures.flip(-1)).square().mean(dim=(1, 2, 3))


def roughness(pictures: Tensor) -> Tensor:
    """Total variation: the mean difference of neighbouring pixels, across and down.

    Source: Rudin, Osher & Fatemi 1992 (doi:10.1016/0167-2789(92)90242-F), the anisotropic form.

    >>> roughness(torch.tensor([0.0, 1.0]).expand(1, 3, 2, 2))
    tensor([1.])
    """
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean(dim=(1, 2, 3))
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return across + down
