"""What the name of a LoRA's tensor says: the part, its layer, and which of the layer's tensors.

All layouts are read: kohya's and LyCORIS' (``lora_unet_mid_block_….lora_down.weight``), that of
diffusers and peft (``unet.mid_block.….lora_A.weight``), and that of diffusers before peft
(``unet.….processor.to_q_lora.down.weight``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

# The beginnings of names → the part of the model.
STARTS: Mapping[str, str] = {
    "lora_unet_": "unet",
    "lycoris_": "unet",
    "unet.": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "text_encoder.": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "text_encoder_2.": "text_encoder_2",
}
PARTS = tuple(dict.fromkeys(STARTS.values()))

_LOHA = ("hada_w1_a", "hada_w1_b", "hada_t1", "hada_w2_a", "hada_w2_b", "hada_t2")
_LOKR = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
# The ends of names → what ``LayerTensor.kind`` calls them.
_ENDS: Mapping[str, str] = {
    ".lora_down.weight": "down",
    ".lora_A.weight": "down",
    ".lora.down.weight": "down",
    "_lora.down.weight": "down",
    ".lora_linear_layer.down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_B.weight": "up",
    ".lora.up.weight": "up",
    "_lora.up.weight": "up",
    ".lora_linear_layer.up.weight": "up",
    ".lora_mid.weight": "mid",
    ".alpha": "alpha",
    ".dora_scale": "dora_scale",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".diff": "diff",
    ".w_norm": "diff",
    ".diff_b": "diff_b",
    ".b_norm": "diff_b",
    **{f".{name}": name for name in (*_LOHA, *_LOKR)},
}
# An ordinary LoRA has these for each layer.
ORDINARY = frozenset({"down", "up", "alpha"})


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerTensor:
    """What a tensor is: ``layer`` has underscores for dots, as kohya writes all layers."""

    part: str
    layer: str
    kind: str


def is_of_layer(name: str) -> bool:
    """Whether a tensor is called like one of a LoRA, for whatever model."""
    return any(name.endswith(end) for end in _ENDS if end != ".alpha")


def read_name(name: str) -> LayerTensor | None:
    """What the tensor called ``name`` is; None for a name in another layout.

    >>> read_name("unet.mid_block.attn1.processor.to_q_lora.down.weight")
    LayerTensor(part='unet', layer='mid_block_attn1_to_q', kind='down')
    """
    start = next((start for start in STARTS if name.startswith(start)), None)
    end = next((end for end in _ENDS if name.endswith(end)), None)
    if start is None or end is None:
        return None
    layer = name.removeprefix(start).removesuffix(end)
    if end == ".alpha":  # some are named after a tensor
        layer = next((layer.removesuffix(e) for e in _ENDS if layer.endswith(e)), layer)
    layer = layer.replace(".processor.", ".").replace(".", "_")
    return LayerTensor(part=STARTS[start], layer=layer, kind=_ENDS[end])
