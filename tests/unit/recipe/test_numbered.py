"""Texts with numbers behind colons: LoRAs, ControlNets, regions and losses read back what they say.

A text may itself end like a number after a colon; its written form must not be read as one.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.errors import SettingError
from sdloop.recipe.controls import Control, T2IAdapter, parse_control
from sdloop.recipe.loras import Lora, parse_lora, split_tags
from sdloop.recipe.loss_grammar import NamedLoss, parse_loss
from sdloop.recipe.parse import short_number, split_numbers, split_range
from sdloop.recipe.regions import Region, parse_region

# Pieces of which a text is easily taken for another.
PIECES = st.sampled_from(["ink", "e.png", ":", "=", "0.5", "1", "..", " ", "-", "nan", "1e5", "a"])
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join)
NAMES = TEXTS.filter(lambda text: text != "-")
NUMBERS = st.floats(-100, 100)
SHARES = st.integers(0, 10).map(lambda whole: whole / 10)


@given(TEXTS, st.lists(st.floats(allow_nan=False), max_size=2))
def test_numbers_behind_a_text(text: str, numbers: list[float]) -> None:
    written = ":".join([text, *map(short_number, numbers)])
    assert split_numbers(written, most=len(numbers)) == (text, tuple(numbers))


@given(TEXTS, st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_range_behind_a_text(text: str, low: float, high: float) -> None:
    written = f"{text}:{short_number(low)}..{short_number(high)}"
    assert split_range(written) == (text, (low, high))


@given(TEXTS, NUMBERS, st.none() | NUMBERS)
def test_a_lora_reads_back(name: str, scale: float, text_scale: float | None) -> None:
    lora = Lora(name=name, scale=scale, text_scale=text_scale)
    assert parse_lora(str(lora)) == lora


@given(st.sampled_from([Control, T2IAdapter]), NAMES, NAMES, NUMBERS, SHARES, SHARES)
def test_a_control_reads_back(
    kind: type[Control], model: str, image: str, scale: float, start: float, end: float
) -> None:
    model = model.replace("=", "") or "net"
    part = {"start": start, "end": end} if start < end else {}
    control = kind(model="net" if model == "-" else model, image=image, scale=scale, **part)
    assert parse_control(str(control), kind) == control


@given(TEXTS, st.none() | TEXTS, SHARES)
def test_a_region_reads_back(prompt: str, file: str | None, weight: float) -> None:
    where: dict[str, Any] = {"box": (0.0, 0.25, 0.5, 0.5)}
    if file is not None:
        where = {"file": file.replace("=", "").strip() or "mask.png"}
    region = Region(prompt=prompt.strip() or "a frog", weight=weight, **where)
    assert parse_region(str(region)) == region


@given(st.sampled_from(["like", "clip"]), TEXTS, SHARES)
def test_a_loss_reads_back(kind: str, text: str, scale: float) -> None:
    of = {"file" if kind == "like" else "text": text.strip() or "ink"}
    loss = NamedLoss(kind=kind, scale=scale, **of)  # type: ignore[arg-type]
    assert parse_loss(str(loss)) == loss


@pytest.mark.parametrize("parse", [parse_lora, parse_control, parse_region, parse_loss])
@given(text=TEXTS)
def test_any_text_is_read_or_refused_and_then_reads_back(
    parse: Callable[[str], Any], text: str
) -> None:
    for one in (text, f"like={text}", f"net={text}"):
        try:
            found = parse(one)
        except SettingError:
            continue
        assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_lora, "ink:inf", "loras.scale must be a finite number, got inf"),
        (parse_lora, ":0.5", "loras.name must name a file or a hub id, got ''"),
        (parse_control, "net=:0.5", "controls.image must name a picture's file, got ''"),
        (
            parse_region,
            "a frog=mask.png:nan",
            "the weight of a region in regions must be a finite number, got nan",
        ),
        (
            parse_loss,
            "palette=gold:-inf",
            "the scale of a loss in losses must be a finite number, got -inf",
        ),
        (split_tags, "a cat <lora:ink:nan>", "loras.scale must be a finite number, got nan"),
    ],
)
def test_numbers_that_are_not_finite_and_texts_that_are_empty(
    parse: Callable[[str], Any], text: str, message: str
) -> None:
    with pytest.raises(SettingError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_numbers_may_have_blanks_and_exponents() -> None:
    assert parse_lora("ink : 1e-05") == Lora(name="ink ", scale=1e-5)
    assert parse_lora(str(Lora(name="ink", scale=1e-5))).scale == 1e-5
    assert split_tags("a cat <lora:ink:1e-1>")[1] == (Lora(name="ink", scale=0.1),)
    assert parse_control("net=e.png: .8 :0 .. 0.5") == Control(
        model="net", image="e.png", scale=0.8, end=0.5
    )
