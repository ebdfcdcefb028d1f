"""From Recipes to pictures: batches, seeds, errors."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sdxl
from PIL import Image

import sdloop
from sdloop.errors import FileError, NonFiniteError, OutOfMemory, SettingError
from sdloop.images.input.read import InputImage
from sdloop.loop import Step
from sdloop.pipeline.generate import generate, stream
from sdloop.recipe.batchable import batches
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.schedule import make_scheduler, set_steps

COMPONENTS = tiny_sd1()
DRAWING = ["euler-a", "ddpm", "dpm2-a", "dpmpp-2m-sde", "dpmpp-sde", "sa-solver", "lcm"]


def recipe(seed: int = 7, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "steps": 4, "width": 32, "height": 32, "scheduler": "euler"}
    return Recipe(seed=seed, **(usual | settings))


@pytest.mark.parametrize("scheduler", ["euler", *DRAWING])
def test_a_seed_alone_equals_the_seed_in_a_batch(scheduler: str) -> None:
    recipes = [recipe(seed, scheduler=scheduler) for seed in (5, 6, 7, 8)]
    together = generate(COMPONENTS, recipes, batch_size=4)[2]
    alone = generate(COMPONENTS, recipe(7, scheduler=scheduler))[0]
    assert together.recipe == alone.recipe
    # Matrix kernels block by batch size; the noise is the same to the bit, or this were far off.
    torch.testing.assert_close(together.latents, alone.latents, atol=5e-4, rtol=1e-3)
    levels = np.abs(np.asarray(together.image, int) - np.asarray(alone.image, int))
    assert levels.max() <= 1


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_a_batch_has_at_least_one_picture(batch_size: Any) -> None:
    with pytest.raises(SettingError, match="batch_size must be"):
        generate(COMPONENTS, recipe(), batch_size=batch_size)


def test_equal_texts_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    forward = COMPONENTS.text_encoder.forward

    def watched(ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        read.append(tuple(ids[0].tolist()))
        return forward(ids, *args, **kwargs)

    monkeypatch.setattr(COMPONENTS.text_encoder, "forward", watched)
    prompts = ["a cat", "a dog", "a cat", "a fish"]
    generate(COMPONENTS, [recipe(seed, prompt=prompt) for seed, prompt in enumerate(prompts)])
    assert len(read) == len(set(read)) == 4  # three prompts and one empty text


def test_seconds_leave_out_what_the_consumer_does(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, away = time.perf_counter, [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + sum(away))
    for event in stream(COMPONENTS, recipe()):
        if isinstance(event, Step):
            away.append(600.0)
        else:
            assert event.seconds < 600


@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "dpmpp-2m", "dpmpp-sde"])
def test_the_same_command_gives_the_same_bytes(scheduler: str) -> None:
    """A second run with the same Components: nothing of the first is left in them."""
    recipes = [recipe(seed, scheduler=scheduler) for seed in (1, 2)]
    first, second = (generate(COMPONENTS, recipes, batch_size=2) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.latents, two.latents)
        assert one.image.tobytes() == two.image.tobytes()


def test_seeds_and_prompts_differ() -> None:
    pictures = generate(COMPONENTS, [recipe(1), recipe(2), recipe(1, prompt="a dog")], batch_size=1)
    assert len({picture.image.tobytes() for picture in pictures}) == 3


def test_batches_share_only_what_is_alike() -> None:
    recipes = [recipe(1), recipe(2, prompt="b"), recipe(3), recipe(4, steps=9), recipe(5)]
    assert [[one.seed for one in batch] for batch in batches(recipes, 2)] == [[1, 2], [3], [4], [5]]


def test_one_batch_may_mix_negative_prompts() -> None:
    components = tiny_sdxl()
    recipes = [recipe(1), recipe(2, negative_prompt="a dog"), recipe(3, negative_prompt="")]
    together = generate(components, recipes, batch_size=3)
    assert len({one.image.tobytes() for one in together}) == 3
    for one in together:
        alone = generate(components, one.recipe)[0]
        torch.testing.assert_close(one.latents, alone.latents, atol=5e-4, rtol=1e-3)


def test_recipes_are_taken_one_by_one() -> None:
    """A plan may be endless: nothing is read ahead of the batch that is being made."""
    taken = []

    def plan() -> Any:
        seed = 0
        while True:
            taken.append(seed)
            yield recipe(seed)
            seed += 1

    events = stream(COMPONENTS, plan())
    while not isinstance(next(events), sdloop.Picture):
        pass
    events.close()
    assert len(taken) <= 2


def test_steps_come_before_their_pictures() -> None:
    events = list(stream(COMPONENTS, [recipe(1), recipe(2)], batch_size=2))
    kinds = [type(event).__name__ for event in events]
    assert kinds == ["Step"] * 4 + ["Picture"] * 2
    assert events[0].latents.shape[0] == 2
    assert torch.equal(events[3].latents[1], events[5].latents)


def test_the_picture_tells_what_made_it() -> None:
    picture = generate(COMPONENTS, Recipe(prompt="a cat", seed=1, steps=2))[0]
    assert picture.recipe.scheduler == "pndm"
    assert picture.image.size == (picture.recipe.width, picture.recipe.height)
    assert picture.image.size == COMPONENTS.native_size
    made = make_scheduler(COMPONENTS.scheduler_config)
    assert list(picture.sigmas) == set_steps(made, 2)[1]
    assert len(picture.sigmas) == 3  # PNDM looks once more than it has steps
    assert picture.seconds > 0


def test_a_resolved_recipe_makes_the_same_picture_again() -> None:
    first = generate(COMPONENTS, Recipe(prompt="a cat", seed=1, steps=2))[0]
    again = generate(COMPONENTS, Recipe.from_dict(first.recipe.to_dict()))[0]
    assert again.image.tobytes() == first.image.tobytes()


def shown(name: str) -> InputImage:
    """A picture for each name: a ramp of greys, turned by as many quarters as the name says."""
    levels = np.rot90(np.linspace(0, 255, 40 * 40 * 3).reshape(40, 40, 3), int(name))
    image = Image.fromarray(levels.astype(np.uint8))
    return InputImage(name=name, sha256=name * 64, image=image)


@pytest.mark.parametrize("scheduler", ["euler", *DRAWING])
def test_what_starts_from_a_picture_does_not_depend_on_its_batch(scheduler: str) -> None:
    settings = {"strength": 0.6, "scheduler": scheduler, "steps": 6}
    recipes = [recipe(seed, image=name, **settings) for name in "12" for seed in (5, 6)]
    together = generate(COMPONENTS, recipes, batch_size=4, open_image=shown)
    assert len({one.image.tobytes() for one in together}) == 4
    for place in (0, 3):
        one, alone = together[place], generate(COMPONENTS, recipes[place], open_image=shown)[0]
        torch.testing.assert_close(one.latents, alone.latents, atol=5e-4, rtol=1e-3)


def test_noise_and_pictures_share_no_batch() -> None:
    pictures = [recipe(2, image="1"), recipe(2, image="2"), recipe(2, image="1", strength=0.6)]
    settled = [resolve(one, COMPONENTS, shown(str(one.image)).facts) for one in pictures]
    settled = [resolve(recipe(1), COMPONENTS), *settled]
    assert [len(batch) for batch in batches(settled, 9)] == [1, 2, 1]


def test_each_picture_is_read_and_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, encoded = [], []
    encode = COMPONENTS.vae.encode

    def open_image(name: str) -> InputImage:
        opened.append(name)
        return shown(name)

    def watched(pixels: torch.Tensor) -> Any:
        encoded.append(pixels.shape)
        return encode(pixels)

    monkeypatch.setattr(COMPONENTS.vae, "encode", watched)
    recipes = [recipe(seed, image=name) for name in "12" for seed in range(3)]
    generate(COMPONENTS, recipes, open_image=open_image)
    assert opened == ["1", "2"]
    assert encoded == [(1, 3, 32, 32)] * 2


def test_a_picture_file_is_opened_by_its_name(tmp_path: Any) -> None:
    shown("1").image.save(tmp_path / "ramp.png")
    name = str(tmp_path / "ramp.png")
    picture = generate(COMPONENTS, Recipe(prompt="a cat", seed=1, steps=4, image=name))[0]
    assert picture.recipe.strength == 0.75
    assert len(picture.sigmas) == 4  # of three steps, PNDM looks twice at one
    assert picture.recipe.image_sha256 is not None
    other = replace(picture.recipe, image_sha256="0" * 64)
    with pytest.raises(FileError, match="is not the picture that the recipe was made with"):
        generate(COMPONENTS, other)
    with pytest.raises(FileError, match=r"cannot read 'nowhere\.png'"):
        generate(COMPONENTS, recipe(image="nowhere.png"))


def test_the_less_strength_the_nearer_to_the_picture() -> None:
    """Even of random weights: what is put under little noise is still there at the end."""
    strengths = (0.05, 0.2, 0.4, 0.6)
    recipes = [recipe(7, image="1", steps=20, strength=strength) for strength in strengths]
    latents = [one.latents for one in generate(COMPONENTS, recipes, open_image=shown)]
    clean = generate(COMPONENTS, recipe(7, image="1", steps=500, strength=0.002), open_image=shown)
    far = [float((one - clean[0].latents).abs().mean()) for one in latents]
    assert far == sorted(far)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": 0.5}, "strength is for pictures that start from an image"),
        ({"width": 33}, "width must be a multiple of 2 .* got 33; nearest: 32 and 34"),
        ({"clip_skip": 3}, "clip_skip must be at most 2, got 3"),
        ({"target_size": (64, 64)}, "target_size needs an SDXL model"),
        ({"scheduler": "edm-euler"}, "scheduler must not be an EDM scheduler .* got 'edm-euler'"),
    ],
)
def test_what_does_not_suit_the_model_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        generate(COMPONENTS, recipe(**settings))


def test_infinite_latents_name_the_step_and_a_remedy() -> None:
    class Breaks:
        """A UNet whose third answer overflows."""

        calls = 0
        config = COMPONENTS.unet.config
        dtype = COMPONENTS.unet.dtype
        device = COMPONENTS.unet.device

        def __call__(self, latent_input: Any, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            output = COMPONENTS.unet(latent_input, *args, **kwargs)[0]
            return (output * float("inf") if self.calls == 3 else output,)

    with pytest.raises(NonFiniteError, match="after step 3 of 4 in float32; remedy: a"):
        generate(replace(COMPONENTS, unet=Breaks()), recipe())


def test_a_vae_that_overflows_makes_no_black_picture() -> None:
    components = tiny_sd1()
    with torch.no_grad():
        components.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"NaN or infinity instead of pixels; remedy"):
        generate(components, recipe())


def test_out_of_memory_says_what_did_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **kwargs: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")

    monkeypatch.setattr(COMPONENTS.unet, "forward", full)
    with pytest.raises(OutOfMemory, match=r"1 picture\(s\) of 32x32 .* remedy: .*batch_size"):
        generate(COMPONENTS, recipe())


@pytest.mark.parametrize(
    "words", ["shapes cannot be multiplied", "an illegal memory access was encountered"]
)
def test_other_errors_keep_their_own_words(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    def wrong(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(words)

    monkeypatch.setattr(COMPONENTS.unet, "forward", wrong)
    with pytest.raises(RuntimeError, match=words):
        generate(COMPONENTS, recipe())


def test_closing_stops_between_two_steps() -> None:
    events = stream(COMPONENTS, [recipe(1), recipe(2)])
    assert isinstance(next(events), Step)
    events.close()
    assert list(events) == []
