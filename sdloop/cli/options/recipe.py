"""The flags of all commands that make pictures, in groups.

Most are rows of the table of settings, see ``sdloop.recipe.fields``. A field has the same name as
the setting in a Recipe, in TOML and in a picture's metadata. ``None`` means that the flag was not
given, so a settings file may set it.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.fields import takes
from sdloop.cli.options.groups import option
from sdloop.recipe.fields import CONTROL, LOSSES, PRESET, REGIONS, WORDS
from sdloop.recipe.fields_picture import GUIDANCE, PICTURE, REFINER, SCHEDULER, SDXL, SEEDS

PromptArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT",
        help='What the picture shows. "-" reads it from standard input. (word:1.3), [word], '
        "[this:that:0.5] and BREAK mean the same as in A1111.",
        show_default=False,
    ),
]


@takes(
    *(PRESET, PICTURE, SEEDS, CONTROL, GUIDANCE, SCHEDULER, REGIONS, LOSSES, WORDS, SDXL, REFINER)
)
class RecipeOptions:
    """The settings that decide the pixels of every picture, except model and seed."""

    size: Annotated[
        str | None,
        option("Picture", "Width and height in pixels, as in 512x768.", "--size", metavar="WxH"),
    ] = None


Count = Annotated[
    int | None,
    option(
        "Prompts and seeds",
        "Number of pictures; their seeds count up from --seed.",
        "--count",
        metavar="N",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedOptions:
    """Seeds, number of pictures, prompt file and settings file."""

    seed: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            "Random seeds: 4, or 4,7,9, or 1..100. Default: a random one, which is printed.",
            "--seed",
            metavar="SEEDS",
        ),
    ] = None
    count: Count = None
    from_file: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            'File with one prompt per line; "-" is standard input. A line is a text, a text '
            "with kohya's options (--n --w --h --s --d --l --t --f), or JSON as --dry-run "
            "prints it.",
            "--from-file",
            metavar="FILE",
        ),
    ] = None
    config: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            "TOML file with settings; flags override it.",
            "--config",
            metavar="FILE.toml",
        ),
    ] = None
