"""``sdloop models``: list the models on this machine, and what to type for each."""

from typing import Annotated

import typer

from sdloop.cli.options.groups import option
from sdloop.cli.options.model import Revision, Unet, Vae, Variant
from sdloop.errors import SettingError

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Model to describe: mini, a hub id, a diffusers folder, a .safetensors file or its "
        "address.",
        show_default=False,
        autocompletion=lambda: ["mini"],
    ),
]

Hash = Annotated[
    bool, option("Output", "Also hash the model's files; this reads all of them.", "--hash")
]

Json = Annotated[bool, option("Output", "Print one line of JSON per model.", "--json")]


def models(
    model: Model = None,
    *,
    revision: Revision = None,
    variant: Variant = None,
    vae: Vae = None,
    unet: Unet = None,
    hashes: Hash = False,
    json_lines: Json = False,
) -> None:
    """List the models on this machine, or describe one.

    These are the small built-in model and the complete ones in the Hugging Face cache. Nothing is
    downloaded.

    Examples:
      sdloop models
      sdloop models mini
      sdloop models stabilityai/stable-diffusion-xl-base-1.0 --variant fp16 --json
    """
    if model is None:
        parts = (("vae", vae), ("unet", unet))
        for name, value in (("revision", revision), ("variant", variant), *parts, ("hash", hashes)):
            if value:
                raise SettingError(f"{name} needs a model to be named, got {value!r} without one")
    from sdloop.cli.read.model_card import ModelName
    from sdloop.cli.read.models import list_models, show_model

    if model is None:
        list_models(json_lines=json_lines)
    else:
        named = ModelName(model, revision, variant, vae, unet)
        show_model(named, hashes=hashes, json_lines=json_lines)
