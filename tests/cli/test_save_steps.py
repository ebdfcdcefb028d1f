"""--save-steps: a file for every step of every picture, distinct from the finished picture."""

from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Command, pixels, work_in
from helpers.pictures import gradient
from PIL import Image
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img", steps=5)
FLAGS = ["a cat", "--scheduler", "euler", "--seed", "4"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


def names(folder: str = "steps") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_the_steps_of_a_picture() -> None:
    """The last one is the picture, which is the same as without them."""
    assert TXT2IMG.make(*FLAGS, "-o", "cat.png", "--save-steps", "steps") == ["cat.png"]
    TXT2IMG.make(*FLAGS, "-o", "alone.png")
    assert names() == [f"cat-step-00{number}.png" for number in (1, 2, 3, 4, 5)]
    assert pixels("steps/cat-step-005.png") == pixels("cat.png") == pixels("alone.png")
    assert len({pixels(f"steps/{name}") for name in names()}) == 5
    assert sorted(path.name for path in Path().iterdir()) == ["alone.png", "cat.png", "steps"]


def test_each_picture_of_a_batch_has_its_own() -> None:
    """In the order of the rows, and across batches."""
    several = [*FLAGS[:-1], "4..6", "--save-steps", "steps", "--save-every", "2"]
    paths = TXT2IMG.make(*several, "--batch-size", "2", "-o", "{seed}.png")
    assert names() == [f"{seed}-step-00{n}.png" for seed in (4, 5, 6) for n in (2, 4, 5)]
    for path in paths:
        close = np.asarray(Image.open(f"steps/{Path(path).stem}-step-005.png"), int)
        assert abs(close - np.asarray(Image.open(path), int)).max() <= 1


def test_nobody_takes_a_step_for_the_picture() -> None:
    TXT2IMG.make(*FLAGS, "-o", "cat.png", "--save-steps", "steps")
    record = read_record(Path("steps/cat-step-003.png"))
    assert (record.step["number"], record.step["of"]) == (3, 5)
    assert record.recipe == read_record(Path("cat.png")).recipe
    assert "key" not in record.made
    assert record.fields == {}
    assert "weights" in record.made
    assert "parameters" not in Image.open("steps/cat-step-003.png").info
    shown = CliRunner().invoke(app, ["show", "steps/cat-step-003.png"]).stdout.splitlines()
    assert shown[1] == "  step 3 of 5, not the finished picture"
    assert read_record(Path("cat.png")).step == {}
    assert "not the finished" not in CliRunner().invoke(app, ["show", "cat.png"]).stdout


def test_nothing_is_overwritten_unasked() -> None:
    """A second picture of the name has its steps beside the first one's."""
    flags = [*FLAGS, "--save-steps", "steps", "--save-every", "5"]
    TXT2IMG.make(*flags, "--outdir", "one")
    TXT2IMG.make(*flags, "--outdir", "one")
    assert names() == ["a-cat-4-2-step-005.png", "a-cat-4-step-005.png"]
    TXT2IMG.make(*flags, "--outdir", "one", "--overwrite")
    assert len(names()) == 2


def test_pictures_of_one_name_do_not_share_their_steps() -> None:
    prompts = "\n".join(f'{{"prompt": "{word}", "output": "{word}/x.png"}}' for word in "ab")
    flags = ["--from-file", "-", *FLAGS[1:], "--save-steps", "steps", "--save-every", "5"]
    TXT2IMG.make(*flags, stdin=prompts)
    assert names() == ["x-2-step-005.png", "x-step-005.png"]
    assert pixels("steps/x-2-step-005.png") == pixels("b/x.png")


def test_the_other_commands_have_it_too() -> None:
    """Of an img2img picture that are the steps that run."""
    gradient().save("photo.png")
    flags = ["photo.png", *FLAGS, "--size", "32x32", "--strength", "0.6", "--save-steps", "steps"]
    Command("img2img", steps=5).make(*flags, "-o", "cat.png")
    assert names() == [f"cat-step-00{number}.png" for number in (1, 2, 3)]
    assert pixels("steps/cat-step-003.png") == pixels("cat.png")


def test_pictures_that_grow_show_their_windows_one_at_a_time() -> None:
    """The steps of several would be of parts of each, in an order that nobody could tell."""
    gradient().resize((32, 32)).save("photo.png")
    flags = ["photo.png", "a cat", "--right", "16", "--seed", "4..5", "--save-steps", "steps"]
    complaint = Command("outpaint").refused(*flags, "--quiet", "--batch-size", "2")
    assert complaint == "save_steps needs batch_size 1 for outpainting, got 2"


@pytest.mark.parametrize(
    ("flags", "complaint", "code"),
    [
        (["--save-every", "2"], "save_every needs save_steps, got save_every 2", 2),
        (["--save-steps", "d", "--save-every", "0"], "save_every must be at least 1, got 0", 2),
        (["--save-steps", ""], "save_steps must not be empty", 2),
        (["--save-steps", "file"], "cannot write 'file/x.png': ", 3),
    ],
    ids=str,
)
def test_bad_input_is_refused(flags: list[str], complaint: str, code: int) -> None:
    Path("file").touch()
    assert TXT2IMG.refused(*FLAGS, *flags, code=code).startswith(complaint)
