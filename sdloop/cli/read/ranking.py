"""Sort pictures by how well they fit their prompts, for ``--rank``."""

from collections.abc import Sequence

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.settings import Settings
from sdloop.cli.make.model import settle_threads
from sdloop.cli.options.groups import given
from sdloop.cli.options.ranking import RANKS, OrderOptions
from sdloop.cli.terminal.output import say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.inspection.ranking import Ranked, models_of, rank_by_clip, words_of
from sdloop.rules import check_choice, check_whole


def check_rank(options: OrderOptions) -> None:
    """Raise ``SettingError`` for invalid values, and for flags that need ``--rank``."""
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
    """The pictures, best first. Files that cannot be ranked are refused before CLIP is loaded.

    ``device`` is the device for CLIP if ``options`` have none.
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
                f"the embedded CLIP works only for pictures of the embedded model, not of "
                f"{min(others)}: choose another with --clip-model"
            )
        for text in sorted(set(words.values())):
            if left := tokens_left_out(clip, text):
                say(f"CLIP reads only {clip.max_tokens} tokens and ignores {left} more: {text!r}")
    return rank_by_clip(clip, words)[: options.top]
