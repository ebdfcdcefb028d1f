"""``sdloop bench memory``: predict how much GPU memory a model takes."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from sdloop.cli.options.groups import option
from sdloop.cli.terminal.columns import columns
from sdloop.cli.terminal.output import emit
from sdloop.recipe.parse import parse_pair
from sdloop.rules import MAX_SIDE, check_multiple, check_whole

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.recipe.recipe import Recipe

_PICTURE = "picture.png"  # any one: only the parts that see it count


def memory(
    model: Annotated[str, option("Options", "Model, as for txt2img.", *("--model", "-m"))] = "mini",
    size: Annotated[
        str | None,
        option("Options", "Size of the picture: 512x768. [default: the model's]", "--size"),
    ] = None,
    refiner: Annotated[
        str | None, option("Options", "Refiner, as for txt2img.", "--refiner", metavar="NAME")
    ] = None,
    lora: Annotated[
        list[str] | None,
        option("Options", "LoRA, as for txt2img; repeatable.", "--lora", metavar="NAME"),
    ] = None,
    control: Annotated[
        list[str] | None,
        option(
            "Options", "ControlNet, without a picture; repeatable.", "--control", metavar="NAME"
        ),
    ] = None,
    t2i: Annotated[
        list[str] | None,
        option("Options", "T2I-Adapter, its name alone; repeatable.", "--t2i", metavar="NAME"),
    ] = None,
    ip_adapter: Annotated[
        str | None,
        option("Options", "IP-Adapter, as for txt2img.", "--ip-adapter", metavar="NAME"),
    ] = None,
    safety: Annotated[
        bool, option("Options", "Count the model's safety checker too.", "--safety")
    ] = False,
    json_lines: Annotated[bool, option("Options", "Print one line of JSON.", "--json")] = False,
) -> None:
    """Predict how much GPU memory a model takes, with each --dtype and --memory.

    It is for one picture with guidance: the weights, and the largest tensors that live at the same
    time, which are counted. Nothing is loaded, and no GPU is needed. CUDA itself takes about 0.5 GB
    more.

    Examples:
      sdloop bench memory -m stabilityai/stable-diffusion-xl-base-1.0
      sdloop bench memory -m mini --control edges --size 192x128
    """
    from sdloop.models.checkpoint.find import find_checkpoint
    from sdloop.recipe.recipe import Recipe

    found = find_checkpoint(model, refiner=refiner)
    pixels = found.native_size if size is None else parse_pair("size", size)
    for side in pixels:
        check_whole("size", side, found.size_multiple, MAX_SIDE)
        check_multiple("size", side, found.size_multiple)
    parts: dict[str, Any] = {
        "loras": lora or [],
        "controls": [f"{name}={_PICTURE}" for name in control or ()],
        "t2i_adapters": [f"{name}={_PICTURE}" for name in t2i or ()],
    }
    if ip_adapter is not None:
        parts |= {"ip_adapter": ip_adapter, "image_prompts": [_PICTURE]}
    width, height = pixels
    recipe = Recipe(prompt="", seed=0, width=width, height=height, guidance_scale=7.5, **parts)
    peaks = predicted(found, recipe, safety=safety)
    if json_lines:
        emit(json.dumps({"model": found.name, "size": pixels, "bytes": peaks}))
        return
    choices = next(iter(peaks.values()))
    head = ["--dtype", *(f"--memory {name}" for name in choices)]
    rows = [[dtype, *map(_size_text, row.values())] for dtype, row in peaks.items()]
    for line in columns([head, *rows]):
        emit(line)


def predicted(
    model: "Checkpoint", recipe: "Recipe", *, safety: bool = False
) -> dict[str, dict[str, int]]:
    """The peak in bytes for each dtype and each choice of memory."""
    import torch

    from sdloop.models.components.load import without_numbers
    from sdloop.models.memory_names import MEMORY
    from sdloop.pipeline.memory import needs_for

    found = {}
    for name, dtype in (
        ("fp32", torch.float32),
        ("bf16", torch.bfloat16),
        ("fp8", torch.bfloat16),
    ):
        components = without_numbers(model, dtype, fp8=name == "fp8")
        needs = needs_for(components, recipe, safety=safety)
        found[name] = {memory: needs.peak(memory) for memory in MEMORY}
    return found


def _size_text(size: int) -> str:
    return f"{size / 2**30:.2f} GB" if size >= 2**29 else f"{size / 2**20:.0f} MB"
