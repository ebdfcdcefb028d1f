"""Masks by words: what CLIPSeg finds is painted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.pictures import gradient, sketch
from helpers.vision import save_clipseg
from PIL import Image
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor

from sdloop.metadata.picture import read_record
from sdloop.models.components.segmenter import Segmenter, load_segmenter
from sdloop.pipeline import mask as drawn

COMMAND = Command("inpaint")
inpaint, make, refused = COMMAND.run, COMMAND.make, COMMAND.refused
FACE = ("--mask", "text:the face", "--mask-model", "seg")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Iterator[Path]:
    """Work in a folder with two photos and a model in it, and with nothing found yet."""
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    gradient().save("photo.png")
    sketch(48, 32).save("other.png")
    save_clipseg(folder / "seg")
    drawn._found.clear()
    yield folder
    load_segmenter.cache_clear()


def heat(photo: str, words: str = "the face") -> np.ndarray:
    """What transformers' own classes find."""
    processor = CLIPSegProcessor.from_pretrained("seg")
    model = CLIPSegForImageSegmentation.from_pretrained("seg").eval()
    seen = processor(text=[words], images=[Image.open(photo)], return_tensors="pt")
    with torch.no_grad():
        logits = model(**seen).logits
    return logits.reshape(logits.shape[-2:]).sigmoid().numpy()


def expected(photo: str, threshold: float = 0.5) -> np.ndarray:
    found = Image.fromarray(heat(photo))
    return np.asarray(found.resize(Image.open(photo).size, Image.Resampling.BILINEAR)) > threshold


def inspected(*arguments: str) -> np.ndarray:
    """The mask of ``inspect mask``, as levels of grey."""
    result = Command("inspect").run("mask", *arguments, "--overwrite", "-o", "seen.png")
    assert result.exit_code == 0, result.stderr
    return np.asarray(Image.open("seen.png"))


def test_it_finds_what_transformers_own_classes_find() -> None:
    for photo in ("photo.png", "other.png"):
        seen = inspected(photo, "text:the face", "--mask-model", "seg")
        assert np.array_equal(seen == 255, expected(photo))
        assert 0.05 < (seen == 255).mean() < 0.95
        assert set(np.unique(seen)) == {0, 255}
    words = inspected("photo.png", "text:red", "--mask-model", "seg", "--mask-threshold", "0.4")
    assert not np.array_equal(words == 255, expected("photo.png", 0.4))


def test_what_it_finds_is_painted_as_with_a_mask_in_a_file() -> None:
    most = f"{np.quantile(heat('photo.png'), 0.9):.4f}"
    more = ("--mask-threshold", most, "--mask-grow", "1", "--mask-blur", "0.5")
    inspected("photo.png", "text:the face", "--mask-model", "seg", *more)
    (name,) = make("photo.png", "a hat", *FACE, *more, "--seed", "4")
    (same,) = make("photo.png", "a hat", "--mask", "seen.png", "--seed", "4", "-o", "same.png")
    assert pixels(name) == pixels(same)
    kept = np.asarray(Image.open("seen.png")) == 0
    changed = (np.asarray(Image.open(name)) != np.asarray(gradient())).any(axis=2)
    assert kept.any() and changed.any() and not changed[kept].any()


def test_the_picture_remakes_itself() -> None:
    (name,) = make("photo.png", "a hat", *FACE, "--mask-margin", "4", "--seed", "4")
    record = read_record(Path(name))
    recipe = record.recipe
    assert recipe is not None
    assert (recipe.mask, recipe.mask_model, recipe.mask_threshold) == ("text:the face", "seg", 0.5)
    assert recipe.mask_model_sha256 is not None and recipe.mask_sha256 == recipe.image_sha256
    assert Command("verify").run(name).exit_code == 0
    assert pixels(Command("rerun").make(name)[0]) == pixels(name)
    Path("moved").mkdir()
    for file in (name, "photo.png", "seg"):
        Path(file).rename(f"moved/{file}")
    (moved,) = Command("rerun").make(f"moved/{name}", "--mask-model", "moved/seg")
    assert read_record(Path(moved)).made["key"] == record.made["key"]
    save_clipseg(Path("seg"), seed=1)
    error = Command("rerun").refused(f"moved/{name}", "-o", "no.png", code=3)
    assert "'seg' is not the mask_model that the recipe was made with" in error


def test_the_key_follows_what_decides_the_mask() -> None:
    def key(*arguments: str) -> Any:
        name, output = "one.png", ("--overwrite", "-o", "one.png")
        result = inpaint("photo.png", "a hat", "--seed", "4", "--steps", "1", *arguments, *output)
        assert result.exit_code == 0, result.stderr
        return read_record(Path(name)).made["key"]

    plain = key(*FACE)
    assert key(*FACE, "--mask-grow", "0") == plain
    for more in (["--mask-threshold", "0.45"], ["--mask-grow", "1"], ["--mask", "text:a face"]):
        assert key(*FACE, *more) != plain


def test_a_mask_is_made_once_for_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    find = Segmenter.heat
    monkeypatch.setattr(Segmenter, "heat", lambda *a: asked.append(a[2]) or find(*a))
    photos = ("photo.png", "a hat", "-i", "other.png")
    COMMAND.plan(*photos, *FACE, "--seed", "1..3", "--steps", "2")
    assert asked == []  # the plan of a batch needs no model
    more = ("--mask-margin", "4", "--batch-size", "2")
    assert len(make(*photos, *FACE, *more, "--seed", "1..3")) == 6
    assert asked == ["the face", "the face"]


def test_where_it_finds_nothing_the_highest_value_is_told() -> None:
    highest = {name: expected_max(name) for name in ("photo.png", "other.png")}
    low, high = sorted(highest, key=highest.__getitem__)
    between = f"{(highest[low] + highest[high]) / 2:.4f}"
    result = inpaint(low, "a hat", *FACE, "--mask-threshold", between, "--steps", "1")
    assert result.exit_code == 2
    (line,) = [one for one in result.stderr.splitlines() if "error" in one]
    assert f"mask 'text:the face' finds nothing in '{low}' above mask_threshold" in line
    assert line.endswith(f"the highest value is {highest[low]:.3g}")
    # One such picture does not stop a batch.
    result = Command("batch").run(
        *("a hat", "--image", low, "--image", high, *FACE, "--mask-threshold", between),
        *("--steps", "1", "--seed", "4", "--outdir", "hats"),
    )
    assert result.exit_code == 5, result.output
    assert len(list(Path("hats").glob("*.png"))) == 1


def expected_max(photo: str) -> float:
    size = Image.open(photo).size
    found = Image.fromarray(heat(photo)).resize(size, Image.Resampling.BILINEAR)
    return float(np.asarray(found).max())


def test_what_cannot_be_a_mask_by_words(here: Path, tmp_path: Path) -> None:
    save_clipseg(tmp_path / "bare")
    (tmp_path / "bare" / "preprocessor_config.json").unlink()
    save_clipseg(tmp_path / "cut")
    (tmp_path / "cut" / "merges.txt").unlink()
    (tmp_path / "cut" / "vocab.json").unlink()
    (tmp_path / "clip").mkdir()
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / "clip" / name).write_bytes((here / "seg" / name).read_bytes())
    (tmp_path / "clip" / "config.json").write_text('{"model_type": "clip"}')
    hundred = "text:" + "a " * 100
    for arguments, message, code in (
        (["--mask", "text:"], "mask must say what to find, as in", 2),
        (["--mask", "photo.png", "--mask-threshold", "0.3"], "mask_threshold needs a mask by", 2),
        ([*FACE, "--mask-threshold", "2"], "mask_threshold must be between 0 and 1, got 2.0", 2),
        ([*FACE, "--mask-grow", "-99"], "marks nothing to paint any more with mask_grow -99", 3),
        ([*FACE[:3], "gone/"], "gone", 3),
        ([*FACE[:3], "photo.png"], "mask_model must be a folder with a config.json", 3),
        ([*FACE[:3], str(tmp_path / "clip")], "of the type clipseg, got 'clip'", 3),
        ([*FACE[:3], str(tmp_path / "bare")], "must have a preprocessor_config.json", 3),
        ([*FACE[:3], str(tmp_path / "cut")], "vocab.json or merges.txt is missing", 3),
        ([*FACE[:2], "--mask", hundred, *FACE[2:]], "mask must have at most 77 tokens", 2),
    ):
        result = inpaint("photo.png", "a hat", *arguments, "--seed", "4", "--steps", "1")
        assert result.exit_code == code, (arguments, result.output)
        (line,) = [one for one in result.stderr.splitlines() if "error" in one]
        assert message in line
    assert "needs a mask" not in line and sorted(Path().glob("*hat*")) == []


def test_inspect_says_how_much_is_painted() -> None:
    result = Command("inspect").run("mask", "photo.png", "text:the face", *FACE[2:], "-o", "m.png")
    share = expected("photo.png").mean()
    sure = expected_max("photo.png")
    told = f"sdloop: {share:.1%} is painted; the highest value of its words is {sure:.3g}\n"
    assert (result.stdout, result.stderr) == ("m.png\n", told)
    inverted = Command("inspect").run("mask", "photo.png", "m.png", "--invert-mask", "-o", "i.png")
    assert inverted.stderr == f"sdloop: {1 - share:.1%} is painted\n"
    assert "already exists" in Command("inspect").run("mask", "photo.png", "m.png", "-o",
                                                      "i.png").stderr  # fmt: skip
    for arguments, missing in (([], "image"), (["photo.png"], "mask")):
        error = Command("inspect").refused("mask", *arguments)
        assert error.startswith(f"{missing} must be given, as in: sdloop inspect mask photo.png")
