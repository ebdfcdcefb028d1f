"""``sdloop models``: list the models on this machine, and what to type for each."""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import argument, given, with_options
from sdloop.errors import SettingError

Model = Annotated[
    str | None,
    argument(
        "MODEL",
        "Model to describe: mini, a hub id, a diffusers folder, a .safetensors file or its "
        "address.",
        "mini",
    ),
]


@options(["revision", "variant", "vae", "unet"])
class PartOptions:
    """Which parts make up the model."""


@options(panel="Output")
class PrintOptions:
    """What is printed."""

    hash: bool = own("Also hash the model's files; this reads all of them.")
    json: bool = own("Print one line of JSON per model.")


@with_options
def models(model: Model = None, *, parts: PartOptions, out: PrintOptions) -> None:
    """List the models on this machine, or describe one.

    These are the small built-in model and the complete ones in the Hugging Face cache. Nothing is
    downloaded.

    Examples:
      sdloop models
      sdloop models mini
      sdloop models stabilityai/stable-diffusion-xl-base-1.0 --variant fp16 --json
    """
    if model is None:
        for name, value in given(parts, out).items():
            if name != "json":
                raise SettingError(f"{name} needs a model to be named, got {value!r} without one")
    from sdloop.cli.read.model_card import ModelName
    from sdloop.cli.read.models import list_models, show_model

    if model is None:
        list_models(json_lines=out.json)
    else:
        show_model(ModelName(model, **given(parts)), hashes=out.hash, json_lines=out.json)
