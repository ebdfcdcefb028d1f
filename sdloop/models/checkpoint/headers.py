"""Read the tensor names, shapes and types of a weight file, without its numbers.

A safetensors file begins with this table; in a ``.ckpt`` it is part of a pickle, whose instructions
are listed here and never executed. Both need only the standard library and milliseconds, so a wrong
or damaged model is refused before anything heavy is imported.
"""

import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdloop.errors import DAMAGED, ModelError

# The suffixes of torch's pickles; any other file is read as safetensors.
PICKLES = (".ckpt", ".pt", ".pth", ".bin")

# How a file of torch before 1.6 begins: a pickle of the number 0x1950a86a20f9469cfc6c.
_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# The format's own limit, so that a forged length cannot fill the memory.
MAX_HEADER = 100_000_000

# Bytes per number, for every type of the format.
_BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The table of one weight file.

    tensors
        name → shape.
    notes
        Metadata: that of a safetensors file, or the whole numbers stored next to a ``.ckpt``'s
        tensors (``global_step``), as text.
    offsets
        name → (type, first byte, end) in the file; empty for a ``.ckpt``.
    """

    path: Path
    tensors: Mapping[str, tuple[int, ...]]
    notes: Mapping[str, str] = field(default_factory=dict)
    offsets: Mapping[str, tuple[str, int, int]] = field(default_factory=dict)


def is_pickle(path: Path) -> bool:
    """Whether a file's name says that torch pickled it, in letters of any case."""
    return path.suffix.lower() in PICKLES


def read_header(path: Path) -> Header:
    """The table of a ``.safetensors`` file, or of a pickle: one of ``PICKLES``.

    Raises ``ModelError`` for a file that is truncated, or has an unknown format or type.
    """
    try:
        return _read_ckpt(path) if is_pickle(path) else _read_safetensors(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error


def _read_safetensors(path: Path) -> Header:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER, size - 8):
            raise ModelError(f"{path} is not a safetensors file, or it is truncated ({size} bytes)")
        text = file.read(length)
    try:
        table = json.loads(text)
        notes = {key: str(value) for key, value in table.pop("__metadata__", {}).items()}
        tensors = {name: tuple(entry["shape"]) for name, entry in table.items()}
        offsets = {name: _place(entry, 8 + length) for name, entry in table.items()}
    except DAMAGED as error:
        raise ModelError(f"{path} has a damaged safetensors header: {error}") from error
    end = max((end for _, _, end in offsets.values()), default=0)
    if end > size:
        raise ModelError(f"{path} is truncated: it has {size} bytes of {end}")
    return Header(path=path, tensors=tensors, notes=notes, offsets=offsets)


def _place(entry: Mapping[str, Any], base: int) -> tuple[str, int, int]:
    """Type, first byte and end of a tensor; ``ValueError`` if they do not fit its shape."""
    kind, (start, end) = entry["dtype"], entry["data_offsets"]
    if kind not in _BYTES:
        raise ValueError(f"unknown type {kind!r}")
    if start < 0 or end - start != math.prod(entry["shape"]) * _BYTES[kind]:
        raise ValueError(f"the shape {entry['shape']} does not fit {end - start} bytes")
    return kind, base + start, base + end


def read_numbers(header: Header, name: str) -> list[float]:
    """The numbers of one small tensor in a safetensors file; empty if it is missing."""
    if name not in header.offsets:
        return []
    kind, start, end = header.offsets[name]
    with header.path.open("rb") as file:
        file.seek(start)
        data = file.read(end - start)
    if kind == "BF16":  # the upper half of a float32
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
    letter = {"F16": "e", "F32": "f", "BF16": "f", "F64": "d", "I64": "q", "I32": "i"}.get(kind)
    if letter is None:
        return []
    return [float(number) for (number,) in struct.iter_unpack(f"<{letter}", data)]


def _read_ckpt(path: Path) -> Header:
    """List the tensors of a torch pickle from its opcodes only: no code in the file can run."""
    with path.open("rb") as file:
        if file.read(len(_BEFORE_1_6)) == _BEFORE_1_6:
            raise ModelError(_explain_old(path))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            data = archive.read(names[0])
        tensors, notes = _scan(_words(data))
    except (zipfile.BadZipFile, *DAMAGED) as error:
        raise ModelError(
            f"{path} is not a PyTorch checkpoint that sdloop can read, or is truncated: {error}"
        ) from error
    return Header(path=path, tensors=tensors, notes=notes)


def _explain_old(path: Path) -> str:
    new = path.with_stem(f"{path.stem}-new")
    return (
        f"{path} is in the old format of torch before 1.6; convert it with: python -c "
        f"\"import torch; torch.save(torch.load('{path}', weights_only=True), '{new}')\""
    )


def _words(data: bytes) -> Iterator[tuple[str, Any]]:
    """The opcodes, with texts from the pickle's memo filled in."""
    memo: dict[Any, str] = {}
    text: str | None = None
    for opcode, value, _ in pickletools.genops(data):
        if opcode.name.endswith("BINPUT"):
            if text is not None:
                memo[value] = text
            continue
        text = memo.get(value) if opcode.name.endswith("BINGET") else None
        if opcode.name.endswith("UNICODE"):
            text = str(value)
        if text is not None:
            yield "text", text
        elif "INT" in opcode.name:
            yield "number", value
        else:
            yield opcode.name, value


def _scan(words: Iterator[tuple[str, Any]]) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Tensors are name, builder, ((storage …), offset, size, …); whole numbers name, number."""
    tensors: dict[str, tuple[int, ...]] = {}
    notes: dict[str, str] = {}
    name = ""
    before = ["", ""]
    for word, value in words:
        if before == ["MARK", "MARK"] and value == "storage":
            if any(word == "BINPERSID" for word, _ in words):
                tensors[name] = _size(words)
        elif word == "text":
            name = value
        elif word == "number" and before[1] == "text":
            notes[name] = str(value)
        before = [before[1], word]
    return tensors, notes


def _size(words: Iterator[tuple[str, Any]]) -> tuple[int, ...]:
    next(words, None)  # the offset in the storage
    size: list[int] = []
    for word, value in words:
        if word == "number":
            size.append(value)
        elif word != "MARK":
            break
    return tuple(size)
