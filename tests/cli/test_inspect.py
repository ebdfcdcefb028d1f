"""sdloop inspect steps, latents and noise: their sheets show steps and VAE errors."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.commands import Command, work_in
from helpers.pictures import gradient
from helpers.tiny import tiny_sd1, tiny_sdxl
from PIL import Image

from sdloop.inspection.latents import channel_images, round_trip
from sdloop.inspection.steps import LatentColours, step_images
from sdloop.latents.vae import decode
from sdloop.loop import Step
from sdloop.pipeline.generate import generate, stream
from sdloop.recipe.recipe import Recipe

INSPECT = Command("inspect")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    gradient().save("photo.png")
    return folder


def made(*arguments: str) -> list[str]:
    result = INSPECT.run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def test_the_last_step_is_the_picture() -> None:
    """And the steps before it are on their way there."""
    components = tiny_sd1()
    recipe = Recipe(prompt="a cat", seed=4, steps=4, scheduler="euler", width=32, height=32)
    seen = [step_images(components.vae, event) for event in stream(components, recipe)
            if isinstance(event, Step)]  # fmt: skip
    picture = np.asarray(generate(components, recipe)[0].image)
    assert np.array_equal(np.asarray(seen[-1].denoised), picture)
    assert not np.array_equal(np.asarray(seen[0].denoised), picture)
    assert seen[0].label == "step 0, t 999\nsigma 14.6"


@pytest.mark.parametrize(("flags", "columns"), [([], 7), (["--every", "4"], 4)])
def test_a_sheet_of_steps(flags: list[str], columns: int) -> None:
    """Of 13: each second and the last, or each fourth."""
    arguments = ["a cat", "--steps", "13", "--scheduler", "euler", "--seed", "4", *flags]
    assert made("steps", *arguments, "-o", "steps.png") == ["steps.png"]
    sheet = Image.open("steps.png")
    assert sheet.height == 2 * 132 - 4 + 42
    assert sheet.width - _left(sheet) == columns * 132 - 4


@pytest.mark.parametrize(
    ("suffix", "flags", "frames"), [("gif", [], 5), ("webp", ["--every", "2"], 3)]
)
def test_steps_that_move(suffix: str, flags: list[str], frames: int) -> None:
    """A frame for each step, the last one for long enough to be looked at."""
    arguments = ["a cat", "--steps", "5", "--scheduler", "euler", "--seed", "4", *flags]
    assert made("steps", *arguments, "-o", f"steps.{suffix}") == [f"steps.{suffix}"]
    seen, durations = [], []
    with Image.open(f"steps.{suffix}") as moving:
        assert moving.n_frames == frames  # type: ignore[attr-defined]
        assert moving.size == (2 * 132 - 4, 128 + 42)
        for number in range(frames):
            moving.seek(number)
            seen.append(moving.convert("RGB").tobytes())
            durations.append(moving.info["duration"])
    assert len(set(seen)) == frames
    assert durations == [160] * (frames - 1) + [2000]


def _left(sheet: Image.Image) -> int:
    """Where the first picture begins: to its left there are labels on white."""
    row = np.asarray(sheet.convert("L"))[-120:-100].astype(int)
    return int(np.argmax((row < 250).all(axis=0)))


def test_the_round_trip_of_a_picture() -> None:
    components = tiny_sdxl()
    picture = gradient(32, 24)
    trip = round_trip(components.vae, picture)
    assert trip.compression == 32 * 24 * 3 / (16 * 12 * 4)
    squared = (np.asarray(picture, float) - np.asarray(trip.back, float)) ** 2
    assert trip.psnr == pytest.approx(20 * math.log10(255) - 10 * math.log10(squared.mean()))
    where = np.asarray(trip.error)[5, 7] / 4
    apart = abs(np.asarray(picture, int) - np.asarray(trip.back, int))[5, 7].mean()
    assert where == pytest.approx(min(apart, 255 / 4), abs=0.25)
    channels = channel_images(torch.tensor([[[-3.0, 0.0, 3.0]], [[9.0, -9.0, 1.5]]]))
    assert [list(np.asarray(one)[0]) for one in channels] == [[0, 128, 255], [255, 0, 191]]


def test_the_latents_of_a_photo() -> None:
    path, line = made("latents", "photo.png", "-o", "seen.png", "--json")
    assert path == "seen.png"
    numbers = json.loads(line)
    assert (numbers["width"], numbers["height"]) == (40, 26)
    assert numbers["latents"] == [4, 13, 20]
    assert numbers["compression"] == 3
    assert 0 < numbers["psnr"] < 60
    assert Image.open("seen.png").width == 7 * (4 * 40 + 4) - 4
    sentence = made("latents", "photo.png", "--size", "32x32", "-o", "other.png")[1]
    assert sentence.startswith(
        "32x32x3 numbers become 16x16x4, 3 times fewer; the decoded picture has"
    )


def test_a_grid_over_steps_and_guidance() -> None:
    flags = ["--seed", "4", "--scheduler", "euler", "--columns", "steps=1,3", "-o", "grid.png"]
    assert made("noise", "a cat", "--rows", "guidance_scale=0,1,7.5", *flags) == ["grid.png"]
    sheet = Image.open("grid.png")
    assert sheet.height == 3 * 132 - 4 + 25
    cells = [
        sheet.crop((sheet.width - 260 + 132 * x, 25 + 132 * y, sheet.width - 132 + 132 * x,
                    153 + 132 * y)).tobytes()
        for y in range(3) for x in range(2)
    ]  # fmt: skip
    assert len(set(cells)) == 6


def test_a_grid_over_any_settings() -> None:
    flags = ["--seed", "4", "--scheduler", "euler", "--steps", "2", "--size", "32x32", "-g", "3"]
    rows = ["--rows", "guidance-schedule=linear:9..90,linear:90..9"]
    columns = ["--columns", "guidance=cfg,apg,threshold:limit=1"]
    made("noise", "a cat", *rows, *columns, *flags, "-o", "grid.png")
    sheet = Image.open("grid.png")
    assert sheet.height == 2 * 132 - 4 + 42
    cells = [
        sheet.crop((sheet.width - 392 + 132 * x, 42 + 132 * y, sheet.width - 264 + 132 * x,
                    170 + 132 * y)).tobytes()
        for y in range(2) for x in range(3)
    ]  # fmt: skip
    assert len(set(cells)) == 6


def test_colours_without_the_vae() -> None:
    """The fit is no worse than each channel's mean, and exact where the decoder is that map."""
    components = tiny_sd1()
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    fit = LatentColours.fit(components.vae, latents)
    assert fit.weights.shape == (5, 3)
    small = torch.nn.functional.interpolate(decode(components.vae, latents), (8, 8), mode="area")
    guess = fit.image(latents[0])
    assert guess.size == (8, 8)
    target = small[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
    error = ((np.asarray(guess, float) - target) ** 2).mean()
    assert error < ((target - target.mean(axis=(0, 1))) ** 2).mean()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["steps"], "prompt must be given, as in: sdloop inspect steps"),
        (["steps", "a cat", "--every", "0"], "every must be at least 1, got 0"),
        (["steps", "a cat", "--every", "99"], "every must be at most 25, got 99"),
        (
            ["steps", "a cat", "-o", "steps.txt"],
            "output must end in .png for a sheet, or in .gif, .w",
        ),
        (["latents"], "image must be given, as in: sdloop inspect latents photo.png"),
        (["latents", "photo.png", "--size", "33x32"], "width must be a multiple of 2"),
        (["noise"], "prompt must be given, as in: sdloop inspect noise"),
        (["noise", "a cat", "--steps", "4"], "steps is an axis: give its values"),
        (["noise", "a cat", "--rows", "eta"], "rows must be like guidance_scale=3,5,7.5"),
        (["noise", "a cat", "--rows", "et=1"], "rows has an unknown field 'et': did you mean"),
        (["noise", "a cat", "--rows", "seed=1,2"], "rows must not change the noise or the model"),
        (["noise", "a cat", "--rows", "guidance=apg,x"], "guidance must be one of cfg, apg"),
        (["noise", "a cat", "--columns", "steps=1,x"], "steps must be a whole number, got 'x'"),
        (["noise", "a cat", "--rows", "guidance_scale=-1"], "guidance_scale must be between 0"),
        (["noise", "a cat", "--columns", "steps=0"], "steps must be at least 1, got 0"),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments: list[str], complaint: str) -> None:
    assert INSPECT.refused(*arguments, *(["--seed", "4"] * (arguments[0] != "latents"))).startswith(
        complaint
    )


def test_a_missing_photo_ends_with_3() -> None:
    assert INSPECT.refused("latents", "no.png", code=3).startswith("cannot read 'no.png'")
