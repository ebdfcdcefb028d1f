"""Seamless pictures: the rolled noise gives the rolled picture."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.controls import save_adapter, save_control
from helpers.image_adapters import save_image_adapter
from helpers.loras import lora_pairs, save_peft
from helpers.tiny import tiny_inpaint, tiny_refiner, tiny_sd1, tiny_sd2, tiny_sdxl
from PIL import Image, ImageChops
from torch import Tensor

from sdloop.errors import SettingError
from sdloop.images.input.read import InputImage
from sdloop.latents import vae_memory
from sdloop.latents.noise import _normal
from sdloop.models.components.load import Components
from sdloop.models.components.seamless import around
from sdloop.pipeline.generate import generate
from sdloop.pipeline.picture import Picture
from sdloop.recipe.recipe import Recipe

SIZE = (64, 32)
FAMILIES: dict[str, Callable[[], Components]] = {
    "sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl,
    "inpainting": lambda: tiny_inpaint("sd1"),
    "refiner": lambda: replace(tiny_sdxl(), refiner=replace(tiny_refiner(), vae=tiny_sdxl().vae)),
}  # fmt: skip


def noisy(size: tuple[int, int]) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (size[1] // 4, size[0] // 4, 3), np.uint8)
    return Image.fromarray(levels).resize(size, Image.Resampling.NEAREST)


def spot(size: tuple[int, int]) -> Image.Image:
    mask = Image.new("RGB", size)
    mask.paste("white", (8, 8, 40, 24))
    return mask


def half(size: tuple[int, ...], axes: str) -> tuple[int, int]:
    """Half of (height, width) along the axes."""
    return size[-2] // 2 * ("y" in axes), size[-1] // 2 * ("x" in axes)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Picture]:
    """One picture, or the same with its noise and all that it is given rolled along some axes."""
    monkeypatch.chdir(tmp_path)

    def make(components: Components, rolled: str, **settings: Any) -> Picture:
        def drawn(shape: tuple[int, ...], generator: Any) -> Tensor:
            normal = _normal(shape, generator)
            return normal.roll(half(shape, rolled), dims=(-2, -1))

        def opened(name: str) -> InputImage:
            picture = {"mask": spot, "seen": noisy}.get(name, noisy)(SIZE)
            down, across = half(SIZE[::-1], "" if name == "seen" else rolled)
            picture = ImageChops.offset(picture, across, down)
            return InputImage(name=name, sha256="0" * 64, image=picture)

        opened("mask").image.save("region.png")
        monkeypatch.setattr("sdloop.latents.noise._normal", drawn)
        usual = {"prompt": "a wall", "seed": 4, "steps": 3, "width": SIZE[0], "height": SIZE[1]}
        return generate(components, [Recipe(**(usual | settings))], open_image=opened)[0]

    return make


def moved(picture: Picture, axes: str) -> tuple[Tensor, np.ndarray[Any, Any]]:
    levels = np.array(picture.image).astype(int)
    pixels = np.roll(levels, half(levels.shape[:2], axes), axis=(0, 1))
    return picture.latents.roll(half(picture.latents.shape, axes), dims=(-2, -1)), pixels


def assert_rolls(make: Callable[..., Picture], components: Components, **settings: Any) -> None:
    axes = settings["seamless"]
    latents, pixels = moved(make(components, "", **settings), axes)
    rolled = make(components, axes, **settings)
    torch.testing.assert_close(rolled.latents, latents, rtol=1e-3, atol=1e-3)
    assert np.abs(np.array(rolled.image) - pixels).max() <= 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("axes", ["x", "y", "xy"])
def test_the_rolled_noise_gives_the_rolled_picture(
    made: Callable[..., Picture], family: str, axes: str
) -> None:
    settings: dict[str, Any] = {"seamless": axes}
    if family == "inpainting":
        settings |= {"image": "start", "mask": "mask", "strength": 1.0}
    if family == "refiner":
        settings |= {"refiner": "it", "refiner_start": 0.5, "steps": 4}
    assert_rolls(made, FAMILIES[family](), **settings)


@pytest.mark.parametrize(("axes", "rolled"), [(None, "x"), (None, "y"), ("x", "y"), ("y", "x")])
def test_along_other_axes_pictures_have_edges(
    made: Callable[..., Picture], axes: str | None, rolled: str
) -> None:
    components = tiny_sd1()
    latents, pixels = moved(made(components, "", seamless=axes), rolled)
    other = made(components, rolled, seamless=axes)
    assert (other.latents - latents).abs().max() > 0.05
    assert np.abs(np.array(other.image) - pixels).max() > 3


@pytest.mark.parametrize(
    "settings",
    [
        {"hires": 2, "strength": 0.7},
        {"hires": 1.5, "strength": 0.7, "enlarge": "latent"},
        {"image": "start", "strength": 0.7},
        {"image": "start", "mask": "mask", "strength": 0.9},
        {"prompt": "a wall AND a door", "scheduler": "heun"},
        {"pag_scale": 2.0, "slg_scale": 1.0, "slg_layers": "mid"},
        {"reuse": 2},
        {"losses": ("blue=200",), "loss_every": 1, "loss_mode": "exact"},
        {"control": True, "guess_mode": True},
        {"t2i": True},
        {"loras": ("lora.safetensors",)},
        {"ip_adapter": True, "image_prompts": ("seen",)},
        {"regions": ("a door=region.png",), "region_alone": 0.0},
    ],
    ids=str,
)
def test_beside_other_settings(
    made: Callable[..., Picture], tmp_path: Path, settings: Mapping[str, Any]
) -> None:
    components, given = tiny_sd1(), dict(settings)
    if given.pop("control", None):
        given["controls"] = (f"{save_control(components, tmp_path / 'net')}=edges",)
    if given.pop("t2i", None):
        given["t2i_adapters"] = (f"{save_adapter(components, tmp_path / 'net')}=edges",)
    if "loras" in given:
        save_peft(lora_pairs(components), tmp_path / "lora.safetensors")
    if "ip_adapter" in given:
        given["ip_adapter"] = str(save_image_adapter(components, tmp_path / "m" / "ip.safetensors"))
    assert_rolls(made, components, seamless="xy", **given)


def test_the_model_itself_stays_as_it_is() -> None:
    components = tiny_sd1()
    twin = around(components.unet, "xy")
    assert twin is around(components.unet, "xy") is not around(components.unet, "x")
    assert components.unet.conv_in.padding == (1, 1)
    assert twin.conv_in.weight.data_ptr() == components.unet.conv_in.weight.data_ptr()


@pytest.mark.parametrize("layer", ["encoder.conv_in", "encoder.down_blocks.0.downsamplers.0"])
def test_inside_of_a_picture_a_layer_sees_what_it_always_saw(layer: str) -> None:
    vae = tiny_sd1().vae
    plain, twin = vae.get_submodule(layer), around(vae, "x").get_submodule(layer)
    channels = 3 if layer.endswith("conv_in") else plain.channels
    given = torch.randn(1, channels, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(twin(given)[..., 1:-1], plain(given)[..., 1:-1])
        assert not torch.allclose(twin(given)[..., -1], plain(given)[..., -1])


def test_a_large_one_is_decoded_in_one_piece(
    made: Callable[..., Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vae_memory, "WHOLE_PIXELS", 32 * 32)
    monkeypatch.setattr(vae_memory, "TILE", 16)
    assert_rolls(made, tiny_sd1(), seamless="xy")


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"seamless": "z"}, "seamless", "must be one of x, y, xy, got 'z'"),
        ({"width": 34}, "width", "must be a multiple of 4 for a seamless picture of this model"),
        ({"hires": 1.03125, "strength": 0.7, "height": 64}, "hires",
         "must make sides that are multiples of 4"),
        ({"image": "start", "right": 8, "width": None, "height": None}, "seamless",
         "cannot be combined with outpainting"),
        ({"image": "start", "mask": "mask", "mask_margin": 4}, "seamless",
         "cannot be combined with mask_margin"),
        ({"tile": 32}, "seamless", "cannot be combined with tile, whose windows have edges, got"),
    ],
)  # fmt: skip
def test_what_cannot_be_seamless(
    made: Callable[..., Picture], settings: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        made(tiny_sd1(), "", **({"seamless": "x"} | settings))
    assert caught.value.field == field
