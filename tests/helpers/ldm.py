"""Write models as single files in the layout of CompVis and Stability, for sdloop to read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sdloop.models.components.load import Components
from sdloop.models.components.sgm_names import sgm_names

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "time_embedding.cond_proj": "time_embed.cond_proj",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
_VAE = {
    "conv_norm_out": "norm_out",
    "conv_shortcut": "nin_shortcut",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0": "mid.attn_1",
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
}
_OPEN_CLIP = {
    "encoder.layers.": "transformer.resblocks.",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "final_layer_norm": "ln_final",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.": "attn.",
}


def _replaced(name: str, pairs: Mapping[str, str]) -> str:
    """``name`` with whole dotted words replaced."""
    for old, new in pairs.items():
        name = re.sub(rf"(?:^|(?<=\.)){re.escape(old)}", new, name)
    return name


def ldm_tensors(components: Components) -> dict[str, Tensor]:
    """All tensors under the names that the training code of the family gave them."""
    unet = components.unet.state_dict()
    names = ldm_unet_names(components)
    tensors = {f"model.diffusion_model.{names[name]}": tensor for name, tensor in unet.items()}
    tensors |= {f"first_stage_model.{n}": t for n, t in ldm_vae(components).items()}
    text = components.text_encoder.state_dict()
    if components.text_encoder_2 is not None:
        start = "conditioner.embedders.0.transformer.text_model."
        tensors |= _named(start, text)
        tensors |= _open_clip("conditioner.embedders.1.model.", components.text_encoder_2)
    elif components.scores:
        tensors |= _open_clip("conditioner.embedders.0.model.", components.text_encoder)
    elif components.unet.config.use_linear_projection:
        tensors |= _open_clip("cond_stage_model.model.", components.text_encoder)
    else:
        tensors |= _named("cond_stage_model.transformer.text_model.", text)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def ldm_unet_names(components: Components) -> dict[str, str]:
    """The names of the UNet's tensors in diffusers → those in the training code."""
    step = components.unet.config.layers_per_block + 1
    unet = components.unet.state_dict()
    attends = {name.split(".attentions")[0] for name in unet if ".attentions" in name}
    return {name: _unet_name(name, step, attends) for name in unet}


def _named(start: str, text: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {start + name.removeprefix("text_model."): tensor for name, tensor in text.items()}


def _unet_name(name: str, step: int, attends: set[str]) -> str:
    match = re.match(r"((down|up)_blocks\.(\d+))\.(\w+)\.(\d+)\.(.+)", name)
    if match is None:
        return _replaced(_replaced(name, _UNET), _RESNET if "resnets" in name else {})
    block, side, kind, rest = match[1], match[2], match[4], match[6]
    first = int(match[3]) * step
    if kind == "downsamplers":
        return f"input_blocks.{first + step}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{first + step - 1}.{1 + (block in attends)}.{rest}"
    number = first + int(match[5])
    place = f"input_blocks.{number + 1}" if side == "down" else f"output_blocks.{number}"
    if kind == "attentions":
        return f"{place}.1.{rest}"
    return f"{place}.0.{_replaced(rest, _RESNET)}"


def ldm_vae(components: Components) -> dict[str, Tensor]:
    """The VAE's tensors as in a file of its own, without a prefix."""
    last = len(components.vae.config.block_out_channels) - 1
    tensors = {}
    for name, tensor in components.vae.state_dict().items():
        if ".mid_block.attentions" in name and name.endswith("weight") and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]  # a convolution of one pixel
        name = re.sub(r"down_blocks\.(\d+)", r"down.\1", name)
        name = re.sub(r"up_blocks\.(\d+)", lambda found: f"up.{last - int(found[1])}", name)
        name = re.sub(r"(down|up)\.(\d+)\.resnets", r"\1.\2.block", name)
        tensors[_replaced(name, _VAE)] = tensor
    return tensors


def _open_clip(start: str, text_encoder: Any) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    text = _named("", text_encoder.state_dict())
    for name, tensor in text.items():
        if name == "text_projection.weight":
            tensors[f"{start}text_projection"] = tensor.T
        elif ".self_attn." not in name or ".out_proj." in name:
            tensors[start + _replaced(name, _OPEN_CLIP)] = tensor
        elif ".q_proj." in name:  # OpenCLIP keeps the three projections in one
            three = [text[name.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")]
            joined = name.replace("q_proj.", "in_proj_")
            tensors[start + _replaced(joined, _OPEN_CLIP)] = torch.cat(three)
    return tensors


def save_ldm_file(components: Components, path: Path, **extra: Tensor) -> Path:
    """A single file, with what real ones carry beside the model."""
    tensors = ldm_tensors(components)
    tensors["model_ema.decay"] = torch.tensor(0.9999)
    tensors["alphas_cumprod"] = torch.linspace(1, 0, 10)
    for name in list(tensors):
        if name.endswith("embeddings.position_embedding.weight"):
            tensors[name.replace("position_embedding.weight", "position_ids")] = torch.arange(77)[
                None
            ]
        if name.endswith("positional_embedding"):
            tensors[name.replace("positional_embedding", "logit_scale")] = torch.tensor(4.6)
    save_file(tensors | extra, path)
    return path


def control_as_ldm(net: Any, prefix: str) -> dict[str, Tensor]:
    """The tensors of a ControlNet under the names of its authors."""
    hint = "controlnet_cond_embedding"
    last = 2 * len(net.controlnet_cond_embedding.blocks) + 2
    named = {
        f"{hint}.conv_in": "input_hint_block.0",
        f"{hint}.conv_out": f"input_hint_block.{last}",
    }
    for place in range(len(net.controlnet_cond_embedding.blocks)):
        named[f"{hint}.blocks.{place}"] = f"input_hint_block.{2 * place + 2}"
    for place in range(len(net.controlnet_down_blocks)):
        named[f"controlnet_down_blocks.{place}"] = f"zero_convs.{place}.0"
    named["controlnet_mid_block"] = "middle_block_out.0"
    tensors = {}
    for name, tensor in net.state_dict().items():
        layer, _, kind = name.rpartition(".")
        ldm = named.get(layer) or sgm_names(layer, net.config.layers_per_block)[0]
        tensors[f"{prefix}{ldm}.{kind}"] = tensor.contiguous()
    return tensors
