"""A tokenizer that finds learned words before it tokenizes the rest of a text. No torch."""

import itertools
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sdloop.prompt.learned.places import places


class WordTokenizer:
    """A tokenizer with additional words; each of their vectors gets an id below zero.

    The ids are below zero because some encoders take the highest id for the end token.
    """

    def __init__(self, tokenizer: Any, counts: Mapping[str, int]) -> None:
        self._tokenizer = tokenizer
        # If it is a WordTokenizer already, the ids of its words stay the same.
        before: int = tokenizer.lowest if isinstance(tokenizer, WordTokenizer) else 0
        self.lowest: int = before - sum(counts.values())
        numbers = itertools.count(1 - before)
        self._ids = {text: [-next(numbers) for _ in range(n)] for text, n in counts.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, text: str, **options: Any) -> Any:
        """The ids of one text, with start and end tokens; the options are the tokenizer's own."""
        begin, *_, end = self._tokenizer("", verbose=False).input_ids
        ids = [begin]
        for piece, word in places(text, self._ids):
            known = self._tokenizer(piece, **options).input_ids[1:-1] if word is None else ()
            ids += known if word is None else self._ids[word]
        return SimpleNamespace(input_ids=[*ids, end])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids``, including learned words."""
        return " ".join(
            self._text(list(run), learned)
            for learned, run in itertools.groupby(map(int, ids), key=self._word)
        )

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        """The token for each id; for a vector it is the learned word."""
        return [
            self._word(one) or str(self._tokenizer.convert_ids_to_tokens([one])[0]) for one in ids
        ]

    def _text(self, ids: list[int], learned: str | None) -> str:
        return str(self._tokenizer.decode(ids)) if learned is None else learned

    def _word(self, one: int) -> str | None:
        return next((text for text, ids in self._ids.items() if one in ids), None)
