"""Rank picture files by how well each fits its prompt."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.errors import FileError
from sdloop.images.input.read import open_image
from sdloop.metadata.picture import read_record
from sdloop.prompt.plain import plain_words

if TYPE_CHECKING:
    from sdloop.models.clip.load import Clip

_AT_ONCE = 64  # pictures in memory


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranked:
    """A picture file, the text it was compared with, and its CLIP score for that text."""

    name: str
    words: str
    score: float


def words_of(names: Sequence[str], *, prompt: str | None = None) -> dict[str, str]:
    """The text to compare each picture with: ``prompt``, unchanged, for all pictures. Without it,
    the plain words of the prompt in each file.

    Raises ``FileError`` if ``prompt`` is None and a file cannot be read or contains no prompt.
    """
    if prompt is not None:
        return dict.fromkeys(names, prompt)
    return {name: _own_words(name) for name in names}


def models_of(names: Iterable[str]) -> set[str]:
    """The models named in the pictures' files; files that name none are skipped."""
    models = set()
    for name in names:
        with contextlib.suppress(FileError):
            models.add(read_record(Path(name)).settings.get("model"))
    return {str(model) for model in models if model is not None}


def rank_by_clip(clip: "Clip", words: Mapping[str, str]) -> list[Ranked]:
    """The pictures of ``words``, best first; pictures with the same score are sorted by name.

    Raises ``FileError`` if a file is not a picture.
    """
    found = [
        Ranked(name=name, words=words[name], score=score) for name, score in _scores(clip, words)
    ]
    return sorted(found, key=lambda one: (-one.score, one.name))


def _scores(clip: "Clip", words: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    from sdloop.models.clip.score import clip_scores

    names = list(words)
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        pictures = [open_image(name).image for name in some]
        yield from zip(
            some, clip_scores(clip, pictures, [words[name] for name in some]), strict=True
        )


def _own_words(name: str) -> str:
    try:
        settings = read_record(Path(name)).settings
    except FileError as error:
        raise FileError(f"{error}; or give one prompt for all pictures") from error
    if "prompt" not in settings:
        raise FileError(f"{name!r} contains no prompt; or give one prompt for all pictures")
    return _shown(settings)


def _shown(settings: Mapping[str, Any]) -> str:
    """The plain words of a Recipe's prompt and of the prompts mixed into it."""
    prompts = [settings["prompt"], *(settings.get("mix_prompts") or ())]
    emphasis = settings.get("emphasis", "a1111")
    steps = settings.get("steps", 25)
    return ", ".join(plain_words(text, steps=steps, emphasis=emphasis) for text in prompts)
