"""Weighted words: what the text encoder made of them is multiplied."""

from torch import Tensor

from sdloop.errors import SettingError


def weighted(embeds: Tensor, weights: Tensor | None, emphasis: str) -> Tensor:
    """``embeds`` of one chunk, (1, tokens, width), each token times its weight (1, tokens).

    "a1111" then brings the mean of all numbers back to what it was, which keeps the UNet's input
    in its range, and "no-norm" does not. Without ``weights`` nothing is touched. Raises
    ``SettingError`` where the weights cancel each other, so that no factor brings the mean back.

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
            "emphasis 'a1111' cannot restore the mean of these words, their weights cancel each "
            "other: change them, or take emphasis 'no-norm'"
        )
    return emphasised * factor.to(embeds.dtype)
