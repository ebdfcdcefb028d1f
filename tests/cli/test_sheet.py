"""sdloop sheet: each picture is in the cell of its metadata's settings."""

from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Command, work_in
from PIL import Image
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.cli.read.sheet_axes import arranged, records_of
from sdloop.metadata.picture import write_picture
from sdloop.recipe.recipe import Recipe

SHEET = Command("sheet")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_in(tmp_path / "here", monkeypatch, Path("mini"))


def picture(name: str, colour: str, **fields: object) -> None:
    recipe = Recipe.from_dict({"prompt": "a cat", "seed": 1, **fields})
    write_picture(Image.new("RGB", (64, 64), colour), Path(name), recipe=recipe)


def four() -> None:
    """Three of four cells, and a second picture for one of them."""
    picture("out/1.png", "red", seed=10, guidance_scale=3.0)
    picture("out/2.png", "lime", seed=9, guidance_scale=7.5)
    picture("out/3.png", "blue", seed=9, guidance_scale=3.0)
    picture("out/4.png", "black", seed=9, guidance_scale=3.0)


def made(*arguments: str) -> tuple[Image.Image, str]:
    result = CliRunner().invoke(app, ["sheet", *arguments, "-o", "sheet.png"])
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "sheet.png\n"
    with Image.open("sheet.png") as image:
        return image.convert("RGB"), result.stderr


def cells(sheet: Image.Image, columns: int, rows: int, side: int = 128) -> list[list[object]]:
    """The colour in the middle of each cell, which are at the right and at the bottom."""
    step = side + 4
    left, top = sheet.width - columns * step + 4, sheet.height - rows * step + 4
    return [
        [sheet.getpixel((left + x * step + side // 2, top + y * step + side // 2))
         for x in range(columns)] for y in range(rows)
    ]  # fmt: skip


def test_axes_from_the_files() -> None:
    """Numbers by their size; a missing cell is empty; the first of two is shown."""
    four()
    sheet, told = made("out", "--columns", "seed", "--rows", "guidance_scale")
    red, lime, blue, white = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
    assert cells(sheet, 2, 2) == [[blue, red], [lime, white]]
    assert told == "sdloop: left out 1 picture, because each cell shows only its first picture\n"
    found = arranged(records_of(["out/1.png", "out/2.png"], needed=True), columns="seed", rows=None)
    assert (found.columns, found.rows) == (["seed 9", "seed 10"], ())


def test_pictures_in_folders_of_the_folder() -> None:
    """As a batch lays them out; what does not say how it was made has no place on an axis."""
    for prompt, colour in (("frog", "lime"), ("cat", "red")):
        for seed in (2, 10):
            picture(f"made/{prompt}/{seed}.png", colour, prompt=f"a {prompt}", seed=seed)
    Image.new("RGB", (64, 64), "black").save("made/frog/other.png")
    Path("made/.hidden").mkdir()
    Path("made/frog/back").symlink_to(Path("made").resolve())
    sheet, told = made("made", "--columns", "seed", "--rows", "prompt")
    red, lime = (255, 0, 0), (0, 255, 0)
    assert cells(sheet, 2, 2) == [[red, red], [lime, lime]]
    assert told == "sdloop: left out 1 picture without seed and prompt\n"


def test_long_prompts_are_shortened() -> None:
    picture("out/1.png", "red", prompt="a very long walk " * 40)
    picture("out/2.png", "lime", prompt="a cat")
    sheet, _ = made("out", "--rows", "prompt")
    assert cells(sheet, 1, 2) == [[(255, 0, 0)], [(0, 255, 0)]]
    assert 128 < sheet.width < 400
    rows = arranged(records_of(["out/1.png"], needed=True), columns=None, rows="prompt").rows
    assert rows[0].count("\n") <= 3
    assert rows[0].endswith("…")


def test_any_pictures_without_axes() -> None:
    """In the order of their names, however they were made, and whatever their sizes."""
    for number, colour in ((2, "lime"), (10, "blue"), (1, "red")):
        Image.new("RGB", (64, 64), colour).save(f"{number}.jpg")
    Image.new("RGB", (32, 32), "black").save("11.png")
    sheet, told = made(".")
    found = np.asarray(sheet, int)
    assert told == ""
    assert sheet.width == 2 * 132 - 4
    step = sheet.height // 2 + 2
    middles = [[found[y + 20 + 69, x] for x in (64, 196)] for y in (0, step)]
    near = [[(254, 0, 0), (0, 255, 1)], [(0, 0, 254), (0, 0, 0)]]
    assert np.abs(np.array(middles) - np.array(near)).max() <= 2
    assert tuple(found[step + 30, 140]) == (255, 255, 255)


def test_scale() -> None:
    Image.effect_noise((400, 200), 40).save("a.png")
    assert made("a.png")[0].width == 256
    Path("sheet.png").unlink()
    assert made("a.png", "--zoom", "2")[0].width == 800
    Path("sheet.png").unlink()
    assert made("a.png", "--zoom", "0.25")[0].width == 100


def test_seeds_are_the_labels_where_they_tell_pictures_apart() -> None:
    four()
    names = ["out/1.png", "out/2.png"]
    assert arranged(records_of(names, needed=False), columns=None, rows=None).captions == [
        ["seed 10", "seed 9"]
    ]
    names.append("out/3.png")
    captions = arranged(records_of(names, needed=False), columns=None, rows=None).captions
    assert captions == [["1.png", "2.png"], ["3.png", ""]]


def test_steps_are_an_axis_and_else_no_pictures() -> None:
    four()
    recipe = Recipe(prompt="a cat", seed=9)
    for number in (2, 10):
        image = Image.new("RGB", (64, 64), (number, 0, 0))
        path = Path(f"out/9-step-{number:03d}.png")
        write_picture(image, path, recipe=recipe, step={"number": number, "of": 10})
    sheet, told = made("out", "--columns", "step")
    assert cells(sheet, 2, 1) == [[(2, 0, 0), (10, 0, 0)]]
    assert told == "sdloop: left out 4 pictures without step\n"
    Path("sheet.png").unlink()
    assert len(cells(made("out", "--columns", "guidance_scale")[0], 2, 1)[0]) == 2


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        ([], "a sheet needs pictures, as in: sdloop sheet out/", 2),
        (["out", "--columns", "sed"], "columns must be a known field, got 'sed': did you mean", 2),
        (["out", "--columns", "seed", "--rows", "seed"], "columns and rows must differ", 2),
        (["out", "--columns", "step"], "none of these pictures has step", 2),
        (["out", "--zoom", "1.5"], "zoom must be 0.01 to 1, or a whole number", 2),
        (["out", "-o", "sheet.gif"], "output must end in .png for a sheet", 2),
        (["out", "-o", "plain.png"], "'plain.png' already exists", 3),
        (["plain.png", "--rows", "seed"], "none of these pictures contains its settings", 3),
        (["no.png"], "cannot read 'no.png'", 3),
        (["text.png"], "'text.png' is not a picture", 3),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments: list[str], complaint: str, code: int) -> None:
    four()
    Image.new("RGB", (8, 8)).save("plain.png")
    Path("text.png").write_text("no picture")
    assert SHEET.refused(*arguments, code=code).startswith(complaint)
