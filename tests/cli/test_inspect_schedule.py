"""sdloop inspect schedule: the numbers equal those of the loop, and plots are drawn."""

import json
import math
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from helpers.commands import Command, work_in
from helpers.pictures import gradient
from helpers.tiny import tiny_sd1
from PIL import Image

from sdloop.inspection.latents import noised, round_trip
from sdloop.inspection.schedules import Level
from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

INSPECT = Command("inspect")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


def lines(*arguments: str) -> list[dict[str, Any]]:
    result = INSPECT.run("schedule", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(*arguments: str) -> str:
    return INSPECT.refused("schedule", *arguments)


@pytest.mark.parametrize("scheduler", ["euler", "heun", "ddim", "dpm2", "dpmpp-2m"])
def test_the_levels_are_those_that_the_loop_goes_through(scheduler: str, tiny_model: Path) -> None:
    (told,) = lines("--scheduler", scheduler, "--steps", "5")
    recipe = Recipe(prompt="", seed=0, scheduler=scheduler, steps=5)
    picture = generate(load_components(str(tiny_model)), recipe)[0]
    assert [level["sigma"] for level in told["levels"]] == list(picture.sigmas)
    for level in told["levels"]:
        assert level["snr"] == pytest.approx(1 / level["sigma"] ** 2)


def test_the_models_own_scheduler_and_others_beside_it() -> None:
    told = lines("--compare", "euler karras, DPM++ 2M Karras,heun", "--steps", "4")
    names = [one["name"] for one in told]
    assert names == ["pndm", "euler karras", "dpmpp-2m karras", "heun"]
    assert [len(one["levels"]) for one in told] == [5, 4, 4, 7]  # PNDM and Heun look twice


def test_the_table_for_people() -> None:
    result = INSPECT.run("schedule", "--scheduler", "euler", "--sigmas", "karras", "--steps", "3")
    head, columns, first, *_ = result.stdout.splitlines()
    assert head == "euler karras, 3 UNet calls"
    assert columns.split() == ["step", "timestep", "sigma", "signal/noise", "in", "dB"]
    step, timestep, sigma, snr, decibels = map(float, first.split())
    assert (step, timestep) == (0, 999)
    assert sigma == pytest.approx(14.615, abs=0.01)
    assert snr == pytest.approx(1 / sigma**2, rel=1e-3)
    assert decibels == pytest.approx(10 * math.log10(snr), abs=0.01)


def test_what_models_are_trained_on() -> None:
    linear, scaled, cosine = lines("--betas", "linear,scaled-linear,cosine")
    assert len(linear["levels"]) == 1000
    own = diffusers.DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    signal = own.alphas_cumprod.double()
    assert scaled["levels"][500]["snr"] == pytest.approx(float(signal[500] / (1 - signal[500])))
    # Nichol and Dhariwal's point: in the middle there is more signal than with the linear one.
    assert cosine["levels"][500]["snr"] > 3 * linear["levels"][500]["snr"]
    table = INSPECT.run("schedule", "--betas", "cosine").stdout.splitlines()
    assert table[0] == "cosine, 1000 timesteps"
    assert [line.split()[0] for line in table[2:]][::5] == ["0", "499", "999"]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_curves(suffix: str) -> None:
    pytest.importorskip("matplotlib")
    names = [f"{number}.{suffix}" for number in (1, 2)]
    for name in names:
        result = INSPECT.run("schedule", "--compare", "ddim", "--steps", "4", "-o", name)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[-1] == name
    one, two = (Path(name).read_bytes() for name in names)
    assert one == two  # no date in it
    assert len(one) > 10_000
    message = INSPECT.refused("schedule", "--steps", "4", "-o", names[0], code=3)
    assert "already exists" in message


def test_light_and_dark() -> None:
    pytest.importorskip("matplotlib")
    for name, flags in (("light.png", []), ("dark.png", ["--dark"])):
        INSPECT.run("schedule", "--steps", "4", "-o", name, *flags)
    light, dark = (Image.open(name).convert("L").resize((1, 1)).getpixel((0, 0))
                   for name in ("light.png", "dark.png"))  # fmt: skip
    assert light > 200
    assert dark < 60


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--scheduler", "eulr"], "scheduler must be a known one, got 'eulr': did you mean euler?"),
        (["--compare", "euler,,ddim"], "compare must be names separated by commas"),
        (["--compare", "euler,nonsense"], "scheduler must be a known one"),
        (
            ["--betas", "square"],
            "betas must be names from linear, scaled-linear, cosine, got 'square'",
        ),
        (["--betas", "linear", "--steps", "4"], "steps cannot be combined with betas"),
        (["--steps", "0"], "steps must be at least 1, got 0"),
        (["--scheduler", "ddim", "--sigmas", "karras"], "sigmas has no effect with the scheduler"),
        (["--dark"], "dark needs an output file (-o)"),
        (["--add-noise", "photo.png"], "add_noise needs an output file (-o)"),
        (["--add-noise", "a.png", "-o", "b.svg"], "output must end in .png for a sheet"),
        (
            ["--add-noise", "a.png", "-o", "b.png", "--compare", "ddim"],
            "compare cannot be combined with",
        ),
        (["--add-noise", "a.png", "-o", "b.png", "--dark"], "dark is only for curves"),
        (["-o", "curves.txt"], "output must end in .png, .svg or .pdf for a plot"),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments: list[str], complaint: str) -> None:
    assert refused(*arguments).startswith(complaint)


def test_a_picture_under_the_noise_of_each_step() -> None:
    gradient(32, 32).save("photo.png")
    flags = ["--scheduler", "euler", "--steps", "10", "--add-noise", "photo.png", "-o", "noise.png"]
    assert INSPECT.run("schedule", *flags).stdout.splitlines()[-1] == "noise.png"
    sheet = Image.open("noise.png")
    assert sheet.width == 8 * 132 - 4  # and two in the second row
    assert sheet.height > 2 * 128


def test_noise_hides_a_picture_by_its_share() -> None:
    vae, levels = tiny_sd1().vae, [Level(step=0, timestep=0, sigma=s) for s in (0, 1, math.inf)]

    def noisy(picture: Image.Image) -> list[np.ndarray]:
        made = noised(vae, picture, levels, torch.Generator().manual_seed(0))
        return [np.asarray(image, float) for image in made]

    one, other = noisy(gradient(32, 32)), noisy(gradient(32, 32).rotate(180))
    assert np.array_equal(one[0], np.asarray(round_trip(vae, gradient(32, 32)).back, float))
    assert abs(one[0] - other[0]).mean() > abs(one[1] - other[1]).mean() > 0
    assert np.array_equal(one[2], other[2])
    assert [sum(share**2 for share in level.shares) for level in levels] == pytest.approx([1, 1, 1])
