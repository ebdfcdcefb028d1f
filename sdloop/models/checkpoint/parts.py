"""The size and precision of a model's parts, from the headers of its weight files."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.ldm import PREFIXES
from sdloop.models.checkpoint.value import Checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of a model on disk.

    parameters
        The number of its parameters, without counters and position ids.
    dtypes
        Their types as ``--dtype`` names them, the most frequent first.
    bytes
        Their size in the file.

    The header of a ``.ckpt`` has only shapes: ``dtypes`` is empty and ``bytes`` is None.
    """

    name: str
    parameters: int
    dtypes: tuple[str, ...]
    bytes: int | None


def parts_of(checkpoint: Checkpoint) -> tuple[Part, ...]:
    """The parts that would be loaded. Raises ``ModelError`` for a damaged file."""
    return tuple(_part(name, checkpoint) for name in checkpoint.weights)


def bytes_on_disk(checkpoint: Checkpoint) -> int:
    """The size of the weight files, including unused tensors of a single file."""
    files = {file for files in checkpoint.weights.values() for file in files}
    return sum(file.stat().st_size for file in files)


def _part(name: str, checkpoint: Checkpoint) -> Part:
    tensors = list(_tensors(name, checkpoint))
    weighs: Counter[str] = Counter()
    for kind, parameters, _ in tensors:
        weighs[kind] += parameters
    sizes = [size for _, _, size in tensors if size is not None]
    return Part(
        name=name,
        parameters=weighs.total(),
        dtypes=tuple(kind for kind, _ in weighs.most_common() if kind),
        bytes=sum(sizes) if sizes else None,
    )


def _tensors(name: str, checkpoint: Checkpoint) -> Iterator[tuple[str, int, int | None]]:
    """Type, number count and bytes of each tensor of a part; "" and None if unknown."""
    for file in checkpoint.weights[name]:
        header = read_header(file)
        # A single file may hold all parts, distinguished by name prefixes.
        own = [tensor for tensor in header.tensors if tensor.startswith(PREFIXES.get(name, ("",)))]
        for tensor in own or header.tensors:
            shape = header.tensors[tensor]
            kind, start, end = header.offsets.get(tensor, ("", 0, 0))
            if kind.startswith(("I", "U", "BOOL")):
                continue
            yield re.sub("^F", "fp", kind).lower(), math.prod(shape), end - start if kind else None
