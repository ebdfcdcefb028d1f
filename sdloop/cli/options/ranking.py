"""``--rank``: sort pictures by how well they fit their prompts; several commands have it."""

from sdloop.cli.options.fields import options, own

RANKS = ("clip",)


@options(panel="Rank")
class OrderOptions:
    """How pictures are sorted, and how many of them are kept."""

    rank: str | None = own(
        "Sort the pictures, best first. clip: by how well each fits its prompt.", choices=RANKS
    )
    top: int | None = own("Keep only the best N.", metavar="N")
    rank_prompt: str | None = own(
        "Prompt to compare all pictures with. Default: the prompt in each picture's file.",
        metavar="TEXT",
    )
    clip_model: str | None = own(
        "CLIP model for ranking: a hub id or a folder. Default: the embedded one, which "
        "knows only what the embedded model can draw.",
        metavar="MODEL",
        choices=("mini",),
    )


@options(panel="Rank")
class RankOptions(OrderOptions):
    """The same, with ``--device``, for commands that do not have this flag otherwise."""

    device: str | None = own("Device for the CLIP model: auto, cuda, cuda:1, mps or cpu.")
