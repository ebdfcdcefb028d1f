"""``--rank``: sort pictures by how well they fit their prompts; several commands have it."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option

RANKS = ("clip",)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderOptions:
    """How pictures are sorted, and how many of them are kept."""

    rank: Annotated[
        str | None,
        option(
            "Rank",
            "Sort the pictures, best first. clip: by how well each fits its prompt.",
            "--rank",
            choices=RANKS,
        ),
    ] = None
    top: Annotated[int | None, option("Rank", "Keep only the best N.", "--top", metavar="N")] = None
    rank_prompt: Annotated[
        str | None,
        option(
            "Rank",
            "Prompt to compare all pictures with. Default: the prompt in each picture's file.",
            "--rank-prompt",
            metavar="TEXT",
        ),
    ] = None
    clip_model: Annotated[
        str | None,
        option(
            "Rank",
            "CLIP model for ranking: a hub id or a folder. Default: the embedded one, which "
            "knows only what the embedded model can draw.",
            "--clip-model",
            metavar="MODEL",
            choices=("mini",),
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RankOptions(OrderOptions):
    """The same, with ``--device``, for commands that do not have this flag otherwise."""

    device: Annotated[
        str | None,
        option("Rank", "Device for the CLIP model: auto, cuda, cuda:1, mps or cpu.", "--device"),
    ] = None
