"""Which words of a prompt a model with a small vocabulary knows."""

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

# Words without content, which are in most captions.
_SMALL = frozenset(
    {"a", "an", "and", "at", "by", "for", "in", "of", "on", "some", "the", "to", "under", "with"}
)


def knows_a_word(checkpoint: Checkpoint, prompt: str) -> bool:
    """Whether the model knows at least one word of ``prompt``; True if its vocabulary is unknown.

    One known word is enough: users may want to try the effect of unknown words.
    """
    words = _words(prompt)
    return not words or len(unknown_words(checkpoint, prompt)) < len(words)


def unknown_words(checkpoint: Checkpoint, prompt: str) -> tuple[str, ...]:
    """The words of ``prompt`` that the model does not know; none if its vocabulary is unknown.

    Only models that state their vocabulary are checked, with their tokenizer: each form of a word
    in their captions ("mice", "kittens") is one token, other words are split into several.
    """
    folder = checkpoint.tokenizers[checkpoint.first_tokenizer]
    if not checkpoint.advice.vocabulary or not (folder / "vocab.json").is_file():
        return ()
    known = _whole_words(folder)
    return tuple(word for word in _words(prompt) if word not in known)


def check_replacements(checkpoint: Checkpoint, replacements: Sequence[str]) -> None:
    """Raise ``SettingError`` for a word in ``replace_tokens`` that is not one token of the model.

    This needs only the vocabulary, so it is checked before the weights are loaded.
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
    """The words that are a single token in this vocabulary."""
    tokens = read_json(tokenizer, "vocab.json")
    return frozenset(token.removesuffix("</w>") for token in tokens if token.endswith("</w>"))
