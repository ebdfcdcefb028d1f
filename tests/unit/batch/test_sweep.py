"""Axes of a sweep: values have the field's type, and are checked before anything runs."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.batch.sweep import check_axes, combinations, parse_axis
from sdloop.errors import SettingError
from sdloop.recipe.check import check_alone
from sdloop.recipe.recipe import FIELDS


@pytest.mark.parametrize(
    "text, fields, values",
    [
        ("guidance_scale=3,5,7.5", ("guidance_scale",), [3.0, 5.0, 7.5]),
        ("guidance-scale=3", ("guidance_scale",), [3.0]),
        ("cfg=3", ("guidance_scale",), [3.0]),
        ("steps=1..3", ("steps",), [1, 2, 3]),
        ("steps=10..50..20,7", ("steps",), [10, 30, 50, 7]),
        ("strength=0.2..0.8..0.2", ("strength",), [0.2, 0.4, 0.6, 0.8]),
        ("scheduler=euler,DPM++ 2M Karras", ("scheduler",), ["euler", "DPM++ 2M Karras"]),
        ("sigmas=,karras", ("sigmas",), [None, "karras"]),
        ("negative_prompt=,blurry", ("negative_prompt",), ["", "blurry"]),
        (r"prompt=a\, b,c", ("prompt",), ["a, b", "c"]),
        ('prompt=["a, b", "c"]', ("prompt",), ["a, b", "c"]),
        ("prompt=[a|b] frog,[c]", ("prompt",), ["[a|b] frog", "[c]"]),
        ("size=512x768,768x512", ("width", "height"), [(512, 768), (768, 512)]),
        ("exact_steps=true,false", ("exact_steps",), [True, False]),
        ("loras=,a.safetensors:0.5", ("loras",), [(), ("a.safetensors:0.5",)]),
        ("mix_weights=[[1,3],[2,2]]", ("mix_weights",), [[1, 3], [2, 2]]),
        ("image=a.png,b.png", ("image",), ["a.png", "b.png"]),
    ],
)
def test_values_are_read_as_the_field_is(
    text: str, fields: tuple[str, ...], values: list[object]
) -> None:
    axis = parse_axis(text)
    assert (axis.fields, list(axis)) == (fields, values)
    assert len(axis) == len(values)
    assert all(value in axis for value in values)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("steps", "sweep must be like"),
        ("guides=blue", "the field 'guides' is now called 'losses'"),
        ("stepps=3", "unknown field 'stepps': did you mean 'steps'"),
        ("steps=many", "steps must be a whole number, got 'many'"),
        ("steps=0,5", "steps must be at least 1, got 0"),
        ("steps=5,0..3", "steps must be at least 1, got 0"),
        ("clip_skip=", "clip_skip must be a whole number, got ''"),
        ("steps=1..9..0.5", "steps must be a whole number, got '0.5'"),
        ("steps=1..9..0", "must be an ascending range"),
        ("seed=9..1", "seed must be an ascending range"),
        ("seed=1..4294967296", "seed must be at most 4294967295"),
        ("seed=1..9,5", "seed must name each value once, got 5 twice"),
        ("seed=1..9,8..10", "seed must name each value once, got 8 twice"),
        ("guidance_scale=1..9", "guidance_scale needs a step in a range"),
        ("guidance_scale=3,3.0", "must name each value once, got 3.0 twice"),
        ("guidance_scale=inf", "must be a finite number"),
        ("strength=0.5,2", "strength must be between 0 and 1, got 2"),
        ("strength=0..1..0.000000001", "too many values"),
        ("scheduler=fast", "scheduler must be a known one"),
        ("sigmas=steep", "sigmas must be one of"),
        ("size=512", "size must be two whole numbers"),
        ("size=[512]", "size must be two whole numbers"),
        ("background=colourful", "background must be an opaque colour"),
        ("no_keep=maybe", "no_keep must be true or false"),
        ('steps=["3"]', "steps must be a whole number, got '3'"),
        ("seed=[]", "sweep must name a value of seed"),
        ("prompt=a\0", "prompt must be valid Unicode"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        parse_axis(text)


@given(st.sampled_from([*FIELDS, "size"]), st.text(alphabet='019.,-+x[]" aeé:\\{}', max_size=20))
def test_any_text_is_read_or_refused(field: str, text: str) -> None:
    try:
        axis = parse_axis(f"{field}={text}")
    except SettingError:
        return
    for value in itertools.islice(axis, 20):
        for name, one in axis.settings(value).items():
            check_alone(name, one)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20, unique=True))
def test_whole_numbers_are_what_they_were(numbers: list[int]) -> None:
    assert list(parse_axis("steps=" + ",".join(map(str, numbers)))) == numbers


def test_a_long_range_is_not_written_out() -> None:
    axis = parse_axis("seed=0..4294967295")
    assert len(axis) == 2**32
    assert list(itertools.islice(axis, 2)) == [0, 1]


def test_axes_cross_with_the_last_the_fastest() -> None:
    axes = [parse_axis("steps=1,2"), parse_axis("size=8x8,16x8")]
    assert list(combinations(axes, zipped=False)) == [
        {"steps": steps, "width": width, "height": 8} for steps in (1, 2) for width in (8, 16)
    ]
    assert list(combinations([], zipped=False)) == [{}]


def test_zipped_axes_go_side_by_side() -> None:
    axes = [parse_axis("steps=1,2"), parse_axis("eta=0,1")]
    assert list(combinations(axes, zipped=True)) == [
        {"steps": 1, "eta": 0.0},
        {"steps": 2, "eta": 1.0},
    ]


@pytest.mark.parametrize(
    "sweeps, given_too, zipped, complaint",
    [
        (["steps=1,2", "steps=3"], {}, False, "steps must be swept once"),
        (["size=8x8", "width=8"], {}, False, "width must be swept once"),
        (["steps=1,2"], {"steps": 3}, False, "steps is swept, and given as 3 too"),
        (["steps=1,2"], {}, True, "zip needs two or more --sweep, got 1"),
        (["steps=1,2", "eta=0,1,0.5"], {}, True, "equal length, got steps 2, eta 3"),
    ],
)
def test_axes_that_contradict(
    sweeps: list[str], given_too: dict[str, int], zipped: bool, complaint: str
) -> None:
    with pytest.raises(SettingError, match=complaint):
        check_axes([parse_axis(text) for text in sweeps], given_too, zipped=zipped)
