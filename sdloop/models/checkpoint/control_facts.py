"""What the tensors of a ControlNet's single file tell about its config."""

from collections.abc import Mapping
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.headers import Header
from sdloop.models.checkpoint.t2i_adapter import adapter_config, adapter_facts

# How the tensors' names begin in files of ControlNet's authors.
LDM = "control_model."
_HINT = ("controlnet_cond_embedding.conv_in.weight", "input_hint_block.0.weight")
_ADAPTERS = "adapter.", "body.0.block1.", "body.0.in_conv."
# What else a file may be, by a part of any tensor's name; the first match counts.
_OTHERS = {
    "lora_controlnet": "a Control-LoRA, which sdloop does not support",
    "lllite_": "a ControlNet-LLLite, which sdloop does not support",
    **dict.fromkeys(_HINT, "a ControlNet (use it with --control)"),
    **dict.fromkeys(_ADAPTERS, "a T2I-Adapter (use it with --t2i)"),
    "down_blocks.0.resnets.0.conv1.weight": "a UNet",
    "model.diffusion_model.": "a whole model (use it with --model)",
    "lora_": "a LoRA (use it with --lora)",
}
# What a ControlNet without a config has in common with the UNet that it was trained for.
_SHARED = (
    *("encoder_hid_dim", "encoder_hid_dim_type", "addition_embed_type", "addition_time_embed_dim"),
    *("transformer_layers_per_block", "flip_sin_to_cos", "freq_shift", "down_block_types"),
    *("only_cross_attention", "block_out_channels", "layers_per_block", "downsample_padding"),
    *("mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim"),
    *("attention_head_dim", "num_attention_heads", "use_linear_projection", "upcast_attention"),
    *("resnet_time_scale_shift", "projection_class_embeddings_input_dim", "mid_block_type"),
)


def facts_of(field: str, header: Header) -> dict[str, Any]:
    """What a single file tells about its config; raises ``ModelError`` if it is of another kind."""
    tensors = {name.removeprefix(LDM): shape for name, shape in header.tensors.items()}
    facts = _control_facts(tensors) if field == "controls" else adapter_facts(tensors)
    if facts is None:
        found = (what for piece, what in _OTHERS.items() if any(piece in one for one in tensors))
        nothing = {
            "controls": "not a ControlNet: it has no layers for a picture of edges or depths",
            "t2i_adapters": "not a T2I-Adapter: it has no blocks for a picture of edges or depths",
        }
        raise ModelError(f"{header.path} is {next(found, nothing[field])}")
    return facts


def whole_config(field: str, facts: Mapping[str, Any], unet: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a single file, for a model with a UNet of this config."""
    if field == "t2i_adapters":
        return adapter_config(facts, unet)
    return {**{name: unet[name] for name in _SHARED if name in unet}, **facts}


def _control_facts(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    start = next((name for name in _HINT if name in tensors), None)
    if start is None:
        return None
    facts: dict[str, Any] = {
        "conditioning_channels": tensors[start][1],
        "conditioning_embedding_out_channels": _halvings(tensors, start),
    }
    widths = [shape[-1] for name, shape in tensors.items() if name.endswith("attn2.to_k.weight")]
    facts |= {"cross_attention_dim": widths[0]} if widths else {}
    return facts | (_union_facts(tensors) if "task_embedding" in tensors else {})


def _union_facts(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """What a ControlNet-Union has beside: what joins the pictures of several kinds."""
    kinds, width = tensors["task_embedding"]
    layers = sum(name.endswith(".ln_1.weight") for name in tensors)
    return {
        "num_control_type": kinds,
        "num_trans_channel": width,
        "num_proj_channel": width,
        "num_trans_layer": layers,
    }


def _halvings(tensors: Mapping[str, tuple[int, ...]], start: str) -> tuple[int, ...]:
    """The channels of the layers that make the picture as small as the latents."""
    layer, places = "controlnet_cond_embedding.blocks.{}.weight", range(1, 15, 2)
    if start == _HINT[1]:
        layer, places = "input_hint_block.{}.weight", range(4, 14, 4)
    names = map(layer.format, places)
    return (tensors[start][0], *(tensors[name][0] for name in names if name in tensors))
