"""Every example runs with the command in its first lines."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from figures import FIGURES
from helpers.forked import Nursery
from PIL import Image

from sdloop.metadata.picture import read_record

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"

COMMANDS = {
    "train_lora.py": ["1", "learned.safetensors"],
    "one_picture.py": ["frogs on stilts"],
    "five_stages.py": ["a green frog in a park"],
    "watch_every_step.py": ["frogs on stilts"],
    "look_at_latents.py": [str(EXAMPLES / "sketch" / "park.png")],
    "look_at_schedule.py": [str(EXAMPLES / "sketch" / "park.png")],
    "look_at_words.py": ["a red frog under a tree"],
    "few_steps_much_guidance.py": ["a green frog in a park"],
    "sketch_strengths.py": [str(EXAMPLES / "sketch" / "rabbit.png"), "a brown rabbit in a park"],
    "four_from_a_sketch.py": [str(EXAMPLES / "sketch" / "frog.png")],
    "paint_within_mask.py": [str(EXAMPLES / "sketch" / name) for name in ("park.png", "mask.png")],
    "weigh_a_word.py": ["a (red:{}) and yellow house"],
    "hopping_sketch.py": ["a wooden carving of a rabbit"],
    "mix_prompts.py": ["a {}", "rabbit", "frog"],
    "more_blue.py": ["a frog on a stage", "1"],
    "own_loop.py": ["a green frog in a park"],
    "own_scheduler.py": ["a green frog in a park"],
    "change_the_loop.py": ["a green frog in a park", "a white rabbit in a park"],
}


# Fewer steps where an example names none, and what stands beside it; ``briefly`` is for the others.
FEW_STEPS = f"""
import sys
from sdloop.models.checkpoint.advice import Advice
Advice.__init__.__kwdefaults__["steps"] = 4
sys.path.append({str(EXAMPLES)!r})
"""


def briefly(script: str, folder: Path) -> Path:
    """A copy of an example with few steps."""
    code = (EXAMPLES / script).read_text(encoding="utf-8")
    copy = folder / script
    copy.write_text(FEW_STEPS + re.sub(r"\bsteps=\d+", "steps=4", code), encoding="utf-8")
    return copy


def test_every_example_is_listed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(COMMANDS)


@pytest.mark.parametrize("script", COMMANDS)
def test_example_makes_a_picture(script: str, tmp_path: Path, nursery: Nursery) -> None:
    if "lora" in script:
        pytest.importorskip("peft", reason="pip install 'sdloop[lora]'")
    file, copy = tmp_path / "picture.png", briefly(script, tmp_path)
    result = nursery.script(copy, [*COMMANDS[script], str(file)], tmp_path)
    assert result.returncode == 0, result.stderr
    with Image.open(file) as picture:
        extremes = picture.convert("L").getextrema()
    assert extremes[1] - extremes[0] > 50


@pytest.mark.slow
def test_python_runs_an_example(tmp_path: Path) -> None:
    """In a Python of its own, as its first line says."""
    command = [sys.executable, str(EXAMPLES / "one_picture.py"), "frogs on stilts", "frogs.png"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "frogs.png").is_file()


@pytest.mark.parametrize("script", COMMANDS)
def test_example_stays_short(script: str) -> None:
    assert len((EXAMPLES / script).read_text(encoding="utf-8").splitlines()) <= 45


def test_the_moving_example_tells_how_it_was_made() -> None:
    record = read_record(EXAMPLES / "sketch" / "hop.gif")
    assert record.recipe is not None
    assert record.recipe.image == "examples/sketch/hop-sketch.gif"
    sketch = (EXAMPLES / "sketch" / "hop-sketch.gif").read_bytes()
    assert record.recipe.image_sha256 == hashlib.sha256(sketch).hexdigest()
    assert (record.recipe.seed, record.moving["carry"]) == (4, 0.3)


def test_every_picture_that_is_shown_is_made_by_the_script() -> None:
    """``examples/gallery/make.sh`` makes them all; the page for picking is a photo of a browser."""
    pages = [ROOT / "README.md", ROOT / "sdloop/mini/README.md", *(ROOT / "docs").rglob("*.md")]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    shown = set(re.findall(r"!\[[^\]]*\]\([./]*(examples/[^)]+)\)", text))
    script = (EXAMPLES / "gallery/make.sh").read_text(encoding="utf-8")
    for name, folder in {"gallery": "examples/gallery", "sketch": "examples/sketch"}.items():
        script = script.replace(f"${name}/", f"{folder}/")
    figures = {f"examples/gallery/mini-{name}.png" for name in FIGURES}
    made = figures | set(re.findall(r"examples/[\w/-]+\.(?:png|gif)", script))
    assert len(shown) > 25
    assert shown - made == {"examples/gallery/pick.png"}
