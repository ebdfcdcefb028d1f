"""--safety: a model's own safety checker flags pictures, and changes none of them."""

import json
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from helpers.commands import Command, pixels, work_in
from helpers.tiny import (
    save_diffusers_folder,
    tiny_clip_config,
    tiny_clip_processor,
    tiny_sd1,
    write_json,
)

from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img")
SAME = ("a cat", "--seed", "4", "--size", "32x32")


def save_checker(folder: Path, threshold: float) -> None:
    """A safety checker that flags pictures with a cosine above ``threshold`` to a concept."""
    checker = StableDiffusionSafetyChecker(tiny_clip_config())
    with torch.no_grad():
        checker.concept_embeds.normal_()
        checker.concept_embeds_weights.fill_(threshold)
        checker.special_care_embeds_weights.fill_(2)
    checker.save_pretrained(folder / "safety_checker")
    tiny_clip_processor().save_pretrained(folder / "feature_extractor")
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    write_json(folder / "model_index.json", index)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = save_diffusers_folder(tiny_sd1(), tmp_path / "model")
    work_in(tmp_path / "here", monkeypatch, folder)
    return folder


@pytest.mark.parametrize(("threshold", "flagged"), [(-1.1, True), (1.1, False)])
def test_it_says_what_it_flags_and_saves_the_picture_as_it_is(
    model: Path, threshold: float, flagged: bool
) -> None:
    save_checker(model, threshold)
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


def test_a_model_without_a_checker_is_refused(model: Path) -> None:
    told = TXT2IMG.refused(*SAME, "--safety", "flag")
    assert told.startswith("safety flag needs a model with a safety_checker, and ")


def test_a_checker_without_weights_is_refused(model: Path) -> None:
    save_checker(model, 1.1)
    (model / "safety_checker" / "model.safetensors").unlink()
    assert "safety_checker/model.safetensors" in TXT2IMG.refused(*SAME, "--safety", "flag", code=3)
