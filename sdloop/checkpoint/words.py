"""Whether a model that was taught few words was taught any of a prompt's."""

import functools
import re
from pathlib import Path

from sdloop.checkpoint.folder import read_json
from sdloop.checkpoint.value import Checkpoint

# Words that are in every caption and say nothing.
_SMALL = frozenset(
    {"a", "an", "and", "at", "by", "for", "in", "of", "on", "some", "the", "to", "under", "with"}
)


def knows_a_word(checkpoint: Checkpoint, prompt: str) -> bool:
    """Whether something in ``prompt`` can mean anything to the model; True where nobody can tell.

    Only a model that states its vocabulary is judged, and by its tokenizer: a word of its captions
    is one token there, whichever its form ("mice", "kittens"), and any other falls to pieces. That
    is said of the prompt as a whole, for one word that is known is a prompt to play with.
    """
    folder = checkpoint.tokenizers["tokenizer"]
    words = [w for w in re.findall(r"[^\W\d_]{2,}", prompt.lower()) if w not in _SMALL]
    if not words or not checkpoint.advice.vocabulary or not (folder / "vocab.json").is_file():
        return True
    return not _whole_words(folder).isdisjoint(words)


@functools.cache
def _whole_words(tokenizer: Path) -> frozenset[str]:
    """The words that CLIP's tokenizer keeps in one piece."""
    tokens = read_json(tokenizer, "vocab.json")
    return frozenset(token.removesuffix("</w>") for token in tokens if token.endswith("</w>"))
