"""The flags of ``sdloop train-embedding``, as a group; see ``options``."""

from typing import Annotated

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import argument

PicturesArgument = Annotated[
    list[str] | None,
    argument("PICTURES", "Pictures of the new word, or a folder of them. Three to ten are enough."),
]


@options(panel="Training")
class TrainingOptions:
    """The new word, the word to start from, and the settings of the training."""

    token: str | None = own('New word, such as "<my-frog>".', panel="Word", metavar="WORD")
    init: str | None = own(
        "Known word to start from. It must be one token.", panel="Word", metavar="WORD"
    )
    vectors: int | None = own(
        "Number of vectors for the word. More vectors keep more detail, and more of the "
        "pictures' flaws.",
        panel="Word",
        metavar="N",
        default=1,
    )
    templates: list[str] | None = own(
        'Text for the pictures, with {} for the word, as in "a photo of a {}". May be '
        "repeated. Default: eight texts that suit any picture.",
        "--template",
        metavar="TEXT",
    )
    steps: int | None = own("Number of training steps.", metavar="N", default=500)
    learning_rate: float | None = own(
        "Learning rate: about how far each number moves per step.", metavar="X", default=0.001
    )
    batch_size: int | None = own("Pictures per training step.", metavar="N", default=4)
    seed: int | None = own(
        "Random seed of the training. It decides the pictures, noise and texts of each step.",
        metavar="N",
        default=0,
    )
    no_flips: bool = own("Do not mirror pictures during training.")
    held_out: str | None = own(
        "Folder of other pictures, to measure the loss on. Default: the training pictures.",
        panel="Watching",
        metavar="FOLDER",
    )
    sample_every: int | None = own(
        "Every N steps, save a row of samples. It shows four pictures of the word, and is "
        "saved next to the file.",
        panel="Watching",
        metavar="N",
    )
    save_every: int | None = own(
        "Every N steps, save what --resume needs.", panel="Output", metavar="N", default=100
    )
    resume: bool = own("Continue an interrupted training of this file.", panel="Output")
    output: str | None = own("File for the word.", "-o", panel="Output", metavar="FILE.safetensors")
    overwrite: bool = own("Overwrite an existing file.", panel="Output")
    quiet: bool = own("Print nothing but errors to stderr.", "-q", panel="Output")
