"""What the page knows about each picture: plain values for JSON, read without decoding pixels."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sdloop.errors import FileError
from sdloop.gallery.commands import Command, larger, plain_path, remaking
from sdloop.gallery.folder import PictureFile
from sdloop.metadata.names import numbered
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record

# What a file records about its run, and people compare pictures by.
_MADE = ("seconds", "device", "dtype")


def brief(root: Path, seen: PictureFile) -> dict[str, Any]:
    """What the grid needs for filtering and sorting; ``time`` is in seconds since 1970.

    ``settings`` are the Recipe's fields, "step" for an unfinished picture, and some facts of the
    run; empty if the file has no settings.
    """
    record = record_or_none(root, seen)
    return {
        "id": seen.id,
        "path": seen.path,
        "version": seen.version,
        "time": seen.changed_ns / 1e9,
        "settings": {} if record is None else _settings(record),
    }


def full(
    root: Path, seen: PictureFile, *, shown: Path, standing: Collection[str] = ()
) -> dict[str, Any]:
    """All settings in its file, and the commands that make the picture again, also larger.

    ``shown`` is the folder as commands name it; for ``standing`` see ``remaking``. For a picture of
    another program the command is ``sdloop rerun``, which reports what it cannot use. Animations
    and unfinished pictures have no command.
    """
    record = record_or_none(root, seen)
    if record is None:
        return {"id": seen.id}
    facts: dict[str, Any] = {
        "id": seen.id,
        "source": record.source,
        "made": dict(record.made),
        "left_out": list(record.left_out),
    }
    if record.recipe is not None and not record.moving and not record.step:
        facts["command"] = str(remaking(record.recipe, standing=standing))
        facts["larger"] = str(larger_of(record, seen, shown=shown, standing=standing))
    elif record.recipe is None:
        facts["command"] = str(Command(arguments=("rerun", plain_path(shown / seen.path))))
    return facts


def larger_of(
    record: Record, seen: PictureFile, *, shown: Path, standing: Collection[str] = ()
) -> Any:
    """The command for a picture twice as large, saved in the folder of the original."""
    assert record.recipe is not None
    path = shown / seen.path
    output = numbered(path.with_name(f"{path.stem}-x2.png"), 1)
    return larger(record.recipe, str(path), str(output), standing=standing)


def record_or_none(root: Path, seen: PictureFile) -> Record | None:
    """The file's record; None if it has none, because any picture can be picked."""
    try:
        return read_record(root / seen.path)
    except FileError:
        return None


def _settings(record: Record) -> dict[str, Any]:
    settings = {name: _plain(value) for name, value in record.values.items()}
    made = {name: record.made[name] for name in _MADE if name in record.made}
    step = {"step": record.step["number"]} if "number" in record.step else {}
    return {
        name: value
        for name, value in {**settings, **step, **made}.items()
        if isinstance(value, str | int | float)
    }


def _plain(value: Any) -> Any:
    """A setting as one comparable value, even if it has several."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
