"""Memory runs out at one operation after the other: pictures are made all the same."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.crossings import FAMILIES
from helpers.pictures import sketch
from helpers.pretended_cuda import OUT_OF_MEMORY, PretendedCuda
from helpers.pretended_cuda.memory import always_from, once_at
from helpers.pretended_cuda.placed import placed, with_formula

from sdloop.errors import OutOfMemory
from sdloop.images.input.read import open_image
from sdloop.latents.vae import encode, to_pixels
from sdloop.models.components.load import Components
from sdloop.pipeline import sample
from sdloop.pipeline.generate import generate
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.pipeline.picture import SampledBatch
from sdloop.recipe.recipe import Recipe

KINDS = list(OUT_OF_MEMORY)


@pytest.fixture
def components(gpu: PretendedCuda) -> Components:
    """With a formula for a UNet, whose rows do not depend on their batch in any bit."""
    return placed(with_formula(FAMILIES["sd1"]()), "cuda", "fp32")


@pytest.fixture
def recipes(tmp_path: Path) -> list[Recipe]:
    """Three pictures that are encoded, sampled with noise at each step, and decoded."""
    sketch(16, 16).save(tmp_path / "sketch.png")
    settings: dict[str, Any] = {"image": str(tmp_path / "sketch.png"), "strength": 1.0, "steps": 2}
    settings |= {"scheduler": "euler-a", "width": 16, "height": 16, "prompt": "a cat"}
    return [Recipe(seed=seed, **settings) for seed in (7, 8, 9)]


def made(components: Components, recipes: list[Recipe]) -> list[bytes]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "not enough memory", RuntimeWarning)
        pictures = generate(components, recipes, batch_size=3)
    return [picture.image.tobytes() for picture in pictures]


def counted(gpu: PretendedCuda, components: Components, recipes: list[Recipe]) -> int:
    """How many operations it takes; what is encoded once is encoded each time here."""
    before = gpu.memory.operations
    made(components, recipes)
    return gpu.memory.operations - before


def at_each(
    gpu: PretendedCuda, components: Components, recipes: list[Recipe], *, every: int, offset: int
) -> int:
    """Run out of memory once at every ``every``-th operation, with the kinds in turn."""
    expected, number = made(components, recipes), counted(gpu, components, recipes)
    points = range(offset, number, every)
    for turn, point in enumerate(points):
        gpu.memory.fails = once_at(gpu.memory.operations + point, KINDS[turn % len(KINDS)])
        found = made(components, recipes)
        gpu.memory.fails = None
        assert found == expected, f"another picture after operation {point} of {number}"
    return len(points)


def test_the_bytes_are_the_same_wherever_it_happens(
    gpu: PretendedCuda, components: Components, recipes: list[Recipe]
) -> None:
    assert at_each(gpu, components, recipes, every=97, offset=13) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("offset", range(7))
def test_at_every_operation(
    gpu: PretendedCuda, components: Components, recipes: list[Recipe], offset: int
) -> None:
    at_each(gpu, components, recipes, every=7, offset=offset)


@pytest.mark.parametrize("kind", ["cuda"])
def test_latents_become_pictures_although_the_device_has_no_memory_left(
    gpu: PretendedCuda, components: Components, recipes: list[Recipe], kind: str
) -> None:
    expected = made(components, recipes[:1])
    model = loaded_model(components)
    batches = [
        event
        for event in sample.sampled(model, [model.resolved(recipes[0], open_image)], 1, open_image)
        if isinstance(event, SampledBatch)
    ]
    gpu.memory.fails = always_from(gpu.memory.operations, kind)
    with pytest.warns(RuntimeWarning, match="not enough memory to decode") as told:
        (picture,) = batches[0].pictures()
    assert len(told) == 3
    assert [picture.image.tobytes()] == expected
    assert components.vae.device.type == "cuda"


def test_a_picture_is_encoded_although_the_device_has_no_memory_left(
    gpu: PretendedCuda, components: Components
) -> None:
    pixels = to_pixels(sketch(16, 16))
    expected = encode(components.vae, pixels)
    gpu.memory.fails = always_from(gpu.memory.operations, "cudnn")
    with pytest.warns(RuntimeWarning, match="not enough memory to encode") as told:
        found = encode(components.vae, pixels)
    assert len(told) == 3
    gpu.memory.fails = None
    assert torch.equal(found.mean, expected.mean.cpu())
    assert components.vae.device.type == "cuda"


def test_a_picture_that_never_fits_is_refused_in_words(
    gpu: PretendedCuda, components: Components, recipes: list[Recipe]
) -> None:
    number = counted(gpu, components, recipes[:1])
    gpu.memory.fails = always_from(gpu.memory.operations + number // 2, "cuda")
    with pytest.raises(OutOfMemory, match=r"1 picture\(s\) of 16x16 at once"):
        generate(components, recipes[0])


@pytest.mark.parametrize("share", [0.6])
def test_a_failed_attempt_leaves_nothing_on_the_device(
    gpu: PretendedCuda, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """The halves need the memory of what the whole batch had on it: of the UNet's activations."""
    components = placed(FAMILIES["sd1"](), "cuda", "fp32")
    settings: dict[str, Any] = {"prompt": "a cat", "steps": 2, "width": 32, "height": 32}
    recipes = [Recipe(seed=seed, scheduler="euler", **settings) for seed in (7, 8)]
    model, left = loaded_model(components), []
    resolved = [model.resolved(recipe, open_image) for recipe in recipes]

    def sampled() -> int:
        before = gpu.memory.operations
        for event in sample.sampled(model, resolved, 2, open_image):
            del event
        return gpu.memory.operations - before

    sampled()
    weights, free = gpu.memory.held, sample.free_memory
    monkeypatch.setattr(sample, "free_memory", lambda: (free(), left.append(gpu.memory.held)))
    number = sampled()
    point = gpu.memory.operations + int(share * number)
    gpu.memory.fails = once_at(point, "torch")
    with pytest.warns(RuntimeWarning, match="a batch of 2: continuing with 1"):
        sampled()
    # Both pictures' latents are 8 KB, and their activations many times that.
    assert len(left) == 1 and left[0] - weights < 40_000
    assert gpu.memory.peak - weights > 300_000
