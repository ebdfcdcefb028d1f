"""Compare the hashes of files with those in a Recipe that was made with them."""

from collections.abc import Sequence

from sdloop.errors import SettingError
from sdloop.images.input.read import check_sha256


def check_hashes(
    field: str,
    files: Sequence[str],
    expected: Sequence[str] | None,
    found: Sequence[str],
    *,
    what: str = "file",
) -> None:
    """Raise ``FileError`` for a file whose hash is not that in the Recipe's ``field``.

    ``expected`` is None in a Recipe that has not been resolved. Raises ``SettingError`` for another
    number of hashes than files.
    """
    if expected is not None and len(expected) != len(files):
        raise SettingError.of(
            field, f"must have one hash for each file, got {len(expected)} for {len(files)}"
        )
    for file, wanted, sha256 in zip(files, expected or found, found, strict=True):
        check_sha256(repr(file), wanted, sha256, what=what)
