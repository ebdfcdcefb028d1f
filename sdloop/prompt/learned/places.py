"""Find learned words in a prompt's text, because a tokenizer would split "<my-frog>"."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

# The prompt grammar would split a word with one of these characters.
MARKS = "()[]|\\"


def places(text: str, words: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """``text`` split into its ``words`` and the text between them.

    Of two words that begin at the same place, the longer one is found. Upper and lower case are
    equal, as for CLIP, and so are accents in one character and in two. A word is not found inside a
    longer run of letters: "frog" is not in "frogs", but "<frog>" is in "<frog>s".

    >>> list(places("a <Frog> on stilts", ["<frog>"]))
    [('a ', None), ('<Frog>', '<frog>'), (' on stilts', None)]
    """
    names = {form.lower(): word for word in words for form in _forms(word)}
    if not names:
        yield text, None
        return
    end = 0
    for found in _pattern(tuple(names)).finditer(text):
        if found.start() > end:
            yield text[end : found.start()], None
        yield found[0], names[found[0].lower()]
        end = found.end()
    if end < len(text):
        yield text[end:], None


def mentions(text: str, word: str) -> bool:
    """Whether ``text`` contains ``word``, by the rules of ``places``."""
    return any(found is not None for _, found in places(text, [word]))


def _forms(word: str) -> set[str]:
    """The word as all systems write it: names of files on a Mac have accents as two characters."""
    if word.isascii():
        return {word}
    return {word, unicodedata.normalize("NFC", word), unicodedata.normalize("NFD", word)}


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile("|".join(_bounded(word) for word in longest_first), re.IGNORECASE)


def _bounded(word: str) -> str:
    """A pattern for ``word`` that does not match within a run of letters, or of digits."""
    before, after = _kind(word[0]), _kind(word[-1])
    return (
        (f"(?<!{before})" if before else "") + re.escape(word) + (f"(?!{after})" if after else "")
    )


def _kind(character: str) -> str:
    if character.isalpha():
        return r"[^\W\d_]"
    return r"\d" if character.isdigit() else ""
