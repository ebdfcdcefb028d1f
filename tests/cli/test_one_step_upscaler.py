"""--upscaler: pictures enlarged by a network of one step, in upscale and in --hires."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.pictures import sketch
from helpers.tiny import save_diffusers_folder, tiny_upscaler
from helpers.upscalers import save_upscaler, with_stand_in
from PIL import Image
from safetensors.torch import save_file

from sdloop.metadata.picture import read_record
from sdloop.models.components import upscaler as networks
from sdloop.models.components.upscaler import load_upscaler

UPSCALE, TXT2IMG, RERUN = Command("upscale"), Command("txt2img"), Command("rerun")
CPU = torch.device("cpu")
USE = ("--upscaler", "x2.safetensors")
SMALL = ("small.png", "a cat", "--seed", "4", "--strength", "0.5")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Iterator[Path]:
    """Work in a folder with a picture and two upscalers, and with spandrel's stand-in."""
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    sketch(24, 16).save("small.png")
    save_upscaler(folder / "x2.safetensors")
    save_upscaler(folder / "x4.safetensors", 4)
    with_stand_in(monkeypatch)
    load_upscaler.cache_clear()
    yield folder
    load_upscaler.cache_clear()


def inverted(name: str, side: int) -> Image.Image:
    """What the stand-in makes of a picture."""
    levels = 255 - np.asarray(Image.open(name).convert("RGB"))
    return Image.fromarray(levels.repeat(side, 0).repeat(side, 1))


def sha256(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def test_upscale_starts_from_what_the_network_made() -> None:
    (name,) = UPSCALE.make(*SMALL, *USE)
    inverted("small.png", 2).save("large.png")
    same = ("large.png", "a cat", "--seed", "4", "--strength", "0.5", "--size", "48x32")
    Command("img2img").make(*same, "-o", "same.png")
    assert pixels(name) == pixels("same.png")
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    assert (recipe.upscaler, recipe.upscaler_sha256) == (USE[1], sha256(USE[1]))
    assert (recipe.size, recipe.factor, recipe.enlarge) == ((48, 32), 2, "lanczos")


def test_another_size_than_the_network_makes_is_left_to_lanczos() -> None:
    (name,) = UPSCALE.make(*SMALL, "--upscaler", "x4.safetensors", "--factor", "3")
    large = inverted("small.png", 4).resize((72, 48), Image.Resampling.LANCZOS)
    large.save("large.png")
    same = ("large.png", "a cat", "--seed", "4", "--strength", "0.5", "--size", "72x48")
    Command("img2img").make(*same, "-o", "same.png")
    assert pixels(name) == pixels("same.png")


def test_hires_is_the_small_picture_and_then_upscale() -> None:
    TXT2IMG.make("a cat", "--seed", "4", "-o", "first.png")
    flags = ("--seed", "4", "--strength", "0.5", *USE)
    TXT2IMG.make("a cat", "--hires", "2", *flags, "-o", "both.png")
    UPSCALE.make("first.png", *flags, "-o", "second.png")
    assert pixels("both.png") == pixels("second.png")
    TXT2IMG.make("a cat", "--hires", "2", *flags[:4], "-o", "lanczos.png")
    assert pixels("both.png") != pixels("lanczos.png")
    assert "Hires upscaler: x2" in Image.open("both.png").info["parameters"]


def test_rerun_verify_and_batch_make_the_same_again() -> None:
    flags = ("--hires", "2", "--seed", "4,7", "--strength", "0.5", *USE)
    names = TXT2IMG.make("a cat", *flags)
    alone = ("--steps", "2", "--batch-size", "1", "--outdir", "made")
    result = RERUN.run(*names, "-o", "again-{seed}.png")
    assert result.exit_code == 0, result.stderr
    assert [pixels(one) for one in result.stdout.split()] == [pixels(one) for one in names]
    assert Command("verify").run(*names).exit_code == 0
    result = Command("batch").run("a cat", *flags, *alone)
    assert result.exit_code == 0, result.stderr
    made = sorted(Path("made").glob("*.png"))
    assert [pixels(one) for one in made] == [pixels(one) for one in sorted(names)]
    swept = ("--sweep", "upscaler=x2.safetensors,x4.safetensors", "--hires", "2", "--seed", "4")
    assert [one["upscaler"] for one in Command("batch").plan("a cat", *swept)] == [
        "x2.safetensors", "x4.safetensors",
    ]  # fmt: skip


def test_another_file_is_not_taken_for_it_and_a_new_size_drops_it() -> None:
    (name,) = UPSCALE.make(*SMALL, *USE, "-o", "made.png")
    recipe = json.loads(RERUN.run(name, "--size", "48x48", "--dry-run", "-o", "b.png").stdout)
    assert not {"factor", "upscaler", "upscaler_sha256"} & recipe.keys()
    (other,) = RERUN.plan(name, "--upscaler", "x4.safetensors", "-o", "b.png")
    assert other["upscaler_sha256"] == sha256("x4.safetensors")
    save_upscaler(Path(USE[1]), worth=0.5)
    message = RERUN.refused(name, "-o", "b.png", code=3)
    assert "'x2.safetensors' is not the upscaler that the recipe was made with" in message


def test_large_pictures_are_enlarged_in_parts_without_borders(
    monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    from sdloop.models.checkpoint.upscaler import find_upscaler

    monkeypatch.setattr(networks, "TILE", 10)
    monkeypatch.setattr(networks, "AROUND", 3)
    network = load_upscaler(find_upscaler("x4.safetensors"))
    image = Image.open("small.png").convert("RGB")
    assert network.enlarged(image, CPU).tobytes() == inverted("small.png", 4).tobytes()
    assert network.net.seen == [(13, 13), (13, 16), (13, 7), (9, 13), (9, 16), (9, 7)]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--upscaler", "no.pth"], 3, "upscaler must name a file that exists, got no.pth"),
        (["--upscaler", "no.safetensors"], 3, "there is no file no.safetensors"),
        (["--upscaler", "small.png"], 3, "must name a file with .pth or .safetensors, got small"),
        (["--upscaler", "."], 3, "upscaler must name a file with .pth or .safetensors, got ."),
        (["--upscaler", "lora.safetensors"], 3, "is not one: spandrel knows no such network"),
        (["--upscaler", "cut.safetensors"], 3, "the upscaler cut.safetensors cannot be read"),
        (["--upscaler", "x1.safetensors"], 3, "enlarges any picture, got SCUNet, for Restoration"),
        (["--upscaler", "grey.safetensors"], 3, "must turn 3 channels (RGB) into 3, got 1 to 1"),
        (["--upscaler", "nan.safetensors"], 4, "the upscaler made NaN or infinity"),
        ([*USE, "--enlarge", "latent"], 2, "upscaler cannot be combined with enlarge 'latent'"),
        ([*USE, "--seamless", "x"], 2, "seamless cannot be combined with upscaler"),
        ([*USE, "--model", "x4"], 2, "upscaler is not supported by upscalers, and x4 is one"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused(here: Path, arguments: list[str], code: int, complaint: str) -> None:
    save_file({"lora_unet.weight": torch.zeros(2)}, "lora.safetensors")
    Path("cut.safetensors").write_bytes(b"abc")
    save_upscaler(here / "x1.safetensors", 1)
    save_upscaler(here / "grey.safetensors", channels=1)
    save_upscaler(here / "nan.safetensors", worth=float("nan"))
    if "x4" in arguments:
        save_diffusers_folder(tiny_upscaler(), here / "x4")
    arguments = [*arguments, "--strength", "0.5"] if "x4" not in arguments else arguments
    result = UPSCALE.run("small.png", "a cat", "--seed", "4", "--steps", "2", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert complaint in result.stderr.splitlines()[-1]


def test_from_noise_it_needs_hires_and_is_read_before_the_first_stage(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = TXT2IMG.refused("a cat", *USE)
    assert message == "upscaler needs factor or hires, which set how much, got upscaler " + repr(
        USE[1]
    )
    save_upscaler(here / "x1.safetensors", 1)
    monkeypatch.setattr("sdloop.pipeline.passes._begun", lambda *_: pytest.fail("too late"))
    result = TXT2IMG.run("a cat", "--hires", "2", "--upscaler", "x1.safetensors", "--seed", "4")
    assert result.exit_code == 3
    assert "must be a network that enlarges any picture" in result.stderr


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spandrel")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = UPSCALE.refused(*SMALL, *USE)
    assert message == "upscaler needs spandrel: pip install 'sdloop[upscalers]'"
    monkeypatch.undo()


def test_a_real_network_of_spandrel(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    from sdloop.models.checkpoint.upscaler import find_upscaler

    monkeypatch.delitem(sys.modules, "spandrel")
    reason = "the extra upscalers is not installed, or its torchvision is for another torch"
    spandrel = pytest.importorskip("spandrel", reason=reason, exc_type=(ImportError, RuntimeError))
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet

    torch.manual_seed(0)
    net = RRDBNet(in_nc=3, out_nc=3, num_filters=8, num_blocks=1, scale=4)
    torch.save(net.state_dict(), "real.pth")
    image = Image.open("small.png").convert("RGB")
    made = load_upscaler(find_upscaler("real.pth")).enlarged(image, CPU)
    pixels_in = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    expected = spandrel.ModelLoader().load_from_file("real.pth")(pixels_in)[0]
    levels = (expected * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert np.array_equal(np.asarray(made), levels)
