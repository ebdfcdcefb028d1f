"""``sdloop bench memory``: predict how much GPU memory a model takes."""

import json
from typing import TYPE_CHECKING, Any

from sdloop.cli.options.bench import BenchOptions
from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import with_options
from sdloop.cli.terminal.columns import columns
from sdloop.cli.terminal.output import emit
from sdloop.recipe.parse import parse_pair
from sdloop.rules import MAX_SIDE, check_multiple, check_whole

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.recipe.recipe import Recipe

_PICTURE = "picture.png"  # any one: only the parts that see it count


@options(panel="Options")
class MemoryOptions(BenchOptions):
    """What is made, and with which parts."""

    size: str | None = own("Size of the picture: 512x768.", metavar="WxH", default="the model's")
    refiner: str | None = own("Refiner, as for txt2img.", metavar="NAME")
    lora: list[str] | None = own("LoRA, as for txt2img; repeatable.", metavar="NAME")
    control: list[str] | None = own("ControlNet, without a picture; repeatable.", metavar="NAME")
    t2i: list[str] | None = own("T2I-Adapter, its name alone; repeatable.", metavar="NAME")
    ip_adapter: str | None = own("IP-Adapter, as for txt2img.", metavar="NAME")
    safety: bool = own("Count the model's safety checker too.")


@with_options
def memory(*, run: MemoryOptions) -> None:
    """Predict how much GPU memory a model takes, with each --dtype and --memory.

    It is for one picture with guidance: the weights, and the largest tensors that live at the same
    time, which are counted. Nothing is loaded, and no GPU is needed. CUDA itself takes about 0.5 GB
    more.

    Examples:
      sdloop bench memory -m stabilityai/stable-diffusion-xl-base-1.0
      sdloop bench memory -m mini --control edges --size 192x128
    """
    from sdloop.models.checkpoint.find import find_checkpoint

    found = find_checkpoint(run.model, refiner=run.refiner)
    recipe = _recipe(found, run)
    peaks = predicted(found, recipe, safety=run.safety)
    if run.json:
        emit(json.dumps({"model": found.name, "size": recipe.size, "bytes": peaks}))
        return
    choices = next(iter(peaks.values()))
    head = ["--dtype", *(f"--memory {name}" for name in choices)]
    rows = [[dtype, *map(_size_text, row.values())] for dtype, row in peaks.items()]
    for line in columns([head, *rows]):
        emit(line)


def _recipe(model: "Checkpoint", run: MemoryOptions) -> "Recipe":
    from sdloop.recipe.recipe import Recipe

    size = model.native_size if run.size is None else parse_pair("size", run.size)
    for side in size:
        check_whole("size", side, model.size_multiple, MAX_SIDE)
        check_multiple("size", side, model.size_multiple)
    parts: dict[str, Any] = {
        "loras": run.lora or [],
        "controls": [f"{name}={_PICTURE}" for name in run.control or ()],
        "t2i_adapters": [f"{name}={_PICTURE}" for name in run.t2i or ()],
    }
    if run.ip_adapter is not None:
        parts |= {"ip_adapter": run.ip_adapter, "image_prompts": [_PICTURE]}
    width, height = size
    return Recipe(prompt="", seed=0, width=width, height=height, guidance_scale=7.5, **parts)


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
