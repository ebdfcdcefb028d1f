"""``--rank``: pictures sorted by how well they fit their prompts, for every command that shows
some."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.settings import Settings
from sdloop.cli.make.model import settle_threads
from sdloop.cli.options.groups import given, option
from sdloop.cli.terminal.output import say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.inspection.ranking import Ranked, models_of, rank_by_clip, words_of
from sdloop.rules import check_choice, check_whole

RANKS = ("clip",)


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderOptions:
    """By what pictures are sorted, and how many of them are kept."""

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
    """The same for commands that have no other use for a device."""

    device: Annotated[
        str | None,
        option("Rank", "Device for the CLIP model: auto, cuda, cuda:1, mps or cpu.", "--device"),
    ] = None


def check_rank(options: OrderOptions) -> None:
    """Raise ``SettingError`` for what breaks a rule, or means nothing without ``--rank``."""
    check_choice("rank", options.rank, RANKS)
    if options.top is not None:
        check_whole("top", options.top, 1, 2**32)
    if options.rank is not None:
        return
    for name in given(options):
        raise SettingError(f"{name} needs --rank clip")


def ranked(
    names: Sequence[str], options: OrderOptions, *, quiet: bool, device: str | None = None
) -> list[Ranked]:
    """The pictures in their order. What cannot be ranked is refused before the CLIP is loaded.

    ``device`` is where the CLIP runs, if ``options`` do not say it.
    """
    from sdloop.models.checkpoint.clip import find_clip

    words = words_of(names, prompt=options.rank_prompt)
    flags = given(options) | ({} if device is None else {"device": device})
    own = Settings.of(flags).over(standing_settings(None))
    command = CommandSettings(**own.command)
    found = find_clip(command.clip_model)

    from sdloop.models.clip.load import load_clip
    from sdloop.models.clip.score import tokens_left_out

    clip = load_clip(found, device=command.device)
    settle_threads(clip.model)
    if not quiet:
        others = models_of(names) - {"mini"} if clip.name == "mini" else set()
        if others:
            say(
                f"the embedded CLIP is only for pictures of the embedded model, not of "
                f"{min(others)}: choose another with --clip-model"
            )
        for text in sorted(set(words.values())):
            if left := tokens_left_out(clip, text):
                say(f"the CLIP reads {clip.max_tokens} tokens, and {left} more are left: {text!r}")
    return rank_by_clip(clip, words)[: options.top]
