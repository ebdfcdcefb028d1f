"""Words that are a single token: only such a word can be replaced by a vector."""

from typing import Any

from sdloop.errors import SettingError


def token_id(tokenizer: Any, word: str) -> int:
    """The id of a single-token word; for others raises ``SettingError`` that lists the tokens."""
    ids = tokenizer(word, verbose=False).input_ids[1:-1]
    if len(ids) != 1:
        pieces = " ".join(repr(piece) for piece in tokenizer.convert_ids_to_tokens(ids))
        raise SettingError(
            f"{word!r} must be a single token to be replaced by a vector, "
            f"got {len(ids)}: {pieces or 'none'}"
        )
    return int(ids[0])
