"""The windows for outpainting: they cover everything, and each overlaps finished pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.images.input.read import Box
from sdloop.recipe.outpaint_windows import Growth, Pass, passes

MULTIPLES = st.sampled_from([2, 4, 8])


@st.composite
def asks(draw: st.DrawFn) -> tuple[tuple[int, int], Growth, dict]:
    """A picture of any size, and by how much it grows under which model."""
    multiple = draw(MULTIPLES)
    native = draw(st.tuples(*[st.integers(2, 12).map(lambda n: n * multiple)] * 2))
    overlap = draw(st.integers(1, min(native) // multiple - 1)) * multiple
    size = draw(st.tuples(*[st.integers(multiple, 100)] * 2))
    sides = draw(st.tuples(*[st.integers(0, 12).map(lambda n: n * multiple)] * 4))
    growth = Growth(**dict(zip(("left", "right", "up", "down"), sides, strict=True)))
    return size, growth, {"native": native, "multiple": multiple, "overlap": overlap}


def cut(there: np.ndarray, box: Box) -> np.ndarray:
    """A box of it, less what stands out."""
    left, top, right, bottom = (max(0, side) for side in box)
    return there[top:bottom, left:right]


def around(size: tuple[int, int], growth: Growth) -> np.ndarray:
    """The grown picture, 1 where the picture was."""
    width, height = growth.grown(size)
    there = np.zeros((height, width), bool)
    there[growth.up : growth.up + size[1], growth.left : growth.left + size[0]] = True
    return there


@given(asks())
def test_every_new_pixel_is_painted_within_a_window_over_what_is_there(ask) -> None:
    size, growth, model = ask
    there = around(size, growth)
    for one in passes(size, growth, **model):
        left, top, right, bottom = one.box
        for side, most in zip((right - left, bottom - top), model["native"], strict=True):
            assert 0 < side <= most
            assert side % model["multiple"] == 0
        assert one.new[0] >= left and one.new[1] >= top
        assert one.new[2] <= right and one.new[3] <= bottom
        check_overlap(there, one, size, model)
        there[one.new[1] : one.new[3], one.new[0] : one.new[2]] = True
    assert there.all()


def check_overlap(there: np.ndarray, one: Pass, size: tuple[int, int], model: dict) -> None:
    """Some side of the window is what is there, as deep as the overlap or as the picture is."""
    inside = cut(there, one.box)
    least = min(model["overlap"], *(side // model["multiple"] * model["multiple"] for side in size))
    assert max(inside.sum(axis=0).max(), inside.sum(axis=1).max()) >= least


def test_what_fits_into_one_window_is_one_pass() -> None:
    growth = Growth(left=8, right=8, up=8, down=8)
    model = {"native": (64, 64), "multiple": 4, "overlap": 32}
    assert passes((48, 48), growth, **model) == (Pass(box=(0, 0, 64, 64), new=(0, 0, 64, 64)),)
    (one,) = passes((41, 30), Growth(right=8), **model)
    assert one.box == (-3, 0, 49, 32)  # the picture's right edge lies between two latents
    assert one.new == (0, 0, 49, 30)


@pytest.mark.parametrize("overlap", [16, 32, 60])
def test_a_larger_overlap_takes_more_passes(overlap: int) -> None:
    found = passes((128, 64), Growth(right=32, up=16), native=(64, 64), multiple=4, overlap=overlap)
    right = [one for one in found if one.new[0] >= 128 and one.new[1] >= 16]
    assert len(right) == -(-32 // (64 - overlap))


def test_corners_are_painted_after_both_of_their_sides() -> None:
    found = passes((64, 64), Growth(right=32, up=32), native=(64, 64), multiple=4, overlap=32)
    assert [one.new for one in found] == [(64, 32, 96, 96), (0, 0, 64, 32), (32, 0, 96, 32)]
    assert found[-1].box == (32, 0, 96, 64)
