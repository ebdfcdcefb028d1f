"""Words that are one token: a vector can stand only in the place of such a word."""

from typing import Any

from sdloop.errors import SettingError


def token_id(tokenizer: Any, word: str) -> int:
    """The id of a word that is one token; raises ``SettingError`` naming the tokens of others."""
    ids = tokenizer(word, verbose=False).input_ids[1:-1]
    if len(ids) != 1:
        pieces = " ".join(repr(piece) for piece in tokenizer.convert_ids_to_tokens(ids))
        raise SettingError(
            f"{word!r} must be one token for a vector to stand in its place, "
            f"and is {len(ids)}: {pieces or 'none'}"
        )
    return int(ids[0])
