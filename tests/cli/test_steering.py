"""--loss on the command line, and in the metadata of pictures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.tiny import save_tiny_clip
from PIL import Image

from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img")
SAME = ("a cat", "--seed", "4", "-q")

WARM = '''"""Somebody's own loss."""


def warmth(pictures):
    return (pictures[:, 2] - pictures[:, 0]).mean(dim=(1, 2))


def of_all(pictures):
    return pictures.mean()


def number(pictures):
    return 3.0


def constant(pictures):
    return pictures.new_zeros(len(pictures))


def nothing(pictures):
    return pictures.mean(dim=(1, 2, 3)) * float("nan")
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    (folder / "warm.py").write_text(WARM, encoding="utf-8")
    (folder / "broken.py").write_text("import nothing_that_is_there", encoding="utf-8")
    Image.new("RGB", (20, 30), "gold").save("gold.png")
    Image.new("L", (20, 30), 255).save("mask.png")
    sys.modules.pop("warm", None)
    return folder


def test_a_steered_picture_is_remade_from_its_own_file(here: Path) -> None:
    losses = ("blue=9000", "like=gold.png,ssim,mask=mask.png:3000", "warm:warmth=5000")
    flags = [part for one in losses for part in ("--loss", one)]
    TXT2IMG.make(*SAME, *flags, "--loss-mode", "exact", "--loss-every", "1", "-o", "one.png")
    record = read_record(Path("one.png"))
    assert record.recipe is not None
    assert record.recipe.losses == losses
    assert (record.recipe.loss_mode, record.recipe.loss_every) == ("exact", 1)
    assert record.recipe.losses_sha256 is not None
    assert len(record.recipe.losses_sha256) == 3
    TXT2IMG.make(*SAME, "-o", "plain.png")
    assert pixels("one.png") != pixels("plain.png")

    Path("again.jsonl").write_text(json.dumps(record.recipe.to_dict()), encoding="utf-8")
    assert TXT2IMG.run("--from-file", "again.jsonl", "-o", "two.png").exit_code == 0
    assert pixels("one.png") == pixels("two.png")
    assert read_record(Path("two.png")).made["key"] == record.made["key"]

    (here / "warm.py").write_text(WARM + "\n", encoding="utf-8")
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'warm' is not the file that the recipe was made with" in error


def test_the_key_is_that_of_what_the_files_hold(here: Path) -> None:
    def key(name: str, *flags: str) -> str:
        TXT2IMG.make(*SAME, *flags, "-o", name)
        return str(read_record(Path(name)).made["key"])

    (here / "other.png").write_bytes((here / "gold.png").read_bytes())
    Image.new("RGB", (20, 30), "blue").save("blue.png")
    plain, gold = key("1.png"), key("2.png", "--loss", "like=gold.png")
    assert key("3.png", "--loss", "like=other.png:100") == gold
    assert key("4.png", "--loss", "like=blue.png") != gold
    assert key("5.png", "--loss", "like=gold.png", "--loss-every", "2") != gold
    assert key("6.png", "--loss", "like=gold.png:0") == plain
    assert pixels("6.png") == pixels("1.png")


@pytest.mark.parametrize(
    ("flags", "message", "code"),
    [
        (["--guide", "blue"], "it is called --loss now", 2),
        (["--loss", "purple"], "'purple' is not a loss; the losses are red, green, blue", 2),
        (["--loss-every", "2"], "loss_every needs losses, but none are given", 2),
        (["--loss-mode", "exact"], "loss_mode needs losses", 2),
        (["--loss-clip", "x", "--loss", "blue"], "loss_clip needs the loss clip=TEXT", 2),
        (["--loss", "blue", "--loss-every", "0"], "loss_every must be at least 1, got 0", 2),
        (["--loss", "blue", "--loss-mode", "fast"], "loss_mode must be one of cheap, exact", 2),
        (["--loss", "like=none.png"], "cannot read 'none.png'", 3),
        (["--loss", "like=warm.py"], "'warm.py' is not a picture", 3),
        (["--loss", "cold:warmth"], "no module 'cold' in this folder", 3),
        (["--loss", "broken:loss"], "the module 'broken' cannot be imported: ", 3),
        (["--loss", "warm:cold"], "'warm' has no function 'cold'", 2),
        (["--loss", "clip=a cat", "--loss-clip", "./nowhere"], "nowhere", 3),
        (
            ["--loss", "blue", "--guidance", "cfg++"],
            "losses cannot be combined with guidance cfg++",
            2,
        ),
    ],
)
def test_what_means_nothing_is_refused(
    here: Path, flags: list[str], message: str, code: int
) -> None:
    assert message in TXT2IMG.refused(*SAME, *flags, code=code)


def test_a_module_with_the_name_of_another_is_not_taken_for_it(here: Path) -> None:
    (here / "json.py").write_text("", encoding="utf-8")
    error = TXT2IMG.refused(*SAME, "--loss", "json:dumps")
    assert "another module called 'json' is in use: rename yours" in error


@pytest.mark.parametrize(
    ("function", "message", "code"),
    [
        ("of_all", "must return a tensor of shape (batch,), one number for each picture of", 2),
        ("number", "must return a tensor of shape (batch,)", 2),
        ("constant", "must compute its numbers from the pictures with torch's functions", 2),
        ("nothing", "losses would move the latents", 4),
    ],
)
def test_a_function_is_told_what_it_must_return(
    here: Path, function: str, message: str, code: int
) -> None:
    error = TXT2IMG.refused(*SAME, "--loss", f"warm:{function}", code=code)
    assert message in error


def test_a_scale_that_explodes_is_caught_with_a_remedy(here: Path) -> None:
    error = TXT2IMG.refused(*SAME, "--loss", "blue=9e6", code=4)
    assert error.startswith("losses would move the latents by ")
    assert "remedy: multiply the scales by 0." in error


def test_a_mask_that_is_black_counts_nothing(here: Path) -> None:
    Image.new("L", (20, 30), 0).save("black.png")
    error = TXT2IMG.refused(*SAME, "--loss", "like=gold.png,mask=black.png")
    assert "the mask 'black.png' is black" in error


def test_no_settings_file_steers_all_pictures(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "user.toml").write_text('losses = ["blue=200"]', encoding="utf-8")
    monkeypatch.setenv("SDLOOP_CONFIG", "user.toml")
    assert "losses belongs to one command" in TXT2IMG.refused(*SAME)
    monkeypatch.delenv("SDLOOP_CONFIG")
    (plan,) = TXT2IMG.plan(*SAME, "--config", "user.toml")
    assert plan["losses"] == ["blue=200"]


def test_a_clip_steers_towards_a_text(here: Path) -> None:
    save_tiny_clip(here / "clip")
    flags = ("--loss", "clip=a dog:9000", "--loss-clip", "clip", "--loss-every", "1")
    TXT2IMG.make(*SAME, *flags, "-o", "dog.png")
    TXT2IMG.make(*SAME, *flags, "-o", "again.png")
    TXT2IMG.make(*SAME, "-o", "plain.png")
    assert pixels("dog.png") == pixels("again.png")
    assert pixels("dog.png") != pixels("plain.png")
    record = read_record(Path("dog.png"))
    assert record.recipe is not None
    assert record.recipe.loss_clip_sha256 is not None

    Path("again.jsonl").write_text(json.dumps(record.recipe.to_dict()), encoding="utf-8")
    save_tiny_clip(here / "clip", seed=1)
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'clip' is not the CLIP that the recipe was made with" in error


def test_what_grows_by_parts_is_like_no_picture(here: Path) -> None:
    Image.new("RGB", (32, 32), "gold").save("small.png")
    outpaint = Command("outpaint")
    flags = ("small.png", *SAME, "--right", "16")
    assert "like=FILE cannot be combined with outpainting" in outpaint.refused(
        *flags, "--loss", "like=gold.png"
    )
    outpaint.make(*flags, "--loss", "blue=3000", "-o", "grown.png")


@pytest.mark.slow
def test_a_process_of_its_own_finds_the_module_beside_it(here: Path) -> None:
    command = [sys.executable, "-m", "sdloop", "txt2img", *SAME, "--steps", "2"]
    command += ["--loss", "warm:warmth=9000", "-o", "warm.png"]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert made.stdout == "warm.png\n"
