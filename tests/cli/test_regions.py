"""--region on the command line, and in the metadata of pictures."""

import hashlib
import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from PIL import Image

from sdloop.metadata.picture import read_record

TXT2IMG, RERUN, VERIFY = Command("txt2img"), Command("rerun"), Command("verify")
SAME = ("a park", "--seed", "4", "--size", "32x32", "-q")
FROG = ("--region", "a frog=mask.png:0.8", "--region", "a cat=0.5,0,0.5,1")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (0, 0, 8, 16))
    mask.save("mask.png")
    return folder


def test_a_picture_with_regions_remakes_and_verifies_itself(here: Path) -> None:
    TXT2IMG.make(*SAME, *FROG, "-o", "one.png")
    TXT2IMG.make(*SAME, "-o", "plain.png")
    assert pixels("one.png") != pixels("plain.png")
    record = read_record(Path("one.png"))
    assert record.recipe is not None
    assert record.recipe.regions == (FROG[1], FROG[3])
    sha256 = hashlib.sha256(Path("mask.png").read_bytes()).hexdigest()
    assert record.recipe.regions_sha256 == (sha256,)

    Path("apart").mkdir()
    for name in ("one.png", "mask.png"):
        Path(name).rename(here / "apart" / name)
    result = RERUN.run("apart/one.png", "-o", "two.png")  # the mask is found beside the file
    assert result.exit_code == 0, result.stderr
    assert pixels("two.png") == pixels("apart/one.png")
    assert read_record(Path("two.png")).made["key"] == record.made["key"]
    assert VERIFY.run("apart/one.png").exit_code == 0

    Image.new("L", (16, 16), 9).save("apart/mask.png")
    changed = RERUN.run("apart/one.png", "-o", "three.png")
    assert changed.exit_code == 3, changed.output
    assert not Path("three.png").exists()


def test_in_sweeps_settings_files_and_other_commands() -> None:
    sweep = json.dumps([["a frog=0,0,0.5,1"], ["a cat=0,0,0.5,1", "a dog=0.5,0,0.5,1"]])
    Command("batch").make(*SAME[:-1], "--sweep", f"regions={sweep}", "--outdir", "many")
    assert len(list(Path("many").glob("*.png"))) == 2
    Path("set.toml").write_text('regions = ["a frog=0,0,1,1"]\n', encoding="utf-8")
    (made,) = TXT2IMG.plan(*SAME, "--config", "set.toml")
    assert made["regions"] == ["a frog=0,0,1,1"]
    Command("mix").make("a park", "a house", *SAME[1:], *FROG, "--weights", "1,1", "-o", "mix.png")
    assert read_record(Path("mix.png")).settings["regions"] == [FROG[1], FROG[3]]


def test_regions_that_are_refused() -> None:
    missing = TXT2IMG.refused(*SAME, "--region", "a frog=none.png", code=3)
    assert missing == "cannot read 'none.png': No such file or directory"
    told = Command("outpaint").refused(
        "mask.png", "a park", "--right", "16", "--seed", "4", *FROG[2:]
    )
    assert told == "regions cannot be combined with outpainting"
