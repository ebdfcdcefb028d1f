"""What a T2I-Adapter adds to a UNet, and what the tensors of a single file tell about its config.

There are three kinds: a full one for UNets that begin with a block that attends to the prompt (SD 1
and SD 2), one for UNets that begin without (SDXL, the embedded model), and a light one.
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sdloop.errors import ModelError

LIGHT, LARGE = "light_adapter", "full_adapter_xl"
# Of UNets and adapters whose config does not say it.
_CHANNELS, _BLOCKS = (320, 640, 1280, 1280), (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D")

_FLAT = re.compile(r"body\.(\d+)\.(block[12])\.")
_NESTED = re.compile(r"(body\.\d+)\.body\.")


class Level(NamedTuple):
    """Channels, and how many pixels of the picture's width one of their values stands for."""

    channels: int
    pixels: int


def check_adapter(name: str, config: Mapping[str, Any], unet: Mapping[str, Any], model: str,
                  factor: int) -> None:  # fmt: skip
    """Raise ``ModelError`` for an adapter that does not add what such a UNet takes.

    ``factor`` is that of the model's VAE: pixels per latent.
    """
    colours = config.get("in_channels", 3)
    if colours not in (1, 3):
        raise ModelError(f"t2i_adapters must have in_channels 1 or 3, got {colours}: {name}")
    given, (blocks, middle) = _given(config), _taken(unet, factor)
    # In UNets of SDXL the layers in the middle take the last level.
    if given not in (blocks, [*blocks, middle]):
        raise ModelError(
            f"t2i_adapters must be made for the model's family: {name} adds {_listed(given)}, and "
            f"{model} takes {_listed(blocks)}"
        )


def _given(config: Mapping[str, Any]) -> list[Level]:
    channels, kind = list(config.get("channels", _CHANNELS)), config.get("adapter_type")
    first = config.get("downscale_factor", 8)
    if kind == LIGHT:
        channels.append(channels[-1])
    halvings = [int(place > 1) if kind == LARGE else place for place in range(len(channels))]
    return [Level(one, first << n) for one, n in zip(channels, halvings, strict=True)]


def _taken(unet: Mapping[str, Any], factor: int) -> tuple[list[Level], Level]:
    """What the blocks of a UNet's first half take, and what is taken in the middle.

    Blocks with attention take it before they make the picture smaller, others after it.
    """
    channels = list(unet.get("block_out_channels", _CHANNELS))
    last, levels = len(channels) - 1, []
    for place, kind in enumerate(unet.get("down_block_types", _BLOCKS)):
        after = place < last and "CrossAttn" not in kind
        levels.append(Level(channels[place], factor << (place + after)))
    return levels, Level(channels[-1], factor << last)


def _listed(levels: Iterable[Level]) -> str:
    return ", ".join(f"{one.channels} channels for {one.pixels} pixels" for one in levels)


def adapter_names(names: Iterable[str]) -> dict[str, str]:
    """The names in a file → those of diffusers, which a file may also have.

    The layout of the adapters' authors has no levels, but a list of blocks, two for each level.
    In light ones it has levels, whose blocks are called ``body`` too.

    >>> list(adapter_names(["body.3.block1.bias", "body.2.in_conv.bias"]).values())
    ['adapter.body.1.resnets.1.block1.bias', 'adapter.body.1.in_conv.bias']
    """
    found = {name: name.removeprefix("adapter.") for name in names}
    flat = any(_FLAT.match(name) for name in found.values())
    return {
        name: "adapter." + (_leveled(bare) if flat else _NESTED.sub(r"\1.resnets.", bare))
        for name, bare in found.items()
    }


def _leveled(name: str) -> str:
    body, number, *rest = name.split(".")
    if body != "body":
        return name
    level, block = divmod(int(number), 2)
    inside = [] if rest[0] == "in_conv" else ["resnets", str(block)]
    return ".".join([body, str(level), *inside, *rest])


def adapter_facts(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, Any] | None:
    """What shapes tell about an adapter's config; None if it is none.

    They do not tell the full kinds apart.
    """
    named = {new: tensors[old] for old, new in adapter_names(tensors).items()}
    light = "adapter.body.0.out_conv.weight" in named
    start = named.get(f"adapter.{'body.0.in_conv' if light else 'conv_in'}.weight")
    blocks = [name for name in named if name.endswith("block1.weight") and ".resnets." in name]
    if start is None or not blocks:
        return None
    last = "out_conv" if light else "resnets.0.block1"
    levels = [f"adapter.body.{place}.{last}.weight" for place in range(len(named))]
    channels = [named[name][0] for name in levels if name in named]
    colours = 3 if start[1] % 3 == 0 else 1
    return {
        "in_channels": colours,
        "downscale_factor": math.isqrt(start[1] // colours),
        "channels": channels[:-1] if light else channels,
        "num_res_blocks": sum(name.startswith("adapter.body.0.") for name in blocks),
        **({"adapter_type": LIGHT} if light else {}),
    }


def adapter_config(facts: Mapping[str, Any], unet: Mapping[str, Any]) -> dict[str, Any]:
    """The whole config: adapters whose kind their file does not tell are of the UNet's."""
    large = "CrossAttn" not in unet.get("down_block_types", _BLOCKS)[0]
    return {"adapter_type": LARGE if large else "full_adapter", **facts}
