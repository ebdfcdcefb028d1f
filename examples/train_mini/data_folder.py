"""A folder of one's own pictures as a data set, as Hugging Face's ``imagefolder`` has it.

Beside the pictures lies ``metadata.jsonl``, one line of JSON for each:

    {"file_name": "fern.jpg", "text": "a fern in the shade"}

The last lines are held out. The others come around in another order each time.
"""

import hashlib
import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dataset import HELD_OUT, Data, Pixels, Scenes, Size, shuffled
from PIL import Image, ImageOps

METADATA = "metadata.jsonl"
ASKED_WORDS = 1000
"""How many of the commonest words a reader of the captions is asked about."""


class DataError(ValueError):
    """A folder that cannot be trained on; says which file, which line and which rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A picture, its caption, and the file and line that say so."""

    file: Path
    text: str
    where: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """Pictures with a caption each; ``words`` are the commonest of the captions, commonest
    first."""

    name: str
    training: tuple[Entry, ...]
    measuring: tuple[Entry, ...]
    words: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.training)

    @property
    def held_out(self) -> int:
        return len(self.measuring)

    @property
    def questions(self) -> Mapping[str, Sequence[object]]:
        return {"word": self.words}

    def entry(self, place: int) -> Entry:
        """Which picture is at a place."""
        if place >= HELD_OUT:
            return self.measuring[(place - HELD_OUT) % len(self.measuring)]
        return self.training[shuffled(place, len(self.training))[1]]

    def picture(self, place: int, size: Size) -> Pixels:
        """The picture upright, its middle cut to the size's shape and resized."""
        entry = self.entry(place)
        try:
            with Image.open(entry.file) as image:
                # A photograph is read at a fraction of its size, which JPEG makes cheap.
                image.draft(None, (2 * max(size), 2 * max(size)))
                upright = to_rgb(ImageOps.exif_transpose(image))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(
                f"{entry.where}: file_name must be a whole picture ({error})"
            ) from error
        return np.asarray(ImageOps.fit(upright, size, Image.Resampling.LANCZOS))

    def caption(self, place: int, telling: int) -> str:
        """Its own text each time."""
        return self.entry(place).text

    def answers(self, place: int) -> Sequence[Sequence[int]]:
        """The words of the caption."""
        said = set(words_of(self.entry(place).text))
        return [[number for number, word in enumerate(self.words) if word in said]]

    def facts(self, place: int) -> Sequence[int]:
        """Which text it has: pictures of one text have one fact."""
        return [zlib.crc32(self.entry(place).text.encode())]

    def claim(self, place: int, telling: int, twist: int) -> tuple[str, Sequence[int]]:
        """Its own text; a twist is the text of some other picture."""
        if twist:
            place = random.Random(f"{place} {telling} {twist}").randrange(self.count)
        return self.caption(place, telling), self.facts(place)

    def vocabulary(self) -> dict[str, list[str]]:
        """The hundred commonest words."""
        return {"words": list(self.words[:100])}

    def prompts(self) -> list[str]:
        """The captions of ten pictures that were held out, or of as many as there are."""
        return list(dict.fromkeys(entry.text for entry in (*self.measuring, *self.training)))[:10]


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case.

    >>> words_of("A fern, in the shade.")
    ['a', 'fern', 'in', 'the', 'shade']
    """
    return re.findall(r"\w+", text.lower())


def to_rgb(image: Image.Image) -> Image.Image:
    """Three channels of a byte each: sixteen bits of grey lose their lower half (Pillow would clip
    them to white), and what is transparent lies on white (Pillow would show what is beneath)."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("RGB")


def open_data(folder: Path | None, held_out: int | None) -> Data:
    """The data set of ``--data`` and ``--held-out``: a folder's, or the drawn world.

    Of a folder's pictures one in twenty is held out, and 256 at most, if nobody says how many.
    """
    if held_out is not None and held_out < 1:
        raise DataError(f"--held-out must be at least 1, got {held_out}")
    if folder is None:
        return Scenes() if held_out is None else Scenes(held_out=held_out)
    metadata = folder / METADATA
    entries = read_metadata(metadata)
    kept = min(256, -(-len(entries) // 20)) if held_out is None else held_out
    if kept >= len(entries):
        raise DataError(f"{metadata}: must have more than the {kept} lines held out")
    said = Counter(word for entry in entries[:-kept] for word in words_of(entry.text))
    return Folder(
        name=f"{hashlib.sha256(metadata.read_bytes()).hexdigest()} -{kept}",
        training=entries[:-kept],
        measuring=entries[-kept:],
        words=tuple(word for word, _ in said.most_common(ASKED_WORDS)),
    )


def read_metadata(metadata: Path) -> tuple[Entry, ...]:
    """Its entries, each line checked: JSON, a picture that can be opened, a text."""
    if not metadata.is_file():
        raise DataError(f"{metadata}: must be there, one line of JSON for each picture")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    return tuple(
        read_line(metadata, number, line) for number, line in enumerate(lines, 1) if line.strip()
    )


def read_line(metadata: Path, number: int, line: str) -> Entry:
    """One entry; a picture's header is read, its pixels are not."""
    where = f"{metadata}, line {number}"
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: must be JSON ({error})") from error
    for key in ("file_name", "text"):
        value = fields.get(key) if isinstance(fields, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{where}: {key} must be a text that is not empty, got {value!r}")
    file = metadata.parent / fields["file_name"]
    if not file.resolve().is_relative_to(metadata.parent.resolve()):
        raise DataError(f"{where}: file_name must lie inside the folder, got {fields['file_name']}")
    try:
        with Image.open(file):
            pass
    except (OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: file_name must be a picture ({error})") from error
    return Entry(file=file, text=fields["text"], where=where)
