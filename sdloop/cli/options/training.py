"""The flags of ``sdloop train-embedding``, as a group; see ``options``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.groups import option

PicturesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURES",
        help="Pictures of the new word, or a folder of them. Three to ten are enough.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """The new word, the word to start from, and the settings of the training."""

    token: Annotated[
        str | None, option("Word", 'New word, such as "<my-frog>".', "--token", metavar="WORD")
    ] = None
    init: Annotated[
        str | None,
        option("Word", "Known word to start from. It must be one token.", "--init", metavar="WORD"),
    ] = None
    vectors: Annotated[
        int | None,
        option(
            "Word",
            "Number of vectors for the word. More vectors keep more detail, but also more flaws"
            " of the pictures.",
            "--vectors",
            metavar="N",
            default=1,
        ),
    ] = None
    templates: Annotated[
        list[str] | None,
        option(
            "Training",
            'Text for the pictures, with {} for the word, as in "a photo of a {}". May be '
            "repeated. Default: eight texts that suit any picture.",
            "--template",
            metavar="TEXT",
        ),
    ] = None
    steps: Annotated[
        int | None,
        option(
            "Training",
            "Number of training steps.",
            "--steps",
            metavar="N",
            default=500,
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        option(
            "Training",
            "Learning rate: about how far each number moves per step.",
            "--learning-rate",
            metavar="X",
            default=0.001,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        option(
            "Training",
            "Pictures per training step.",
            "--batch-size",
            metavar="N",
            default=4,
        ),
    ] = None
    seed: Annotated[
        int | None,
        option(
            "Training",
            "Random seed of the training. It decides the pictures, noise and texts of each step.",
            "--seed",
            metavar="N",
            default=0,
        ),
    ] = None
    no_flips: Annotated[
        bool, option("Training", "Do not mirror pictures during training.", "--no-flips")
    ] = False
    held_out: Annotated[
        str | None,
        option(
            "Watching",
            "Folder of other pictures, to measure the loss on. Default: the training pictures.",
            "--held-out",
            metavar="FOLDER",
        ),
    ] = None
    sample_every: Annotated[
        int | None,
        option(
            "Watching",
            "Every N steps, save a row of samples. It has four pictures with the word, and is "
            "next to the file.",
            "--sample-every",
            metavar="N",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        option(
            "Output",
            "Every N steps, save what --resume needs.",
            "--save-every",
            metavar="N",
            default=100,
        ),
    ] = None
    resume: Annotated[
        bool, option("Output", "Continue an interrupted training of this file.", "--resume")
    ] = False
    output: Annotated[
        str | None,
        option("Output", "File for the word.", "--output", "-o", metavar="FILE.safetensors"),
    ] = None
    overwrite: Annotated[bool, option("Output", "Overwrite an existing file.", "--overwrite")] = (
        False
    )
    quiet: Annotated[
        bool, option("Output", "Print nothing but errors to stderr.", "--quiet", "-q")
    ] = False
