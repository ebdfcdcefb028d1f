"""Formulas that combine the UNet's predictions into the one that the scheduler uses.

All tensors are predictions, or clean latents, of shape (batch, channels, height, width), and each
picture of the batch is handled separately. ``guiders`` adapts them to the loop.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def composed(noise_uncond: Tensor, noise_texts: Sequence[Tensor], weights: Tensor | None) -> Tensor:
    """Combine the predictions for several prompts, each with its weight.

    All are noise predictions of shape (batch, channels, height, width); ``weights`` (prompts,
    batch, 1, 1, 1) may be negative, which moves away from a prompt. ``None`` means a single prompt,
    whose prediction is returned unchanged. With ``classifier_free_guidance`` the result becomes
    ``noise_uncond + guidance_scale * sum(weight * (noise_text - noise_uncond))``.

    Source: Liu et al. 2022 (arXiv:2206.01714), equation 11.

    >>> from torch import tensor
    >>> texts, weights = [tensor([3.0]), tensor([5.0])], tensor([[1.0], [-0.5]])
    >>> composed(tensor([1.0]), texts, weights)
    tensor([1.])
    """
    if weights is None:
        return noise_texts[0]
    noise_text = noise_uncond
    for weight, one in zip(weights, noise_texts, strict=True):
        noise_text = noise_text + weight * (one - noise_uncond)
    return noise_text


def in_regions(noise_text: Tensor, noise_texts: Sequence[Tensor], shares: Tensor) -> Tensor:
    """Let each prompt's prediction count in its own region of the picture.

    ``noise_text`` is the main prompt's prediction, and ``noise_texts`` are those of the regions.
    ``shares`` (1 + regions, batch, 1, height, width), the main prompt's first, add up to 1 at each
    place, so the result is their weighted mean there.

    Source: Bar-Tal et al. 2023 (arXiv:2302.08113), equation 5, with prompts and masks as in
    section 4.2.

    >>> from torch import tensor
    >>> shares = tensor([[1.0, 0.0], [0.0, 1.0]])  # the right half is a region
    >>> in_regions(tensor([3.0, 3.0]), [tensor([5.0, 7.0])], shares)
    tensor([3., 7.])
    """
    total = shares[0] * noise_text
    for share, one in zip(shares[1:], noise_texts, strict=True):
        total = total + share * one
    return total


def classifier_free_guidance(
    noise_uncond: Tensor, noise_text: Tensor, guidance_scale: float
) -> Tensor:
    """Move the prediction along the direction the prompt pulls it.

    Both tensors are noise predictions of shape (batch, channels, height, width). A scale of 0
    ignores the prompt, 1 returns ``noise_text``, above 1 overshoots it.

    Source: Ho & Salimans 2022 (arXiv:2207.12598); their w is ``guidance_scale - 1``.

    >>> from torch import tensor
    >>> classifier_free_guidance(tensor(1.0), tensor(3.0), 7.5)
    tensor(16.)
    """
    return noise_uncond + guidance_scale * (noise_text - noise_uncond)


def rescale_guidance(noise_pred: Tensor, noise_text: Tensor, guidance_rescale: float) -> Tensor:
    """Remove a share of the contrast that guidance adds, from 0 (none) to 1 (all of it).

    Guidance raises the standard deviation of the prediction above that of ``noise_text``, which
    over-exposes pictures, especially with zero terminal SNR. Each picture of the batch is rescaled
    by its own standard deviation.

    Source: Lin et al. 2023 (arXiv:2305.08891), equations 15 and 16.

    >>> from torch import tensor
    >>> rescale_guidance(tensor([[-4.0, 4.0]]), tensor([[-1.0, 1.0]]), 0.5)
    tensor([[-2.5000,  2.5000]])
    """
    each = list(range(1, noise_pred.ndim))
    rescaled = noise_pred * (
        noise_text.std(dim=each, keepdim=True) / noise_pred.std(dim=each, keepdim=True)
    )
    return guidance_rescale * rescaled + (1 - guidance_rescale) * noise_pred


def threshold_dynamically(denoised: Tensor, limit: float, percentile: float) -> Tensor:
    """Dynamic thresholding: bring clean latents back into the range -``limit`` to ``limit``.

    The bound is the ``percentile`` of a picture's absolute values (0.995: all but one in 200 lie
    below it). If it exceeds ``limit``, the values are clipped to it and divided so that the bound
    becomes ``limit``. The limit is 1 for pixels; for latents choose a suitable one.

    Source: Saharia et al. 2022 (arXiv:2205.11487), section 2.3.

    >>> threshold_dynamically(torch.tensor([[[[-1.0, 0.5, 4.0]]]]), 1.0, 1.0)
    tensor([[[[-0.2500,  0.1250,  1.0000]]]])
    """
    bound = torch.quantile(denoised.flatten(1).abs(), percentile, dim=1).clamp(min=limit)
    bound = bound.reshape(-1, *[1] * (denoised.ndim - 1))
    return denoised.clamp(-bound, bound) * (limit / bound)


def project_guidance(
    update: Tensor, denoised_text: Tensor, guidance_scale: float, *, eta: float, norm: float
) -> Tensor:
    """Adaptive projected guidance: use the part of ``update`` orthogonal to ``denoised_text``.

    ``update`` is ``denoised_text - denoised_uncond``, possibly after ``with_momentum``. It is
    shortened to the length ``norm`` (0: unchanged). Its part parallel to ``denoised_text``, which
    raises contrast and saturation, is multiplied by ``eta``. With ``eta`` 1 and ``norm`` 0 this is
    classifier-free guidance.

    Source: Sadat et al. 2024 (arXiv:2410.02416), algorithm 1.

    >>> text = torch.tensor([[3.0, 4.0]])
    >>> project_guidance(torch.tensor([[6.0, 8.0]]), text, 7.5, eta=0.0, norm=0.0)
    tensor([[3., 4.]])
    """
    each = list(range(1, update.ndim))
    if norm > 0:
        length = torch.linalg.vector_norm(update, dim=each, keepdim=True)
        update = update * (norm / length).clamp(max=1)
    # In double precision, as in the paper's code: the parts nearly cancel.
    along = denoised_text.double()
    size = torch.linalg.vector_norm(along, dim=each, keepdim=True)
    along = along / size.clamp(min=1e-12)
    parallel: Tensor = ((update * along).sum(dim=each, keepdim=True) * along).to(update.dtype)
    return denoised_text + (guidance_scale - 1) * (update - parallel + eta * parallel)


def with_momentum(update: Tensor, before: Tensor | None, momentum: float) -> Tensor:
    """The update plus ``momentum`` times the previous result of this function.

    APG uses a negative momentum, which removes what earlier updates have already done.

    Source: Sadat et al. 2024 (arXiv:2410.02416), section 4.
    """
    return update if before is None else update + momentum * before


def guidance_from_zero_star(
    noise_uncond: Tensor, noise_text: Tensor, guidance_scale: float
) -> Tensor:
    """Classifier-free guidance with an optimally scaled ``noise_uncond`` (CFG-Zero*).

    The unconditional prediction is first scaled to be as close to ``noise_text`` as possible, which
    corrects for a model that underestimates it.

    Source: Fan et al. 2025 (arXiv:2503.18886), equation 7 (CFG-Zero*).

    >>> uncond, text = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 1.0]])
    >>> guidance_from_zero_star(uncond, text, 3.0)
    tensor([[2., 3.]])
    """
    each = list(range(1, noise_text.ndim))
    agreement = (noise_text * noise_uncond).sum(dim=each, keepdim=True)
    scale = agreement / (noise_uncond.square().sum(dim=each, keepdim=True) + 1e-8)
    return classifier_free_guidance(scale * noise_uncond, noise_text, guidance_scale)
