"""Weighted words: their embeddings are multiplied by their weights."""

from torch import Tensor

from sdloop.errors import SettingError


def weighted(embeds: Tensor, weights: Tensor | None, emphasis: str) -> Tensor:
    """``embeds`` of one chunk, (1, tokens, width), each token times its weight (1, tokens).

    "a1111" then restores the original mean of all numbers, which keeps the UNet's input in its
    usual range; "no-norm" does not. Without ``weights`` nothing changes. Raises ``SettingError`` if
    the weights cancel out, so that no factor can restore the mean.

    Source: A1111's ``modules/sd_emphasis.py``; the means are taken in float32.
    """
    if weights is None:
        return embeds
    emphasised = embeds * weights.to(embeds)[..., None]
    if emphasis == "no-norm":
        return emphasised
    factor = embeds.float().mean() / emphasised.float().mean()
    if not factor.isfinite():
        raise SettingError(
            "emphasis 'a1111' cannot restore the mean of this prompt, because its weights cancel "
            "out: change the weights, or use emphasis 'no-norm'"
        )
    return emphasised * factor.to(embeds.dtype)
