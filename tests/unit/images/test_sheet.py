"""Sheets: the position of every picture, and readable labels."""

import numpy as np
import pytest
from PIL import Image

from sdloop.images.sheet import sheet


def colour(name: str, width: int = 64, height: int = 64) -> Image.Image:
    return Image.new("RGB", (width, height), name)


def ink(image: Image.Image, box: tuple[int, int, int, int]) -> float:
    """The share of a box that is dark."""
    return float((np.asarray(image.convert("L").crop(box)) < 128).mean())


def test_pictures_in_their_places_and_sharp() -> None:
    made = sheet([[colour("red"), colour("lime")], [colour("blue"), colour("yellow")]], scale=1)
    assert made.size == (132, 132)
    places = {(0, 0): "red", (131, 0): "lime", (0, 131): "blue", (131, 131): "yellow"}
    for place, name in places.items():
        assert made.getpixel(place) == colour(name).getpixel((0, 0))
    assert made.getpixel((65, 65)) == (255, 255, 255)


def test_small_pictures_are_enlarged_without_a_blur() -> None:
    checks = Image.fromarray((np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8))
    made = sheet([[checks]])
    assert made.size == (128, 128)
    assert set(np.unique(np.asarray(made))) == {0, 255}
    assert sheet([[colour("red", 512, 512)]]).size == (512, 512)


def test_labels_stand_over_the_columns_and_before_the_rows() -> None:
    row = [colour("white", 128, 128)] * 2
    made = sheet([row, row], columns=["guidance 1", ""], rows=["seed 4", "a long label"])
    left, top = made.width - 260, made.height - 260
    assert top > 12
    assert ink(made, (left, 0, left + 128, top)) > 0.03
    assert ink(made, (left + 132, 0, made.width, top)) == 0
    assert ink(made, (0, top, left, top + 128)) > 0.01
    assert ink(made, (left, top, *made.size)) == 0


def test_a_label_stays_over_its_picture() -> None:
    made = sheet([[colour("white", 128, 128)] * 2], columns=["two green frogs on stilts " * 9, ""])
    top = made.height - 128
    assert ink(made, (0, 0, 128, top)) > 0.05
    assert ink(made, (130, 0, made.width, top)) == 0


def test_rows_of_any_length_and_pictures_of_any_size() -> None:
    made = sheet([[colour("red", 64, 32)], [colour("lime"), colour("blue", 32, 64)]], scale=2)
    assert made.size == (260, 260)
    with pytest.raises(ValueError, match="needs at least one picture"):
        sheet([])
