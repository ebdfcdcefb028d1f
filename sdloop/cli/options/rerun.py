"""The flags of ``sdloop rerun``: changes to the settings in a picture's file."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option
from sdloop.cli.options.image import Hires, ImageOptions
from sdloop.cli.options.recipe import Count

RunCode = Annotated[
    bool,
    option(
        "Guidance",
        "Run Python code that the files name. Their losses may need it. Use it only for files "
        "that you trust.",
        "--run-code",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeOptions:
    """Changes that only ``rerun`` has flags for."""

    run_code: RunCode = False

    prompt: Annotated[
        str | None,
        option("Picture", "New prompt, instead of the recorded one.", "--prompt"),
    ] = None
    hires: Hires = None
    drop: Annotated[
        list[str] | None,
        option(
            "Picture",
            "Remove a setting, as if it had never been given. May be repeated.",
            "--drop",
            metavar="FIELD",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherImageOptions(ImageOptions):
    """Another input picture, or another strength for the same one."""

    images: Annotated[
        list[str] | None,
        option(
            "Start",
            "Picture to start from, not the recorded one.",
            *("--image", "-i", "--init-image"),
            metavar="IMAGE",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherSeedOptions:
    """New seeds, number of pictures, and a settings file with changes."""

    seed: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            "New seeds for each file: 4, or 4,7,9, or 1..100.",
            "--seed",
            metavar="SEEDS",
        ),
    ] = None
    count: Count = None
    config: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            "TOML file with changes; flags override it. Your own settings file does not change "
            "pictures.",
            "--config",
            metavar="FILE.toml",
        ),
    ] = None
