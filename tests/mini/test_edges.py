"""The ControlNet of the embedded model: pictures follow a sketch, as its card says."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Command
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/train_mini"))

import measure_control

from sdloop.models.checkpoint.control import MINI_EDGES, find_control

SKETCH = Path(__file__).parents[2] / "examples/sketch/frog.png"


def test_it_is_small_and_found_before_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("edges").mkdir()
    file = find_control("edges", may_fetch=False)
    assert [path.parent for path in file.files] == [MINI_EDGES]
    assert sum(path.stat().st_size for path in MINI_EDGES.iterdir()) < 4e6


def test_lines_that_no_word_describes_are_followed() -> None:
    """The card has the shares of more scenes."""
    flags = ["--wordless", "--setting", "plain", "--prompts", "4", "--steps", "10"]
    found = measure_control.measure(measure_control.parse(flags))
    drawn, followed, without = (scores.mean() for scores in found.values())
    assert drawn > 0.85
    assert followed > 0.75
    assert without < 0.55


def test_a_sketch_of_a_child_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Image.open(SKETCH) as sketch:
        lines = np.asarray(sketch.convert("L")) > 127
    seen = []
    for control in (["--control", f"edges={SKETCH}"], []):
        (name,) = Command("txt2img", steps=10).make("a red frog", "--seed", "4", *control)
        with Image.open(name) as image:
            near = measure_control.widened(measure_control.edges(image))
        seen.append((near & lines).sum() / lines.sum())
    followed, without = seen
    assert followed > 0.7
    assert without < followed - 0.2
