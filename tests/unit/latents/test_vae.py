"""From latents to pictures: scaling, rounding, decoding one at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import VaeImageProcessor
from helpers.tiny import tiny_sdxl
from PIL import Image

from sdloop.errors import NonFiniteError
from sdloop.latents.vae import decode, encode, scale, to_images, to_pixels, unscale


@pytest.fixture
def vae() -> Any:
    return tiny_sdxl().vae


def test_scaling_is_undone_with_the_configs_factor(vae: Any) -> None:
    latents = torch.randn(1, 4, 8, 8)
    assert torch.equal(unscale(vae, latents), latents / 0.13025)


def test_means_and_deviations_of_the_config_are_undone_too(vae: Any) -> None:
    """As ``StableDiffusionXLPipeline`` does for VAEs that have them."""
    mean, std = [1.0, -2.0, 0.5, 0.0], [2.0, 3.0, 1.0, 0.5]
    vae.register_to_config(latents_mean=mean, latents_std=std)
    latents = torch.randn(2, 4, 8, 8)
    expected = latents * torch.tensor(std).view(1, 4, 1, 1) / 0.13025
    expected = expected + torch.tensor(mean).view(1, 4, 1, 1)
    assert torch.equal(unscale(vae, latents), expected)


def test_scaling_and_its_undoing_are_each_others(vae: Any) -> None:
    latents = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(unscale(vae, scale(vae, latents)), latents)
    vae.register_to_config(latents_mean=[1.0, -2.0, 0.5, 0.0], latents_std=[2.0, 3.0, 1.0, 0.5])
    assert not torch.equal(scale(vae, latents), latents * 0.13025)
    torch.testing.assert_close(unscale(vae, scale(vae, latents)), latents)


def test_a_picture_is_encoded_as_a_gaussian_that_each_seed_draws_from(vae: Any) -> None:
    image = Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3))
    encoded = encode(vae, to_pixels(image))
    assert encoded.mean.shape == encoded.std.shape == (1, 4, 8, 12)
    assert not encoded.mean.requires_grad
    draws = [encoded.draw(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    theirs = vae.encode(VaeImageProcessor().preprocess(image)).latent_dist
    assert torch.equal(draws[0], theirs.sample(torch.Generator().manual_seed(1)))


def test_the_vae_encodes_in_its_own_precision(vae: Any) -> None:
    image = Image.fromarray(np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3))
    exact = encode(vae, to_pixels(image)).mean
    half = encode(vae.to(torch.bfloat16), to_pixels(image)).mean
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().mean() < 0.05


def test_pictures_are_decoded_one_at_a_time_and_without_gradients(
    vae: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []
    decoding = vae.decode

    def watched(latents: torch.Tensor, **options: Any) -> Any:
        shapes.append(tuple(latents.shape))
        return decoding(latents, **options)

    monkeypatch.setattr(vae, "decode", watched)
    pixels = decode(vae, torch.randn(3, 4, 8, 8))
    assert shapes == [(1, 4, 8, 8)] * 3
    assert pixels.shape == (3, 3, 16, 16)
    assert not pixels.requires_grad


def test_the_vae_decodes_in_its_own_precision(vae: Any) -> None:
    latents = torch.randn(1, 4, 8, 8)
    exact = decode(vae, latents)
    half = decode(vae.to(torch.bfloat16), latents)
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().mean() < 0.05


def test_eight_bits_are_diffusers_own() -> None:
    pixels = torch.rand(2, 3, 16, 24) * 1.4 - 0.2
    expected = VaeImageProcessor().postprocess(pixels * 2 - 1, output_type="pil")
    for ours, theirs in zip(to_images(pixels), expected, strict=True):
        assert np.abs(np.asarray(ours, int) - np.asarray(theirs, int)).max() <= 1
        assert ours.size == (24, 16)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_no_black_picture(value: float) -> None:
    pixels = torch.rand(1, 3, 8, 8)
    pixels[0, 1, 2, 3] = value
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        to_images(pixels)
