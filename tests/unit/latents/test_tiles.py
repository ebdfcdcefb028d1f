"""The VAE processes large pictures in tiles, and small ones as a whole."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from helpers.tiny import tiny_sd1
from PIL import Image

from sdloop.latents import vae_memory as image
from sdloop.latents.vae import decode, encode, scale, to_images, to_pixels
from sdloop.models.checkpoint.find import LAYOUTS
from sdloop.models.components.counted import counted_bytes
from sdloop.models.components.load import Components, load_components

SKETCH = Path(__file__).parents[3] / "examples" / "sketch" / "rabbit.png"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is more than 64x64 pixels is large here."""
    monkeypatch.setattr(image, "WHOLE_PIXELS", 64 * 64)
    monkeypatch.setattr(image, "TILE", 64)


def seen_by(part: Any, work: Any) -> set[tuple[int, ...]]:
    """The sizes that a part of the VAE was run at."""
    sizes = set()
    hook = part.register_forward_pre_hook(lambda _, given: sizes.add(tuple(given[0].shape[-2:])))
    work()
    hook.remove()
    return sizes


def drawing(components: Components, size: int) -> torch.Tensor:
    picture = Image.open(SKETCH).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return scale(components.vae, encode(components.vae, to_pixels(picture)).mean)


def test_a_large_picture_is_decoded_in_tiles_that_show_little(small: None) -> None:
    """With the embedded VAE: random weights would make noise of both."""
    components = load_components(device="cpu")
    latents = drawing(components, 128 * 3)
    tiled: list[torch.Tensor] = []
    sizes = seen_by(components.vae.decoder, lambda: tiled.append(decode(components.vae, latents)))
    assert max(max(size) for size in sizes) == 16
    assert components.vae.use_tiling is False  # as it was
    assert components.vae.tile_sample_min_size == 128
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "WHOLE_PIXELS", 10**9)
        whole = decode(components.vae, latents)
    one, two = (np.asarray(to_images(pixels)[0], float) for pixels in (tiled[0], whole))
    assert one.shape == (384, 384, 3)
    assert np.abs(one - two).mean() < 5  # levels of 255
    assert not np.array_equal(one, two)


def test_a_large_picture_is_encoded_in_tiles(small: None) -> None:
    components = load_components(device="cpu")
    pixels = to_pixels(Image.open(SKETCH).convert("RGB").resize((384, 256)))
    tiled: list[Any] = []
    sizes = seen_by(
        components.vae.encoder, lambda: tiled.append(encode(components.vae, pixels).mean)
    )
    assert max(max(size) for size in sizes) == 128
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "WHOLE_PIXELS", 10**9)
        whole = encode(components.vae, pixels).mean
    assert tiled[0].shape == whole.shape == (1, 4, 32, 48)
    assert (tiled[0] - whole).abs().mean() < 0.15 * whole.abs().mean()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (128, 32)])
def test_what_is_not_large_is_decoded_whole(small: None, width: int, height: int) -> None:
    vae = tiny_sd1().vae
    latents = torch.randn(1, 4, height // 2, width // 2)
    assert seen_by(vae.decoder, lambda: decode(vae, latents)) == {(height // 2, width // 2)}
    with torch.no_grad():
        bare = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0]
    assert torch.equal(decode(vae, latents), bare / 2 + 0.5)


def test_the_native_sizes_are_not_large() -> None:
    """SDXL's own buckets, and twice SD1's sides."""
    for width, height in ((1024, 1024), (1536, 640), (704, 1408), (1024, 1024), (1536, 1024)):
        assert width * height <= image.WHOLE_PIXELS
    assert image.WHOLE_PIXELS < 2 * 1024 * 1024


def test_memory_does_not_grow_with_a_tiled_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a VAE of SD1.5's shape, without its numbers."""
    config = json.loads((LAYOUTS / "sd15" / "vae" / "config.json").read_text())
    with torch.device("meta"):
        vae = AutoencoderKL.from_config(config).eval()
    monkeypatch.setattr(image, "TILE", 256)
    vae.tile_sample_min_size = 256

    def peak(width: int, height: int, whole: int = 0) -> int:
        monkeypatch.setattr(image, "WHOLE_PIXELS", whole)
        latents = torch.empty(1, 4, height // 8, width // 8, device="meta")
        with image.tiled(vae, width * height):
            return counted_bytes(lambda: vae.decode(latents))

    tiled = peak(512, 384)
    assert tiled < 1.05 * peak(256, 256)
    assert peak(512, 384, whole=512 * 384) > 2.9 * tiled


@pytest.mark.parametrize("room, sides", [(48, [48]), (32, [48, 32]), (16, [48, 32, 16])])
def test_where_memory_is_short_it_is_decoded_in_smaller_parts(
    monkeypatch: pytest.MonkeyPatch, room: int, sides: list[int]
) -> None:
    """``room`` is the side of the latents from which on the decoder has none."""
    monkeypatch.setattr(image, "TILE", 64)
    vae = tiny_sd1().vae
    tried: list[int] = []

    def refuse(_: Any, given: tuple[torch.Tensor]) -> None:
        tried.append(max(given[0].shape[-2:]))
        if tried[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory")

    vae.decoder.register_forward_pre_hook(refuse)
    latents = torch.randn(1, 4, 48, 48)
    if len(sides) == 1:
        pixels = decode(vae, latents)
    else:
        with pytest.warns(RuntimeWarning, match="not enough memory to decode") as told:
            pixels = decode(vae, latents)
        assert len(told) == len(sides) - 1
    assert list(dict.fromkeys(side for side in tried if side in (48, 32, 16))) == sides
    assert pixels.shape == (1, 3, 96, 96)
    assert not vae.use_tiling


def test_at_last_a_copy_on_the_cpu_decodes_it() -> None:
    """In float32; the VAE itself stays where it is, in one piece."""
    vae, latents = tiny_sd1().vae.to(torch.bfloat16), torch.randn(1, 4, 8, 8)
    before = {name: tensor.data_ptr() for name, tensor in vae.state_dict().items()}
    expected = decode(vae.to(torch.bfloat16), latents)

    def refuse(_: Any, given: tuple[torch.Tensor]) -> None:
        if given[0].dtype == torch.bfloat16:
            raise torch.OutOfMemoryError("CUDA out of memory")

    vae.decoder.register_forward_pre_hook(refuse)
    with pytest.warns(RuntimeWarning, match="not enough memory to decode"):
        pixels = decode(vae, latents)
    assert {name: tensor.data_ptr() for name, tensor in vae.state_dict().items()} == before
    torch.testing.assert_close(pixels, expected, atol=0.05, rtol=0)


def test_where_memory_is_short_a_picture_is_encoded_in_smaller_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(image, "TILE", 64)
    vae, pixels = tiny_sd1().vae, torch.rand(1, 3, 96, 96)
    tried: list[int] = []

    def refuse(_: Any, given: tuple[torch.Tensor]) -> None:
        tried.append(max(given[0].shape[-2:]))
        if tried[-1] > 32:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")

    vae.encoder.register_forward_pre_hook(refuse)
    with pytest.warns(RuntimeWarning, match="not enough memory to encode") as told:
        found = encode(vae, pixels)
    assert list(dict.fromkeys(tried))[:3] == [96, 64, 32] and len(told) == 2
    assert found.mean.shape == (1, 4, 48, 48)
    assert not vae.use_tiling


def test_other_errors_of_the_decoder_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = tiny_sd1().vae

    def refuse(*_: Any) -> None:
        raise RuntimeError("a defect")

    vae.decoder.register_forward_pre_hook(refuse)
    with pytest.raises(RuntimeError, match="a defect"):
        decode(vae, torch.randn(1, 4, 8, 8))
