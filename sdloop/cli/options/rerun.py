"""The flags of ``sdloop rerun``: all that decides a picture, as changes of what is in its file."""

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
    """What is changed, beside the settings that other commands have flags for as well."""

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
    """Another picture to start from, or more or less of the same."""

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
    """Which pictures of each Recipe, and where changes may come from."""

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
