"""The flags of all commands that make pictures, in groups.

Most are rows of the table of settings, see ``sdloop.recipe.fields``. A field has the same name as
the setting in a Recipe, in TOML and in a picture's metadata. ``None`` means that the flag was not
given, so a settings file may set it.
"""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import argument
from sdloop.recipe.fields import CONTROL, LOSSES, PRESET, REGIONS, WORDS
from sdloop.recipe.fields_picture import GUIDANCE, PICTURE, REFINER, SCHEDULER, SDXL, SEEDS

PromptArgument = Annotated[
    str | None,
    argument(
        "PROMPT",
        'What the picture shows. "-" reads it from standard input. (word:1.3), [word], '
        "[this:that:0.5] and BREAK mean the same as in A1111.",
    ),
]


@options(
    *(PRESET, PICTURE, SEEDS, CONTROL, GUIDANCE, SCHEDULER, REGIONS, LOSSES, WORDS, SDXL, REFINER),
    panel="Picture",
)
class RecipeOptions:
    """The settings that decide the pixels of every picture, except model and seed."""

    size: str | None = own("Width and height in pixels, as in 512x768.", metavar="WxH")


COUNT = own(
    "Number of pictures; their seeds count up from --seed.", panel="Prompts and seeds", metavar="N"
)


@options(panel="Prompts and seeds")
class SeedOptions:
    """Seeds, number of pictures, prompt file and settings file."""

    seed: str | None = own(
        "Random seeds: 4, or 4,7,9, or 1..100. Default: a random one, which is printed.",
        metavar="SEEDS",
    )
    count: int | None = COUNT
    from_file: str | None = own(
        'File with one prompt per line; "-" is standard input. A line is a text, a text '
        "with kohya's options (--n --w --h --s --d --l --t --f), or JSON as --dry-run "
        "prints it.",
        metavar="FILE",
    )
    config: str | None = own("TOML file with settings; flags override it.", metavar="FILE.toml")
