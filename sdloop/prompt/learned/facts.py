"""Facts about an embedding file, read before it is used: its hash, its token and its shapes.

A safetensors file has them in its header, which is quick to read. Other files are pickles, of which
torch reads only tensors; a pickle that holds anything else is refused.
"""

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.errors import DAMAGED, FileError
from sdloop.spelling import existing

if TYPE_CHECKING:
    from torch import Tensor

# The largest usual embedding, 75 vectors for both encoders of SDXL, takes 600 kB.
MAX_BYTES = 2**26

# The tensor names for SDXL's two encoders, in A1111's files and in those of diffusers' scripts.
_ENCODERS = {"clip_l": 0, "clip_g": 1, "text_encoders_0": 0, "text_encoders_1": 1}
_FAMILIES = {(768,): "SD 1.x", (1024,): "SD 2.x", (768, 1280): "SDXL", (128,): "the embedded mini"}


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingFacts:
    """What a Recipe needs to know about an embedding file.

    ``token`` is the word that it was trained for: the name inside the file if there is one, as in
    diffusers' files and ours, otherwise the file's name without suffix, as in A1111. ``names`` are
    its tensors, one for each text encoder in order; ``widths`` are the widths of their vectors, and
    ``count`` is the number of vectors in each.
    """

    file: str
    sha256: str
    token: str
    names: tuple[str, ...]
    widths: tuple[int, ...]
    count: int


# How the facts of a file are found by its name, which may be a web address.
FindEmbedding = Callable[[str], EmbeddingFacts]


def family_of(widths: tuple[int, ...]) -> str:
    """The family of models whose text encoders have these widths."""
    words = " and ".join(str(width) for width in widths)
    return _FAMILIES.get(widths, f"a model with text encoders of width {words}")


def embedding_facts(file: str) -> EmbeddingFacts:
    """The facts about an embedding file; raises ``FileError`` if it holds no embedding."""
    data = read_bytes(file)
    if not _is_safe(file):
        tensors = tensors_in(file, data)
        return facts_in(file, data, {name: tuple(tensors[name].shape) for name in tensors})
    shapes, token = _header(file, data)
    return facts_in(file, data, shapes, token=token)


def facts_in(
    file: str, data: bytes, shapes: Mapping[str, tuple[int, ...]], *, token: str | None = None
) -> EmbeddingFacts:
    """The facts about a file whose tensors have these names and ``shapes``."""
    names = _by_encoder(file, tuple(shapes))
    rows = {shapes[name][:-1] for name in names}
    if any(len(shapes[name]) not in (1, 2) for name in names) or len(rows) != 1:
        listed = ", ".join(f"{name} {list(shapes[name])}" for name in names)
        raise FileError(f"{file!r} must hold equally many vectors per encoder, got {listed}")
    (count,) = rows.pop() or (1,)
    if not count:
        raise FileError(f"{file!r} holds no vectors")
    return EmbeddingFacts(
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        token=_token(file, names[0]) if token is None else token,
        names=names,
        widths=tuple(shapes[name][-1] for name in names),
        count=count,
    )


def read_bytes(file: str) -> bytes:
    """The bytes of the whole file, which is small."""
    try:
        with existing(Path(file)).open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise FileError(f"cannot read {file!r}: {error.strerror}") from error
    except ValueError as error:  # a NUL in the name
        raise FileError(f"cannot read {file!r}: {error}") from error
    if len(data) > MAX_BYTES:
        raise FileError(f"{file!r} is not an embedding: it is larger than {MAX_BYTES // 2**20} MiB")
    return data


def tensors_in(file: str, data: bytes) -> "dict[str, Tensor]":
    """The tensors in the bytes of a file, by name; raises ``FileError``."""
    return _safe_tensors(file, data) if _is_safe(file) else _pickled_tensors(file, data)


def _token(file: str, name: str) -> str:
    return existing(Path(file)).stem if name in ("*", "emb_params", *_ENCODERS) else name


def _by_encoder(file: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of an embedding's tensors, in the order of the encoders."""
    if len(names) == 1:
        return names
    ordered = sorted((name for name in names if name in _ENCODERS), key=_ENCODERS.__getitem__)
    if len(names) != 2 or [_ENCODERS[name] for name in ordered] != [0, 1]:
        listed = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        raise FileError(f"{file!r} is not an embedding: it holds {len(names)} tensors ({listed})")
    return tuple(ordered)


def _is_safe(file: str) -> bool:
    return file.lower().endswith(".safetensors")


def _header(file: str, data: bytes) -> tuple[dict[str, tuple[int, ...]], str | None]:
    """Name → shape from a safetensors header, and the token that sdloop's own files name there."""
    try:
        table = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        note = json.loads(table.pop("__metadata__", {}).get("sdloop", "{}"))
        token = note["training"]["token"] if "training" in note else None
        if token is not None and (not isinstance(token, str) or not token.strip()):
            raise TypeError("a token must be a text")
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in table.items()}
    except DAMAGED as error:
        raise FileError(f"{file!r} is not a safetensors file, or it is damaged") from error
    return shapes, token


def _safe_tensors(file: str, data: bytes) -> "dict[str, Tensor]":
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return dict(load(data))
    except (SafetensorError, ValueError, KeyError) as error:
        raise FileError(f"{file!r} is not a safetensors file, or it is damaged: {error}") from error


def _pickled_tensors(file: str, data: bytes) -> "dict[str, Tensor]":
    import pickle

    import torch
    from torch import Tensor

    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *DAMAGED) as error:
        # Not torch's own message, which explains how to run the code in such a file.
        named = re.search(r"GLOBAL (\S+)", str(error))
        reason = f": it asks for {named[1]}" if named else ""
        raise FileError(
            f"{file!r} holds more than tensors, or is damaged; none of its code was run{reason}"
        ) from error
    tensors: Any = loaded.get("string_to_param", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(tensors, dict) or not tensors:
        raise FileError(f"{file!r} is not an embedding: it holds a {type(loaded).__name__}")
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise FileError(f"{file!r} is not an embedding: its {name!r} is not a tensor")
    return {name: tensor.detach() for name, tensor in tensors.items()}
