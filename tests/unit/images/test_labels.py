"""Masks of labels: what is painted, what is told, and what is refused."""

import warnings

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sdloop.errors import FileError
from sdloop.images.input.mask import grown, painted_mask
from sdloop.images.input.read import InputImage, colours

LABELS = np.array([[0, 0, 1, 1]], np.uint8).repeat(4, axis=0)


def painted(mask: Image.Image, *, invert: bool = False) -> np.ndarray:
    """The mask as the file is read, in a picture of 4x4."""
    picture = InputImage(name="photo", sha256="", image=Image.new("RGB", (4, 4)))
    drawn = InputImage(name="mask", sha256="", image=colours(mask, "mask"))
    return np.asarray(painted_mask(picture, drawn, blur=None, invert=invert, tell=True))


def palette(*colours: int) -> Image.Image:
    mask = Image.fromarray(LABELS, "P")
    mask.putpalette([0, 0, 0, *colours])
    return mask


@pytest.mark.parametrize(
    ("mask", "told"),
    [
        (Image.fromarray(LABELS), "0 and 1: all that is 1 is painted"),
        (Image.fromarray(LABELS * 21), "0 and 21"),
        (palette(1, 1, 1), "0 and 1"),
        (palette(0, 0, 1), r"0 and \(0, 0, 1\)"),  # whose grey is 0
        (palette(128, 0, 0), r"0 and \(128, 0, 0\)"),  # the first of Pascal VOC
        (palette(255, 0, 0), r"0 and \(255, 0, 0\)"),
        (Image.fromarray(LABELS.astype(np.uint16) * 255), "0 and 1"),
    ],
)
def test_the_second_of_two_labels_is_painted(mask: Image.Image, told: str) -> None:
    with pytest.warns(UserWarning, match=told):
        assert (painted(mask) == LABELS * 255).all()
    with pytest.warns(UserWarning):
        assert (painted(mask, invert=True) == 255 - LABELS * 255).all()


@pytest.mark.parametrize("level", [32, 127])
def test_a_dark_grey_stays_a_mixture_and_is_told(level: int) -> None:
    with pytest.warns(UserWarning, match=f"nowhere brighter than {level} of 255"):
        assert (painted(Image.fromarray(LABELS * level)) == LABELS * level).all()


@pytest.mark.parametrize("level", [128, 255])
def test_a_usual_mask_is_as_it_is(level: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (painted(Image.fromarray(LABELS * level)) == LABELS * level).all()


@pytest.mark.parametrize(
    "levels", [[0, 1, 2, 3], [1, 2, 1, 2], [1, 1, 1, 1], [0, 3, 17, 31]], ids=str
)
def test_what_could_be_any_label_is_refused(levels: list[int]) -> None:
    with pytest.raises(FileError, match=f"almost black, its levels are at most {max(levels)}"):
        painted(Image.fromarray(np.array([levels], np.uint8).repeat(4, axis=0)))


@pytest.mark.parametrize("pixels", [1, 2, 7, 40, -1, -2, -5])
def test_a_mask_grows_as_with_pillows_filters(pixels: int) -> None:
    levels = np.random.default_rng(0).uniform(0, 1, (37, 50)) ** (4 if pixels > 0 else 0.25) * 255
    mask = Image.fromarray(levels.astype(np.uint8))
    kind = ImageFilter.MaxFilter if pixels > 0 else ImageFilter.MinFilter
    assert grown(mask, pixels) == mask.filter(kind(2 * abs(pixels) + 1))
