"""The flags of ``sdloop train-embedding``, in a group like those of ``options``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.groups import option

PicturesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PICTURES",
        help="What the new word means: pictures, or a folder of them; three to ten are plenty.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingOptions:
    """What is learned, from which word on, and for how long."""

    token: Annotated[
        str | None, option("Word", 'The new word, such as "<my-frog>".', "--token", metavar="WORD")
    ] = None
    init: Annotated[
        str | None,
        option("Word", "The known word that it starts from, one token.", "--init", metavar="WORD"),
    ] = None
    vectors: Annotated[
        int | None,
        option(
            "Word",
            "How many positions it takes; more hold more of the pictures, and of their faults.",
            "--vectors",
            metavar="N",
            default=1,
        ),
    ] = None
    templates: Annotated[
        list[str] | None,
        option(
            "Training",
            'What is said of a picture, with {} for the word, as in "a photo of a {}"; may be '
            "repeated. Default: eight that suit any picture.",
            "--template",
            metavar="TEXT",
        ),
    ] = None
    steps: Annotated[
        int | None,
        option(
            "Training",
            "How often the vectors are moved.",
            "--steps",
            metavar="N",
            default=500,
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        option(
            "Training",
            "How far each number moves at a step, about.",
            "--learning-rate",
            metavar="X",
            default=0.001,
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        option(
            "Training",
            "Pictures looked at for each step.",
            "--batch-size",
            metavar="N",
            default=4,
        ),
    ] = None
    seed: Annotated[
        int | None,
        option(
            "Training",
            "Which pictures, noise and wordings each step draws.",
            "--seed",
            metavar="N",
            default=0,
        ),
    ] = None
    no_flips: Annotated[
        bool, option("Training", "Never look at a picture in a mirror.", "--no-flips")
    ] = False
    held_out: Annotated[
        str | None,
        option(
            "Watching",
            "Pictures that are not learned from, to measure the loss on. Default: those that are.",
            "--held-out",
            metavar="FOLDER",
        ),
    ] = None
    sample_every: Annotated[
        int | None,
        option(
            "Watching",
            "After every so many steps a row of four pictures of the word, beside the file.",
            "--sample-every",
            metavar="N",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        option(
            "Output",
            "After every so many steps all that --resume needs.",
            "--save-every",
            metavar="N",
            default=100,
        ),
    ] = None
    resume: Annotated[
        bool, option("Output", "Go on where a training of this file stopped.", "--resume")
    ] = False
    output: Annotated[
        str | None,
        option("Output", "The word's file.", "--output", "-o", metavar="FILE.safetensors"),
    ] = None
    overwrite: Annotated[
        bool, option("Output", "Replace a file that is there already.", "--overwrite")
    ] = False
    quiet: Annotated[
        bool, option("Output", "Say nothing but errors on stderr.", "--quiet", "-q")
    ] = False
