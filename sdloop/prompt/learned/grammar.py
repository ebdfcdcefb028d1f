"""The syntax of learned words (``embeddings``) and replaced words (``replace_tokens``).

::

    embedding   := FILE [ ":" TOKEN ]          my-frog.safetensors:<my-frog>
    replacement := WORD "=" terms              puppy=0.5*puppy+0.5*skunk
    terms       := term { ("+" | " - ") term }
    term        := [ NUMBER "*" ] ( WORD | FILE )

A FILE ends in .safetensors, .pt or .bin, also on the hub; only the address of an embedding on
civitai.com has no such end. "-" is a minus sign only with spaces around it, because the names of
words and files may contain it.
"""

import re
from dataclasses import dataclass

from sdloop.errors import SettingError

SUFFIXES = (".safetensors", ".pt", ".bin")

_SUFFIX = "|".join(re.escape(suffix) for suffix in SUFFIXES)
_CIVITAI = r"https?://(?:www\.)?civitai\.com/[^:]*"
_EMBEDDING = re.compile(rf"(?P<file>{_CIVITAI}|.*?(?:{_SUFFIX}))(?::(?P<token>.*))?", re.I | re.S)
_FACTOR = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*\*\s*(.*)", re.S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """A file with learned vectors, and the text in a prompt that stands for them.

    Without a ``token``, the file decides it.
    """

    file: str
    token: str | None

    def __str__(self) -> str:
        return self.file if self.token is None else f"{self.file}:{self.token}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """``factor`` times the vector of a word, or the vectors of a file."""

    factor: float
    name: str

    @property
    def is_file(self) -> bool:
        """Whether it names a file, by its end or as a web address; else it is a word."""
        name = self.name.lower()
        return name.endswith(SUFFIXES) or name.startswith(("http://", "https://"))


Terms = tuple[Term, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Replacement:
    """A word, and the sum of vectors that the text encoder reads instead."""

    word: str
    terms: Terms

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(term.name for term in self.terms if term.is_file)


def parse_embedding(text: str) -> Embedding:
    """Parse ``FILE[:TOKEN]``; raises ``SettingError``.

    >>> parse_embedding("frogs/my-frog.safetensors:<my-frog>").token
    '<my-frog>'
    >>> parse_embedding("https://civitai.com/api/download/models/123:frog").token
    'frog'
    """
    found = _EMBEDDING.fullmatch(text)
    if found is None or found["file"].lower() in SUFFIXES:
        raise SettingError.of(
            "embeddings",
            f"must be like FILE or FILE:TOKEN with a FILE that ends in "
            f"{', '.join(SUFFIXES)}, got {text!r}",
        )
    token = found["token"]
    if token is not None and (not token or token != token.strip()):
        raise SettingError.of(
            "embeddings", f"must have a token without spaces around it, got {text!r}"
        )
    return Embedding(file=found["file"], token=token)


def parse_replacement(text: str) -> Replacement:
    """Parse ``WORD=terms``; raises ``SettingError``.

    >>> [(term.factor, term.name) for term in parse_replacement("king=king - man+.5*woman").terms]
    [(1.0, 'king'), (-1.0, 'man'), (0.5, 'woman')]
    """
    word, equals, rest = (part.strip() for part in text.partition("="))
    if not word or not equals or len(word.split()) > 1:
        raise SettingError.of(
            "replace_tokens",
            f"must be like puppy=cat, puppy=0.5*puppy+0.5*skunk or "
            f"puppy=FILE.safetensors, got {text!r}",
        )
    return Replacement(word=word, terms=parse_terms(rest, text))


def parse_terms(text: str, whole: str) -> Terms:
    """Parse the sum in ``text``; error messages quote ``whole``."""
    pieces = re.split(r"(\+|\s-\s)", text)
    signs = [1.0, *(-1.0 if "-" in sign else 1.0 for sign in pieces[1::2])]
    return tuple(
        _parse_term(piece.strip(), sign, whole)
        for piece, sign in zip(pieces[::2], signs, strict=True)
    )


def _parse_term(text: str, sign: float, whole: str) -> Term:
    found = _FACTOR.fullmatch(text)
    factor, name = (float(found[1]), found[2].strip()) if found else (1.0, text)
    is_file = Term(factor=factor, name=name).is_file
    if not name or "*" in name or "=" in name or (len(name.split()) > 1 and not is_file):
        raise SettingError.of(
            "replace_tokens",
            f"must be a sum of words or files, each with an optional factor like 0.5*, "
            f"got {text!r} in {whole!r}",
        )
    return Term(factor=sign * factor, name=name)
