"""Mix the embeddings of several prompts."""

from collections.abc import Sequence

from torch import Tensor

from sdloop.latents.noise import slerp


def mixed(embeds: Sequence[Tensor], weights: Sequence[float], *, arc: bool) -> Tensor:
    """The mean of equally long prompts with these ``weights``, which add up to 1.

    ``embeds`` are (1, tokens, width), or pooled embeddings (1, width). With ``arc``, two prompts
    are interpolated spherically, token by token, because the mean of vectors with different
    directions is shorter than they are. Computed in float32.
    """
    dtype = embeds[0].dtype
    if arc:
        low, high = (one.float() for one in embeds)
        return slerp(low, high, weights[1], dim=-1).to(dtype)
    total = weights[0] * embeds[0].float()
    for weight, one in zip(weights[1:], embeds[1:], strict=True):
        total = total + weight * one.float()
    return total.to(dtype)
