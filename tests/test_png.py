"""Picture files: what is written is read back, whole or not at all, and nothing is replaced."""

from pathlib import Path

import pytest
from PIL import Image

from sdloop import chunks
from sdloop.errors import FileError
from sdloop.png import Made, read_record, write_picture
from sdloop.recipe import Recipe

RECIPE = Recipe(
    prompt="東京, a frog on 🐎\n<lora:x:0.8> \"quoted\" 'too'\nSteps: 1, Sampler: forged, Seed: 2",
    negative_prompt="ugly\nNegative prompt: forged, too: yes",
    seed=4,
    width=16,
    height=8,
    steps=20,
    scheduler="dpmpp-2m",
    sigmas="karras",
    clip_skip=2,
    original_size=(32, 16),
)
MADE: Made = {
    "weights": {"unet/diffusion_pytorch_model.safetensors": "ab" * 32},
    "revision": None,
    "sigmas": (14.614641189575195, 1.0, 0.0),
    "key": "cd" * 32,
    "versions": {"sdloop": "0.1.0", "torch": "2.13.0"},
    "device": "cpu",
    "dtype": "float32",
    "seconds": 1.25,
}
SUFFIXES = (".png", ".jpg", ".webp")


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.frombytes("RGB", (16, 8), bytes(i * 7 % 256 for i in range(16 * 8 * 3)))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_recipe_comes_back_from_the_file(tmp_path: Path, image, suffix: str) -> None:
    path = write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, made=MADE)
    record = read_record(path)
    assert record.recipe == RECIPE
    assert record.source == "sdloop"
    assert record.settings == RECIPE.to_dict()
    assert record.made == {**MADE, "sigmas": list(MADE["sigmas"])}
    assert record.fields["Sampler"] == "DPM++ 2M"
    assert record.fields["Version"] == "sdloop 0.1.0"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_minimal_metadata_says_nothing_about_the_machine(
    tmp_path: Path, image, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    record = read_record(write_picture(image, path, recipe=RECIPE, made=MADE, metadata="minimal"))
    assert record.recipe == RECIPE
    assert record.made == {}
    for word in (b"torch", b"float32", b"2.13.0"):
        assert word not in path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_metadata_means_pixels_alone(tmp_path: Path, image, suffix: str) -> None:
    path = write_picture(image, tmp_path / f"a{suffix}", recipe=RECIPE, metadata="none")
    assert chunks.read_texts(path) == {}
    with Image.open(path) as read:
        assert not {"parameters", "sdloop", "exif"} & set(read.info)
    with pytest.raises(FileError, match="does not say how it was made"):
        read_record(path)
