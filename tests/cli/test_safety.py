"""--safety: a model's own safety checker flags pictures, and changes none of them."""

import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.tiny import (
    save_diffusers_folder,
    save_safety_checker,
    tiny_sd1,
)

from sdloop.metadata.picture import read_record
from sdloop.models.components.safety import SafetyChecker

TXT2IMG = Command("txt2img")
SAME = ("a cat", "--seed", "4", "--size", "32x32")


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = save_diffusers_folder(tiny_sd1(), tmp_path / "model")
    work_in(tmp_path / "here", monkeypatch, folder)
    return folder


@pytest.mark.parametrize(("threshold", "flagged"), [(-1.1, True), (1.1, False)])
def test_it_says_what_it_flags_and_saves_the_picture_as_it_is(
    model: Path, threshold: float, flagged: bool
) -> None:
    save_safety_checker(model, threshold)
    TXT2IMG.make(*SAME, "-o", "plain.png")
    result = TXT2IMG.run(*SAME, "--steps", "2", "--safety", "flag", "--json", "-o", "one.png")
    assert result.exit_code == 0, result.stderr
    told = "warning: seed 4: the model's safety checker flags this picture" in result.stderr
    assert told is flagged
    assert json.loads(result.stdout)["flagged"] is flagged
    assert read_record(Path("one.png")).made["flagged"] is flagged
    assert pixels("one.png") == pixels("plain.png")
    assert read_record(Path("one.png")).made["key"] == read_record(Path("plain.png")).made["key"]
    assert "flagged" not in read_record(Path("plain.png")).made


def test_a_flagged_picture_is_made_again_and_verified(model: Path) -> None:
    save_safety_checker(model, -1.1)
    TXT2IMG.make(*SAME, "--safety", "flag", "-o", "one.png")
    key = read_record(Path("one.png")).made["key"]
    for asked, flagged in ((("--safety", "flag"), True), ((), None)):
        output = ("--overwrite", "-o", "two.png")
        result = Command("rerun").run("one.png", *asked, *output)
        assert result.exit_code == 0, result.stderr
        made = read_record(Path("two.png")).made
        assert (pixels("two.png"), made["key"]) == (pixels("one.png"), key)
        assert made.get("flagged") is flagged  # the checker is the command's, not the Recipe's
        assert ("warning: seed 4" in result.stderr) is (flagged is True)
    checked = Command("verify").run("one.png")
    assert checked.exit_code == 0, checked.output
    save_safety_checker(model, 1.1)
    assert Command("verify").run("one.png").exit_code == 0


def test_batches_and_sweeps_flag_the_right_pictures(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_safety_checker(model, 1.1)
    many = ("a cat", "--seed", "4..6", "--size", "32x32", "--batch-size", "2",
            "--sweep", "guidance_scale=2,9", "--outdir")  # fmt: skip
    plain = Command("batch").make(*many, "plain")
    bad = {pixels(plain[index]) for index in (1, 2)}
    monkeypatch.setattr(
        SafetyChecker, "flags", lambda _, images: [one.tobytes() in bad for one in images]
    )
    result = Command("batch").run(*many, "seen", "--steps", "2", "--safety", "flag")
    assert result.exit_code == 0, result.output
    made = result.stdout.splitlines()
    assert result.stderr.count("checker flags this picture") == 2
    assert [pixels(name) for name in made] == [pixels(name) for name in plain]
    flags = [read_record(Path(name)).made["flagged"] for name in made]
    assert flags == [False, True, True, False, False, False]
    # Pictures that are there count as finished, whether they were checked or not.
    assert Command("batch").make(*many, "seen") == []
    assert Command("batch").make(*many, "plain", "--safety", "flag") == []


def test_a_model_without_a_checker_is_refused(model: Path) -> None:
    told = TXT2IMG.refused(*SAME, "--safety", "flag")
    assert told.startswith("safety flag needs a model with a safety_checker, and ")


def test_a_checker_without_weights_is_refused(model: Path) -> None:
    save_safety_checker(model, 1.1)
    (model / "safety_checker" / "model.safetensors").unlink()
    assert "safety_checker/model.safetensors" in TXT2IMG.refused(*SAME, "--safety", "flag", code=3)
