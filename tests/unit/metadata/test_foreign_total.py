"""Readers of other programs' files never raise, so one file does not stop a whole folder."""

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.foreign import (
    COMFYUI,
    DRAW_THINGS,
    EASY_DIFFUSION,
    FOOOCUS,
    INVOKEAI,
    INVOKEAI_GRAPH,
    MFLUX,
    NOVELAI,
    SD_METADATA,
    SWARM,
    mflux_exif,
    png_with,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from sdloop.errors import FileError
from sdloop.metadata.foreign.read import KEYWORDS
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record, record_of
from sdloop.recipe.recipe import Recipe

LORA = {"class_type": "LoraLoader", "inputs": {"lora_name": "ink.safetensors", "model": ["4", 0]}}


def _whole_graph() -> dict[str, Any]:
    """A graph with one of each node that is read."""
    graph: dict[str, Any] = copy.deepcopy(COMFYUI)
    graph["3"]["inputs"]["model"] = ["10", 0]
    graph["6"]["inputs"] |= {"text": ["12", 0], "clip": ["11", 0]}
    return graph | {
        "10": {**LORA, "inputs": {**LORA["inputs"], "strength_model": ["13", 0]}},  # type: ignore[dict-item]
        "11": {
            "class_type": "CLIPSetLastLayer",
            "inputs": {"stop_at_clip_layer": -2, "clip": ["10", 1]},
        },
        "12": {"class_type": "PrimitiveString", "inputs": {"value": "a red frog"}},
        "13": {"class_type": "PrimitiveFloat", "inputs": {"value": 0.75}},
    }


SAMPLES: dict[str, list[dict[str, Any]]] = {
    "prompt": [_whole_graph()],
    "invokeai_metadata": [INVOKEAI],
    "invokeai_graph": [INVOKEAI_GRAPH],
    "sd-metadata": [SD_METADATA],
    "parameters": [MFLUX, SWARM, FOOOCUS, DRAW_THINGS, EASY_DIFFUSION],
    "Comment": [NOVELAI],
}
PAIRS = [(keyword, sample) for keyword, samples in SAMPLES.items() for sample in samples]

EASY_TEXTS = {name: str(value) for name, value in EASY_DIFFUSION.items()}

plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["0.75", "-1", "nan", "\ud800", "<lora:x:1>", 10**400, -(10**400)]),
    st.tuples(st.sampled_from([*"3456789", "10", "99"]), st.integers(-1, 2)).map(list),
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


def _places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything within a JSON value."""
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, one in value.items() if isinstance(value, dict) else ():
        yield (*way, key)
        yield from _places(one, (*way, key))


def _changed(sample: Any, way: tuple[Any, ...], new: Any) -> Any:
    changed = copy.deepcopy(sample)
    at = changed
    for key in way[:-1]:
        at = at[key] if isinstance(at, dict | list) else {}
    if isinstance(at, dict) or (isinstance(at, list) and way[-1] < len(at)):
        at[way[-1]] = new
    return changed


def _check(texts: dict[str, str]) -> None:
    record = record_of(texts)
    if record is not None:
        Recipe.from_dict({"prompt": "", "seed": 0} | dict(record.settings))
        "\n".join((*record.left_out, str(record.fields), str(record.model))).encode()


@pytest.mark.parametrize(("keyword", "sample"), PAIRS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_samples_with_anything_in_a_few_places(
    keyword: str, sample: dict[str, Any], data: st.DataObject
) -> None:
    places = list(_places(sample))
    changed = sample
    for way in data.draw(st.lists(st.sampled_from(places), min_size=1, max_size=3)):
        try:
            changed = _changed(changed, way, data.draw(values))
        except (KeyError, IndexError, TypeError):  # an earlier change took the place away
            continue
    _check({keyword: json.dumps(changed)})


@pytest.mark.parametrize(("keyword", "sample"), PAIRS)
def test_samples_with_each_odd_value_in_each_place(keyword: str, sample: dict[str, Any]) -> None:
    odd: list[Any] = [None, True, -1, 1e308, "x", "0.75", [], {}, ["3", 0], [None, 0], 10**400]
    for way in _places(sample):
        for new in odd:
            _check({keyword: json.dumps(_changed(sample, way, new))})


@given(
    st.dictionaries(st.sampled_from([*KEYWORDS, "parameters"]), values.map(json.dumps) | st.text())
)
def test_any_text_under_the_known_keywords(texts: dict[str, str]) -> None:
    _check(texts)


@given(st.dictionaries(st.sampled_from(sorted(EASY_TEXTS)), values.map(repr) | st.text()))
@example({"lora_alpha": "['\\ud800']"})
def test_settings_that_are_a_text_each(changes: dict[str, str]) -> None:
    _check({**EASY_TEXTS, **changes})


def test_json_that_is_nested_without_end() -> None:
    for keyword in (*KEYWORDS, "parameters"):
        for depth in (50, 300, 900, 100_000):
            _check({keyword: '{"image": ' + "[" * depth + "]" * depth + "}"})
    nested = _whole_graph()
    nested["6"]["inputs"]["text"] = json.loads("[" * 400 + "]" * 400)
    _check({"prompt": json.dumps(nested)})


def _graph(**changes: Any) -> dict[str, Any]:
    graph = _whole_graph()
    for name, value in changes.items():
        node, _, key = name.removeprefix("n").partition("_")
        graph[node]["inputs"][key] = value
    return graph


def _read(path: Path, **texts: Any) -> Record:
    return read_record(png_with(path / "a.png", **texts))


def test_a_linked_number_is_taken(tmp_path: Path) -> None:
    graph = _graph(n3_steps=["14", 0], n11_stop_at_clip_layer=["15", 0])
    graph["14"] = {"class_type": "Reroute", "inputs": {"": ["16", 0]}}
    graph["15"] = {"class_type": "PrimitiveInt", "inputs": {"value": -2}}
    graph["16"] = {"class_type": "Seed", "inputs": {"seed": 9, "control_after_generate": "fixed"}}
    record = _read(tmp_path, prompt=graph)
    assert record.settings["prompt"] == "a red frog <lora:ink:0.75>"
    assert record.settings["clip_skip"] == 2
    assert record.settings["steps"] == 9


def test_a_number_as_text_is_taken(tmp_path: Path) -> None:
    record = _read(tmp_path, prompt=_graph(n10_strength_model="0.5", n10_strength_clip="0.5"))
    assert record.settings["prompt"] == "a red frog <lora:ink:0.5>"
    loras = [{"lora": {"model_name": "ink"}, "weight": "0.75"}]
    record = _read(tmp_path, invokeai_metadata={**INVOKEAI, "loras": loras})
    assert record.settings["prompt"] == "a red frog <lora:ink:0.75>"


def test_what_cannot_be_resolved_is_said(tmp_path: Path) -> None:
    graph = _graph(n3_steps=["3", 0], n10_strength_model=["99", 0])
    graph["12"] = {"class_type": "ShowText"}
    record = _read(tmp_path, prompt=graph)
    assert "steps" not in record.settings
    assert record.settings["seed"] == 4
    assert {
        "positive: not one CLIPTextEncode",
        "steps: ['3', 0]",
        "lora: ink.safetensors at ['99', 0]",
    } <= set(record.left_out)
    record = _read(tmp_path, invokeai_metadata={**INVOKEAI, "loras": ["ink"]})
    assert record.settings["prompt"] == "a red frog"
    assert record.left_out == ("loras: ink",)


def test_a_prompt_in_parts_that_are_texts(tmp_path: Path) -> None:
    image = {**SD_METADATA["image"], "prompt": ["a red frog", {"prompt": "in a park"}, 3]}
    record = _read(tmp_path, sd_metadata={**SD_METADATA, "image": image})
    assert record.settings["prompt"] == "a red frog in a park"


@given(data=st.binary(max_size=8), place=st.integers(0, 10_000), cut=st.booleans())
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_files_with_other_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes, place: int, cut: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"mutated{suffix}"
    Image.new("RGB", (8, 8)).save(path, exif=mflux_exif(MFLUX))
    whole = path.read_bytes()
    at = place % len(whole)
    path.write_bytes(whole[:at] + data + (b"" if cut else whole[at + len(data) :]))
    with contextlib.suppress(FileError):
        read_record(path)
