"""Which words of a prompt mean something to a model that was taught few."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from sdloop.errors import SettingError
from sdloop.models.checkpoint.folder import read_json
from sdloop.models.checkpoint.tokenizer import load_tokenizer
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.prompt.learned.grammar import parse_replacement
from sdloop.prompt.learned.single import token_id

# Words that are in every caption and say nothing.
_SMALL = frozenset(
    {"a", "an", "and", "at", "by", "for", "in", "of", "on", "some", "the", "to", "under", "with"}
)


def knows_a_word(checkpoint: Checkpoint, prompt: str) -> bool:
    """Whether something in ``prompt`` can mean anything to the model; True where nobody can tell.

    That is said of the prompt as a whole, for one word that is known is a prompt to play with.
    """
    words = _words(prompt)
    return not words or len(unknown_words(checkpoint, prompt)) < len(words)


def unknown_words(checkpoint: Checkpoint, prompt: str) -> tuple[str, ...]:
    """The words of ``prompt`` that mean nothing to the model; none where nobody can tell.

    Only a model that states its vocabulary is judged, and by its tokenizer: a word of its captions
    is one token there, whichever its form ("mice", "kittens"), and any other falls to pieces.
    """
    folder = checkpoint.tokenizers["tokenizer"]
    if not checkpoint.advice.vocabulary or not (folder / "vocab.json").is_file():
        return ()
    known = _whole_words(folder)
    return tuple(word for word in _words(prompt) if word not in known)


def check_replacements(checkpoint: Checkpoint, replacements: Sequence[str]) -> None:
    """Raise ``SettingError`` for a word in ``replace_tokens`` that is not one token of the model.

    That takes its vocabulary alone, and is known before the weights are loaded.
    """
    for part in checkpoint.tokenizers if replacements else ():
        tokenizer = load_tokenizer(checkpoint, part)
        for text in replacements:
            one = parse_replacement(text)
            for word in (one.word, *(term.name for term in one.terms if not term.is_file)):
                try:
                    token_id(tokenizer, word)
                except SettingError as error:
                    raise SettingError(f"replace_tokens: {error}, in {text!r}") from error


def _words(prompt: str) -> tuple[str, ...]:
    words = dict.fromkeys(re.findall(r"[^\W\d_]{2,}", prompt.lower()))
    return tuple(word for word in words if word not in _SMALL)


@functools.cache
def _whole_words(tokenizer: Path) -> frozenset[str]:
    """The words that CLIP's tokenizer keeps in one piece."""
    tokens = read_json(tokenizer, "vocab.json")
    return frozenset(token.removesuffix("</w>") for token in tokens if token.endswith("</w>"))
