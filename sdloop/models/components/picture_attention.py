"""Attention to a prompt and to pictures, as IP-Adapters add it to a UNet."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, scaled_dot_product_attention

from sdloop.models.components.shell import shell
from sdloop.models.components.weights import Module


class KeysAndValues(torch.nn.Module):
    """What an IP-Adapter has for one layer; the names are those in its file."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.to_k_ip = torch.nn.Linear(width, hidden, bias=False)
        self.to_v_ip = torch.nn.Linear(width, hidden, bias=False)


class Look(NamedTuple):
    """The next so many ``tokens`` are seen together, as one text would be, and count ``scale``.

    ``layers`` are an adapter's ``KeysAndValues``, in the order of ``cross_attentions``. With
    ``placed``, the tokens are those of one picture, and the next mask is its own.
    """

    layers: Module
    tokens: int
    scale: float
    placed: bool


class PictureAttention(torch.nn.Module):
    """The attention of one layer; diffusers calls it as the layer's processor.

    ``looks`` are done one after the other, each with ``own`` keys and values, and what is seen in
    all of them is added.

    Source: Ye et al. 2023 (arXiv:2308.06721), equation 5; masks as in diffusers.
    """

    def __init__(self, looks: Sequence[Look], own: Sequence[KeysAndValues]) -> None:
        super().__init__()
        self.tokens = [look.tokens for look in looks]
        self.scales = [look.scale for look in looks]
        self.placed = [look.placed for look in looks]
        self.own: Any = torch.nn.ModuleList(own)

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: tuple[Tensor, Tensor],
        attention_mask: None = None,
        temb: None = None,
        ip_adapter_masks: Tensor | None = None,
    ) -> Tensor:
        """The layer's output (rows, places, width).

        The ``encoder_hidden_states`` are those of the prompts (rows, tokens, width) and of the
        pictures of all looks (rows, tokens, width). ``ip_adapter_masks`` (rows, placed pictures,
        height, width), 0 to 1, have the size of the picture that is made.
        """
        text, pictures = encoder_hidden_states
        query, mask = attn.to_q(hidden_states), 0
        seen = _attend(attn, query, attn.to_k(text), attn.to_v(text))
        for own, tokens, scale, placed in zip(
            self.own,
            torch.split(pictures, self.tokens, dim=1),
            self.scales,
            self.placed,
            strict=True,
        ):
            one = _attend(attn, query, own.to_k_ip(tokens), own.to_v_ip(tokens))
            if placed:
                assert ip_adapter_masks is not None
                one, mask = one * _at_places(ip_adapter_masks[:, mask], one), mask + 1
            seen = seen + scale * one
        out: Tensor = attn.to_out[1](attn.to_out[0](seen))
        return out


def seeing(unet: Module, looks: Sequence[Look]) -> Module:
    """A copy of ``unet`` that takes pictures' tokens as ``image_embeds``: see ``Look``."""
    twin = shell(unet)
    rows = zip(*(look.layers.values() for look in looks), strict=True)
    for attention, own in zip(cross_attentions(twin), rows, strict=True):
        attention.set_processor(PictureAttention(looks, own))
    twin.encoder_hid_proj = torch.nn.Identity()  # the adapter's projection has run already
    twin.config.encoder_hid_dim_type = "ip_image_proj"
    return twin


def cross_attentions(unet: Module) -> list[Any]:
    """The layers that attend to the prompt, in the order of diffusers' ``attn_processors``."""
    names = [name.removesuffix(".processor") for name in unet.attn_processors]
    return [unet.get_submodule(name) for name in names if name.endswith(".attn2")]


def _attend(attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    query, key, value = (
        one.view(*one.shape[:2], attn.heads, -1).transpose(1, 2) for one in (query, key, value)
    )
    seen = scaled_dot_product_attention(query, key, value)
    return seen.transpose(1, 2).flatten(2).to(query.dtype)


def _at_places(mask: Tensor, like: Tensor) -> Tensor:
    """A mask (rows, height, width) at the places of a layer's output: (rows, places, 1).

    Each level of the UNet has half of the places of the last one along both sides, rounded up.
    """
    (height, width), places, shrunk = mask.shape[-2:], like.shape[1], 1
    while -(-height // shrunk) * -(-width // shrunk) > places:
        shrunk *= 2
    size = -(-height // shrunk), -(-width // shrunk)
    assert size[0] * size[1] == places, f"{places} places are no level of {height}x{width}"
    small = interpolate(mask[None], size=size, mode="bicubic")[0]
    return small.flatten(1)[..., None].to(like.dtype)
