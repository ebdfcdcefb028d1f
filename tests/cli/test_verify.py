"""sdloop verify and sdloop diff: equal pictures, and the size and cause of differences."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from helpers.foreign import A1111, png_with
from helpers.pictures import sketch
from PIL import Image

from sdloop.images.compare import difference
from sdloop.metadata.picture import read_record, write_picture
from sdloop.recipe.recipe import Recipe

VERIFY, DIFF = Command("verify"), Command("diff")
TXT2IMG, IMG2IMG = Command("txt2img", steps=3), Command("img2img", steps=4)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    TXT2IMG.make("a cat", "--seed", "4", "-o", "cat.png")
    return folder


def _verdict(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = VERIFY.run(*arguments, "--json")
    assert result.exit_code == code, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def _rewritten(name: str, **changes: Any) -> None:
    """The file again, with other pixels, another Recipe or other circumstances."""
    record = read_record(Path("cat.png"))
    assert record.recipe is not None
    image = Image.open("cat.png").convert("RGB")
    if (level := changes.pop("level", None)) is not None:
        image.putpixel((3, 5), (level, 0, 0))
    recipe = Recipe.from_dict({**record.recipe.to_dict(), **changes.pop("recipe", {})})
    made: Any = {**record.made, **changes}
    write_picture(image, Path(name), recipe=recipe, made=made)


def test_pictures_that_are_equal_and_nothing_is_written(here: Path) -> None:
    before = sorted(here.iterdir())
    assert _verdict("cat.png") == {
        "path": "cat.png",
        "equal": True,
        "largest": 0,
        "share": 0.0,
        "psnr": None,
        "size": [32, 32],
        "size_again": [32, 32],
        "made": {},
        "notes": [],
    }
    result = VERIFY.run("cat.png")
    assert (result.stdout, result.exit_code) == ("cat.png: equal\n", 0)
    assert sorted(here.iterdir()) == before


@pytest.mark.slow
def test_in_a_process_of_its_own() -> None:
    _rewritten("other.png", level=255)
    command = [sys.executable, "-m", "sdloop", "verify", "cat.png", "other.png"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 5
    assert done.stdout.startswith("cat.png: equal\nother.png: 0.0977 % of the pixels differ, by ")
    assert done.stderr == (
        "sdloop: error: 1 of 2 pictures differ from what their Recipes make here\n"
    )


def test_how_far_off_and_why() -> None:
    record = read_record(Path("cat.png"))
    weights = {**record.made["weights"], "configs": "0" * 64}
    versions = {**record.made["versions"], "torch": "1.13.1"}
    _rewritten("a.png", level=255, weights=weights, versions=versions, device="cuda:0")
    found = _verdict("a.png", code=5)
    assert not found["equal"]
    assert found["share"] == 1 / 1024
    assert found["psnr"] < 60
    assert set(found["made"]) == {"weights.configs", "versions.torch", "device"}
    assert found["made"]["device"] == ["cuda:0", "cpu"]
    lines = VERIFY.run("a.png").stdout.splitlines()
    assert "  device: cuda:0, now cpu" in lines
    assert any(line.startswith("  weights.configs: 000000000000…, now ") for line in lines)
    same = _verdict("cat.png", "--dtype", "bf16", code=5)
    assert same["made"] == {"dtype": ["float32", "bfloat16"]}


def test_a_recipe_that_was_changed_is_told_by_its_key() -> None:
    _rewritten("a.png", recipe={"seed": 5})
    assert _verdict("a.png", code=5)["notes"] == [
        "its Recipe was changed after it was made: the key differs"
    ]
    _rewritten("b.png", recipe={"width": 40})
    found = _verdict("b.png", code=5)
    assert (found["size"], found["size_again"], found["largest"]) == ([32, 32], [40, 32], None)
    assert "its size is 32x32, made again it is 40x32" in VERIFY.run("b.png").stdout


def test_a_tolerance_is_for_batches() -> None:
    red = Image.open("cat.png").convert("RGB").getpixel((3, 5))
    assert isinstance(red, tuple)
    image = Image.open("cat.png").convert("RGB")
    image.putpixel((3, 5), (red[0] - 1 if red[0] else 1, *red[1:]))
    record = read_record(Path("cat.png"))
    assert record.recipe is not None
    made: Any = record.made
    write_picture(image, Path("a.png"), recipe=record.recipe, made=made)
    found = _verdict("a.png", "--tolerance", "1")
    assert (found["equal"], found["largest"]) == (False, 1)
    assert found["notes"] == ["a difference of one level can come from the batch size"]
    assert _verdict("a.png", code=5)["largest"] == 1


def test_a_jpeg_is_compared_as_jpeg_saves_it_and_webp_is_exact() -> None:
    TXT2IMG.make("a cat", "--seed", "4", "-o", "cat.jpg")
    TXT2IMG.make("a cat", "--seed", "4", "-o", "cat.webp")
    assert _verdict("cat.jpg")["notes"] == ["compared after saving as JPEG"]
    assert _verdict("cat.webp")["notes"] == []
    assert not difference(Image.open("cat.jpg"), Image.open("cat.png")).equal


def test_a_step_is_compared_with_the_same_step() -> None:
    TXT2IMG.make("a cat", "--seed", "4", "-o", "dog.png", "--save-steps", "steps")
    result = VERIFY.run("steps")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:2] == ["steps/dog-step-001.png: equal", "  step 1 of 4"]
    assert result.stdout.count("equal") == 4


def test_input_pictures_and_models_that_are_elsewhere(tiny_model: Path) -> None:
    sketch(24, 18).save("sketch.png")
    IMG2IMG.make("sketch.png", "a cat", "--seed", "4", "-o", "drawn.png")
    assert _verdict("drawn.png")["equal"]
    _rewritten("far.png", recipe={"model": "./elsewhere"})
    assert _verdict("far.png", "--model", str(tiny_model))["equal"]
    Path("sketch.png").unlink()
    result = VERIFY.run("drawn.png", "far.png", "cat.png", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["path"], line.get("equal")) for line in lines] == [
        ("drawn.png", None), ("far.png", None), ("cat.png", True),
    ]  # fmt: skip
    assert "sketch.png" in lines[0]["error"]
    assert result.exit_code == 3


def test_files_of_others_and_files_that_say_nothing(here: Path) -> None:
    png_with(here / "a.png", parameters=A1111.replace("Size: 32x32", "Size: 32x32, Clip skip: 2"))
    found = _verdict("a.png", "--model", "mini", code=5)
    assert found["notes"] == ["it was made by another program, a1111"]
    TXT2IMG.make("a cat", "--seed", "4", "-o", "bare.png", "--metadata", "minimal")
    assert _verdict("bare.png")["equal"]
    sketch(8, 8).save("plain.png")
    assert "contains no settings" in VERIFY.refused("plain.png", code=3)
    assert VERIFY.refused().startswith("a picture must be named")
    assert "tolerance must be at most 255" in VERIFY.refused("cat.png", "--tolerance", "256")


def test_diff_is_a_table_of_what_differs() -> None:
    TXT2IMG.make("a dog " * 9, "--seed", "4", "-g", "3", "-o", "dog.png")
    result = DIFF.run("cat.png", "dog.png")
    assert result.exit_code == 0
    *table, _, pixels = result.stdout.splitlines()
    assert table[0].split() == ["cat.png", "dog.png"]
    assert table[2].startswith("prompt          a cat    a dog a dog a dog")
    assert table[-1].split() == ["guidance_scale", "7.5", "3"]
    assert pixels.startswith("pixels: ")
    assert pixels.endswith(" dB")


def test_diff_for_programs_and_of_equal_pictures() -> None:
    _rewritten("a.png", recipe={"seed": 7}, device="cuda:0")
    found = json.loads(DIFF.run("cat.png", "a.png", "--json").stdout)
    assert found["recipe"] == {"seed": [4, 7]}
    assert found["made"] == {"device": ["cpu", "cuda:0"]}
    assert found["pixels"]["equal"]
    shown = DIFF.run("cat.png", "cat.png").stdout
    assert shown.endswith("\nno setting differs\npixels: equal\n")
    TXT2IMG.make("a cat", "--seed", "4", "-W", "40", "-o", "wide.png")
    assert DIFF.run("cat.png", "wide.png").stdout.endswith("\nsizes: 32x32 and 40x32\n")


def test_diff_of_files_that_cannot_be_read_and_of_other_programs(here: Path) -> None:
    sketch(8, 8).save("plain.png")
    assert "contains no settings" in DIFF.refused("cat.png", "plain.png", code=3)
    png_with(here / "a.png", parameters=A1111)
    found = json.loads(DIFF.run("cat.png", "a.png", "--json").stdout)
    assert found["made"]["source"] == ["sdloop", "a1111"]
    assert found["recipe"]["negative_prompt"] == [None, "blurry"]


def test_differences_are_counted_in_pixels_and_levels() -> None:
    black = Image.new("RGB", (4, 2))
    other = black.copy()
    other.putpixel((1, 1), (0, 255, 3))
    apart = difference(black, other)
    assert (apart.largest, apart.share) == (255, 1 / 8)
    assert difference(black, black).to_dict()["psnr"] is None
    assert apart.to_dict() == difference(other, black).to_dict()
