"""Outpainting: the same loop for each window, and the original pixels do not change."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import FAMILIES, INPAINTING
from PIL import Image

from sdloop.errors import FileError, SettingError
from sdloop.images.input.read import InputImage
from sdloop.loop import Step
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.outpaint import nearest_pixels, pass_seed, soft_mask
from sdloop.pipeline.picture import Picture
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe


def opened(name: str, image: Image.Image) -> InputImage:
    return InputImage(name=name, sha256=hashlib.sha256(image.tobytes()).hexdigest(), image=image)


def photo(width: int = 24, height: int = 24, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 3, "image": "photo", "right": 8}
    return Recipe(**(usual | settings))


def grown(model: str, *recipes: Recipe, image: Image.Image | None = None, **options: Any) -> list:
    files = {"photo": opened("photo", image or photo()), "other": opened("other", photo(seed=1))}
    return generate(
        (FAMILIES | INPAINTING)[model](), recipes, open_image=files.__getitem__, **options
    )


def array(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


@pytest.mark.parametrize("model", (FAMILIES | INPAINTING))
def test_one_pass_is_an_inpaint_of_the_padded_picture_by_hand(model: str) -> None:
    """24x24 within 32x32, the tiny models' window, with latents of two pixels a side."""
    (ours,) = grown(model, recipe(right=8, up=8))
    padded = np.pad(array(photo()), ((8, 0), (0, 8), (0, 0)), mode="edge")
    mask = np.full((32, 32), 255, np.uint8)
    if not model.endswith("inpainting"):
        mask[6:, :26] = 64  # a quarter: the latents beside the photo, for 3 steps
    mask[8:, :24] = 0
    files = {"padded": opened("padded", Image.fromarray(padded)),
             "mask": opened("mask", Image.fromarray(mask))}  # fmt: skip
    by_hand = Recipe(
        prompt="a photo of a cat", seed=7, steps=3, image="padded", mask="mask", width=32,
        height=32, strength=1.0, no_keep=True,
    )  # fmt: skip
    (theirs,) = generate((FAMILIES | INPAINTING)[model](), by_hand, open_image=files.__getitem__)
    assert torch.equal(ours.latents, theirs.latents)
    expected = array(theirs.image).copy()
    assert not np.array_equal(expected[8:, :24], array(photo()))
    expected[8:, :24] = array(photo())
    assert np.array_equal(array(ours.image), expected)
    assert expected[:8].std() > 1


@pytest.mark.parametrize(
    ("model", "size"),
    [
        *(("sd2", size) for size in ((24, 24), (33, 41), (90, 21))),
        *((model, (33, 41)) for model in ("sdxl", "sd1-inpainting", "sdxl-inpainting")),
    ],
)
def test_the_photo_stays_whatever_its_size(model: str, size: tuple[int, int]) -> None:
    wanted = recipe(left=6, right=20, up=12, down=2, steps=1)
    (picture,) = grown(model, wanted, image=photo(*size))
    assert picture.image.size == picture.recipe.size == (size[0] + 26, size[1] + 14)
    made = array(picture.image)
    assert np.array_equal(made[12 : 12 + size[1], 6 : 6 + size[0]], array(photo(*size)))
    assert (made[:, :6].std(), made[:, -20:].std(), made[:12].std(), made[-2:].std()) > (1,) * 4


def test_a_resolved_recipe_makes_the_same_picture_again() -> None:
    (one,) = grown("sd1", recipe(left=40, up=12))
    assert one.recipe.overlap == 16
    assert one.recipe.image_sha256 == opened("photo", photo()).sha256
    (two,) = grown("sd1", Recipe.from_dict(one.recipe.to_dict()))
    assert np.array_equal(array(one.image), array(two.image))
    assert one.recipe == two.recipe
    with pytest.raises(FileError, match="not the picture that the recipe was made with"):
        grown("sd1", one.recipe, image=photo(seed=2))


def test_what_decides_the_pixels_is_in_the_key() -> None:
    (base,) = grown("sd1", recipe(steps=1))
    keys = {content_key(base.recipe, {})}
    for change in ({"right": 16}, {"right": None, "left": 8}, {"overlap": 8}):
        keys.add(content_key(grown("sd1", recipe(steps=1, **change))[0].recipe, {}))
    assert len(keys) == 4


@pytest.mark.parametrize("scheduler", ["euler-a", "pndm"])
def test_pictures_that_grow_together_are_those_that_grow_alone(scheduler: str) -> None:
    wanted = [recipe(seed=4, scheduler=scheduler, right=40),
              recipe(seed=5, scheduler=scheduler, right=40, image="other")]  # fmt: skip
    together = grown("sd1", *wanted, batch_size=2)
    for picture, alone in zip(together, wanted, strict=True):
        (one,) = grown("sd1", alone)
        difference = array(picture.image).astype(int) - array(one.image)
        assert abs(difference).max() <= 1
        assert picture.recipe == one.recipe


def test_the_steps_of_all_passes_are_told_and_then_one_picture() -> None:
    files = {"photo": opened("photo", photo())}
    events = list(stream((FAMILIES | INPAINTING)["sd1"](), recipe(right=40, scheduler="euler"),
                         open_image=files.__getitem__))  # fmt: skip
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.index for step in steps] == list(range(9))
    assert {step.total for step in steps} == {9}  # three passes of three
    assert len(events) == 10
    assert isinstance(events[-1], Picture)


def test_no_two_windows_start_from_the_same_noise() -> None:
    seeds = [pass_seed(seed, number) for seed in range(20) for number in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
    (picture,) = grown("sd1", recipe(right=64, scheduler="ddim"), image=Image.new("RGB", (32, 32)))
    made = array(picture.image)
    assert not np.array_equal(made[:, 32:48], made[:, 48:64])


def test_only_windows_go_through_the_vae(monkeypatch: pytest.MonkeyPatch) -> None:
    components = (FAMILIES | INPAINTING)["sd1"]()
    seen = []
    for name in ("encode", "decode"):
        plain = getattr(components.vae, name)

        def watched(tensor: torch.Tensor, *rest: Any, plain: Any = plain, **options: Any) -> Any:
            seen.append(tuple(tensor.shape[-2:]))
            return plain(tensor, *rest, **options)

        monkeypatch.setattr(components.vae, name, watched)
    grown("sd1", recipe(right=32, down=32, steps=1), image=photo(100, 70))
    assert len(seen) > 10
    assert max(max(shape) for shape in seen) <= 32


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"right": 7}, "right must be a multiple of 2 for this model, got 7; nearest: 6 and 8"),
        ({"right": 0}, "right must be at least 1, got 0"),
        ({"up": 2**15 - 2}, "height must be at most 32768, got 32790"),
        ({"up": 30000, "left": 30000}, "width times height must be at most 178 million pixels"),
        ({"overlap": 3}, "overlap must be a multiple of 2"),
        ({"overlap": 32}, "overlap must be smaller than the model's window of 32x32, got 32"),
        ({"right": None, "overlap": 8}, "overlap needs left, right, up or down, got overlap 8"),
        ({"strength": 0.5}, "strength is not possible with outpainting, which keeps"),
        ({"start_step": 0}, "start_step is not possible with outpainting"),
        ({"resize": "crop"}, "resize is not possible with outpainting"),
        ({"no_keep": True}, "no_keep is not possible with outpainting"),
        ({"mask": "photo"}, "mask is not possible with outpainting"),
        (
            {"width": 40},
            "width must be left out or 32, because the picture grows from 24 to 32, got 40",
        ),
        ({"image": None}, "right is for pictures that start from an image"),
    ],
    ids=str,
)
def test_what_is_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        grown("sd1", recipe(**settings))
    assert complaint in str(caught.value)


def test_a_size_that_agrees_is_taken_and_a_speck_is_not() -> None:
    (one,) = grown("sd1", recipe(width=32, height=24, steps=1))
    assert one.image.size == (32, 24)
    with pytest.raises(SettingError, match="image must be 2 pixels wide and high to grow"):
        grown("sd1", recipe(), image=photo(1, 9))


def test_the_transparent_is_laid_on_the_background() -> None:
    clear = Image.new("RGBA", (24, 24), (0, 0, 0, 0))
    (picture,) = grown("sd1", recipe(steps=1, background="#102030"), image=clear)
    assert picture.image.getpixel((3, 3)) == (0x10, 0x20, 0x30)


def test_the_nearest_pixels_stand_in_for_what_is_not_there() -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    there = np.zeros((4, 4), bool)
    there[2:, :2] = True
    filled = nearest_pixels(pixels, there)
    assert np.array_equal(filled[2:, :2], pixels[2:, :2])
    assert np.array_equal(filled[3, 2:], [pixels[3, 1]] * 2)
    assert np.array_equal(filled[0], filled[2])
    there[0, 3] = True  # an L around a corner
    assert np.array_equal(nearest_pixels(pixels, there)[0, 0], pixels[0, 3])


def test_the_mask_is_grey_beside_what_is_there_and_white_where_a_latent_is_in_part() -> None:
    there = np.zeros((8, 8), bool)
    there[2:, :5] = True
    mask = soft_mask(there, 2, 0.75)
    assert mask[::2, ::2].tolist() == [
        [191, 191, 191, 255],
        [0, 0, 191, 255],
        [0, 0, 191, 255],
        [0, 0, 191, 255],
    ]
    assert np.array_equal(mask, mask[::2, ::2].repeat(2, 0).repeat(2, 1))
