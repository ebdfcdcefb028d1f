"""Formulas that combine the UNet's predictions into the one that the scheduler steps along."""

from collections.abc import Sequence

from torch import Tensor


def composed(noise_uncond: Tensor, noise_texts: Sequence[Tensor], weights: Tensor | None) -> Tensor:
    """One prediction out of those for several prompts: each pulls with its weight.

    All are noise predictions of shape (batch, channels, height, width); ``weights`` (prompts,
    batch, 1, 1, 1) may be negative, which leads away from a prompt. ``None`` is a single prompt,
    whose prediction is returned as it is. Guided by ``classifier_free_guidance`` the result is
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
    """Take back the contrast that guidance adds, by a share of 0 (none) to 1 (all of it).

    Guidance raises the standard deviation of the prediction above that of ``noise_text``, which
    over-exposes pictures, most of all where the schedule ends at zero signal. Each picture of the
    batch is rescaled by its own deviation.

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
