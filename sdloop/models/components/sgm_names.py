"""The layers of a UNet as its first authors named them, and after them kohya's SDXL LoRAs.

Source: CompVis' ``ldm/modules/diffusionmodules/openaimodel.py``, later ``sgm`` of Stability AI.
"""

import re
from collections.abc import Mapping

_ENDS: Mapping[str, str] = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_MIDDLE: Mapping[str, str] = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
_RESNET: Mapping[str, str] = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def sgm_names(layer: str, per_block: int) -> tuple[str, ...]:
    """The names of ``layer`` of diffusers' UNet, which has ``per_block`` layers in each block.

    An upsampler comes after one or two modules, with attention in its block or without.

    >>> sgm_names("down_blocks.1.attentions.0.proj_in", 2)
    ('input_blocks.4.1.proj_in',)
    >>> sgm_names("up_blocks.2.upsamplers.0.conv", 2)
    ('output_blocks.8.1.conv', 'output_blocks.8.2.conv')
    """
    if layer in _ENDS:
        return (_ENDS[layer],)
    found = re.fullmatch(r"(down|mid|up)_blocks?\.(?:(\d+)\.)?(\w+)\.(\d+)\.(.+)", layer)
    if found is None:
        return ()
    where, block, kind, number, rest = found.groups()
    rest = _RESNET.get(rest, rest) if kind == "resnets" else rest
    if where == "mid":
        return (f"middle_block.{_MIDDLE.get(f'{kind}.{number}', '')}.{rest}",)
    place = int(block) * (per_block + 1) + int(number)
    if kind == "downsamplers":
        return (f"input_blocks.{place + per_block + 1}.0.op",)
    if kind == "upsamplers":
        return tuple(f"output_blocks.{place + per_block}.{inner}.conv" for inner in (1, 2))
    start = f"input_blocks.{place + 1}" if where == "down" else f"output_blocks.{place}"
    return (f"{start}.{1 if kind == 'attentions' else 0}.{rest}",)
