"""Training the ControlNet of the embedded model, at sizes that take seconds, and its measure."""

import doctest
from dataclasses import replace
from pathlib import Path
from typing import Any

import denoising
import measure_control
import numpy as np
import pytest
import torch
import train_control
from by_hand import as_drawn, by_hand
from diffusers import AutoencoderKL, ControlNetModel, StableDiffusionControlNetPipeline
from drawing import draw_scene
from models import factor_of, make_control, make_unet
from outlines import Outlines, draw_outlines, unpack
from PIL import Image
from scenes import Scene, sample_scene

from sdloop.models.checkpoint.find import MINI
from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate

SIZE = (128, 128)
HOUSE = Scene(
    subject="house", colour="red", setting="plain", style="cartoon", count=1, doing="nothing",
    layout=4,
)  # fmt: skip
FLAGS = [
    *("--init", str(MINI), "--batch", "2", "--every", "2", "--report", "4", "--workers", "0"),
    *("--precision", "no", "--cache", "6", "--held-out", "2", "--samples"),
]


def test_the_doctests_pass() -> None:
    result = doctest.testmod(measure_control)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_outlines_are_where_the_edges_of_the_scene_are() -> None:
    whole, alone = draw_outlines(HOUSE, SIZE)
    assert (whole & alone == alone).all()
    assert 0.03 < alone.mean() < 0.2
    assert measure_control.f1(measure_control.edges(draw_scene(HOUSE, SIZE)), whole) > 0.95
    other, _ = draw_outlines(replace(HOUSE, subject="frog"), SIZE)
    assert measure_control.f1(other, whole) < 0.6


def test_a_backdrop_has_outlines_which_its_subjects_alone_lack() -> None:
    whole, alone = draw_outlines(replace(HOUSE, setting="night"), SIZE)
    assert whole.sum() > alone.sum() + 100


def test_wood_has_the_outlines_of_any_colour() -> None:
    wooden, brown = (draw_outlines(replace(HOUSE, colour=c), SIZE) for c in ("wooden", "brown"))
    assert (wooden[0] == brown[0]).all()


def test_the_cache_keeps_every_pixel() -> None:
    (bits,) = Outlines(size=SIZE, places=range(5, 8))(0)
    assert (unpack(bits[1]).numpy() == np.array(draw_outlines(sample_scene(6), SIZE))).all()


def sketched(seed: int, count: int = 64) -> torch.Tensor:
    both = torch.from_numpy(np.array(draw_outlines(replace(HOUSE, setting="night"), SIZE))).float()
    return by_hand(both.expand(count, -1, -1, -1), torch.Generator().manual_seed(seed))


def test_a_sketch_is_drawn_by_the_generator_alone() -> None:
    assert torch.equal(sketched(1, 4), sketched(1, 4))
    assert not torch.equal(sketched(1, 4), sketched(2, 4))


def test_hands_draw_near_the_lines_thicker_or_thinner_and_with_gaps() -> None:
    whole, alone = draw_outlines(replace(HOUSE, setting="night"), SIZE)
    sketches = sketched(1)
    assert sketches.shape == (64, 3, 128, 128)
    assert sketches.min() >= 0
    assert sketches.max() <= 1 + 1e-6
    found = (sketches[:, 0] > 0.3).numpy()
    scores = [max(measure_control.f1(one, lines) for lines in (whole, alone)) for one in found]
    assert min(scores) > 0.75
    assert np.mean(scores) > 0.93
    areas = sketches.mean(dim=(1, 2, 3))
    assert areas.max() > 1.5 * areas.min()


def test_before_training_it_changes_nothing() -> None:
    torch.manual_seed(0)
    unet = make_unet(16, (16, 16, 16)).eval()
    control = make_control(unet, 8)
    generator = torch.Generator().manual_seed(0)
    latents, embeds = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 77, 128)
    noise = denoising.draw_noise(latents, generator)
    sketches = as_drawn((torch.rand(2, 128, 128) < 0.1).float())
    plain = denoising.Denoising(unet)(latents, *noise, embeds)["loss"]
    controlled = train_control.ControlledDenoising(unet, control)
    losses = controlled(latents, *noise, embeds, sketches)
    assert torch.equal(losses["loss"], plain)
    losses["loss"].backward()
    assert control.controlnet_mid_block.weight.grad.abs().max() > 0
    assert all(weight.grad is None for weight in unet.parameters())


def run(out: Path, samples: int) -> None:
    train_control.train(train_control.parse([*FLAGS, str(samples), "--out", str(out)]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("trained")
    run(out, 8)
    return out


def test_it_resumes_bit_equal(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    step = train_control.Trainer.step

    def stop(trainer: train_control.Trainer, *args: Any) -> Any:
        if trainer.done == 3:
            raise Killed
        return step(trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(train_control.Trainer, "step", stop)
        with pytest.raises(Killed):
            run(tmp_path, 8)
    assert torch.load(tmp_path / "control.pt")["done"] == 2
    run(tmp_path, 8)
    one, two = (torch.load(folder / "control.pt") for folder in (trained, tmp_path))
    for part in ("model", "average"):
        assert all(torch.equal(one[part][name], two[part][name]) for name in one[part])


def test_sdloop_and_diffusers_load_what_was_trained(trained: Path, tmp_path: Path) -> None:
    folder = trained / "edges"
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o644
    assert sum(path.stat().st_size for path in folder.iterdir()) < 4e6
    components = load_components()
    size = components.native_size
    Image.fromarray(draw_outlines(HOUSE, size)[0]).convert("RGB").save(tmp_path / "house.png")
    control = {"model": str(folder), "image": str(tmp_path / "house.png")}
    picture = generate("a house", seed=4, steps=2, controls=[control])
    assert picture.image.size == size
    net = ControlNetModel.from_pretrained(folder)
    pipeline = StableDiffusionControlNetPipeline.from_pretrained(MINI, controlnet=net)
    made = pipeline(
        "a house", image=Image.open(tmp_path / "house.png"), num_inference_steps=1,
        guidance_scale=1.5, output_type="np",
    )  # fmt: skip
    assert made.images.shape == (1, size[1], size[0], 3)
    assert factor_of(AutoencoderKL.from_pretrained(MINI / "vae")) == components.vae_factor


def test_own_pictures_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metadata.jsonl").write_text(
        "".join(f'{{"file_name": "{n}.png", "text": "a leaf"}}\n' for n in range(3))
    )
    for number in range(3):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{number}.png")
    flags = ["--out", "runs/x", "--init", "mini", "--data", str(tmp_path), "--held-out", "1"]
    with pytest.raises(SystemExit):
        train_control.parse(flags)
    assert "--data must be left out" in capsys.readouterr().err
