"""Mixtures: the UNet's prompt at each step, and how predictions are combined."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sdxl
from torch import Tensor

from sdloop.conditioning.encode import condition
from sdloop.conditioning.stack import stack
from sdloop.conditioning.value import Conditioning
from sdloop.errors import SettingError
from sdloop.guidance.formulas import classifier_free_guidance, composed
from sdloop.latents.noise import noise, seeded_generators, slerp, varied
from sdloop.metadata.a1111 import Parameters
from sdloop.metadata.a1111_read import settings_of
from sdloop.metadata.a1111_write import parameters_of
from sdloop.pipeline.generate import generate
from sdloop.pipeline.picture import Picture
from sdloop.recipe.key import content_key
from sdloop.recipe.mixture import along, mixture
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.schedule import make_scheduler, set_steps, steps_of

SD1, SDXL = tiny_sd1(), tiny_sdxl()
LONG = "a dog " * 60


def recipe(prompt: str = "a cat", **settings: Any) -> Recipe:
    usual = {"seed": 7, "steps": 4, "width": 32, "height": 32, "scheduler": "euler"}
    return Recipe(prompt=prompt, **(usual | settings))


def made(wanted: Recipe) -> Picture:
    return generate(SD1, wanted)[0]


def embeds(prompt: str) -> Tensor:
    return condition(SD1, recipe(prompt)).prompt_embeds


# What holds when.


def told(wanted: Recipe, turns: int) -> list[Tensor]:
    """What the UNet is told at each turn, unconditional rows included."""
    inputs = condition(SD1, wanted).over(range(turns), guided=[True] * turns)
    return [each["encoder_hidden_states"] for each in inputs]


def test_a_prompt_changes_at_its_step_and_not_before() -> None:
    rows = told(recipe("a [cat:dog:0.5]"), 4)
    assert [torch.equal(row[1:], embeds("a cat")) for row in rows] == [True, True, False, False]
    assert torch.equal(rows[2][1:], embeds("a dog"))
    assert torch.equal(told(recipe("a [cat:dog:1]"), 2)[1][1:], embeds("a dog"))


def test_turns_with_equal_prompts_share_their_tensors() -> None:
    rows = told(recipe("a [cat|dog]"), 4)
    assert rows[0] is rows[2]
    assert rows[1] is rows[3]
    assert rows[0] is not rows[1]
    constant = condition(SD1, recipe()).over(range(50), guided=[True] * 50)
    assert all(inputs is constant[0] for inputs in constant)


def test_the_negative_prompt_changes_too() -> None:
    rows = told(recipe(negative_prompt="[a dog:a fish:0.5]"), 4)
    assert torch.equal(rows[0][:1], embeds("a dog"))
    assert torch.equal(rows[3][:1], embeds("a fish"))
    assert all(torch.equal(row[1:], embeds("a cat")) for row in rows)


def test_each_prompt_of_a_change_is_as_long_as_it_is_alone() -> None:
    short, long = told(recipe(f"[a cat:{LONG}:0.5]"), 4)[1:3]
    assert short.shape[1] == 77 < long.shape[1]
    assert torch.equal(short[1:], embeds("a cat"))


@pytest.mark.parametrize(
    ("scheduler", "steps"),
    [
        ("euler", [0, 1, 2, 3]),
        ("heun", [0, 0, 1, 1, 2, 2, 3]),
        ("dpm2", [0, 0, 1, 1, 2, 2, 3]),
        ("pndm", [0, 0, 1, 2, 3]),
    ],
)
def test_a_step_is_the_schedulers(scheduler: str, steps: list[int]) -> None:
    ready = make_scheduler(SD1.scheduler_config, scheduler=scheduler)
    timesteps, _ = set_steps(ready, 4)
    assert steps_of(ready, timesteps) == steps


@pytest.mark.parametrize(
    ("scheduler", "steps"), [("euler", [0, 1]), ("heun", [0, 0, 1]), ("pndm", [0, 1, 2])]
)
def test_steps_count_from_the_first_that_is_run(scheduler: str, steps: list[int]) -> None:
    ready = make_scheduler(SD1.scheduler_config, scheduler=scheduler)
    timesteps, _ = set_steps(ready, 4, start=2)
    assert steps_of(ready, timesteps) == steps


def test_changing_at_the_ends_is_the_prompt_itself() -> None:
    plain = made(recipe("a dog"))
    assert torch.equal(made(recipe("[a cat:a dog:0]")).latents, plain.latents)
    assert torch.equal(made(recipe("[a dog:a cat:1.0]")).latents, plain.latents)
    changed = made(recipe("[a dog:a cat:0.5]"))
    assert not torch.equal(changed.latents, plain.latents)
    assert not torch.equal(changed.latents, made(recipe("a cat")).latents)


def test_sizes_that_are_told_later_are_told_at_every_step() -> None:
    made = condition(SDXL, recipe("[a cat:a dog:0.5]"))
    told = replace(made, time_ids=torch.full((1, 6), 9.0)).over(range(4), guided=[True] * 4)
    assert [inputs["added_cond_kwargs"]["time_ids"].unique().tolist() for inputs in told] == [
        [9]
    ] * 4


# Predictions.


def test_predictions_are_combined_as_liu_et_al_do() -> None:
    uncond, one, two = torch.randn(3, 2, 4, 8, 8)
    weights = torch.tensor([[0.7, 1.0], [-0.5, 2.0]]).reshape(2, 2, 1, 1, 1)
    guided = classifier_free_guidance(uncond, composed(uncond, (one, two), weights), 7.5)
    for place, (a, b) in enumerate([(0.7, -0.5), (1.0, 2.0)]):
        pull = a * (one - uncond)[place] + b * (two - uncond)[place]
        torch.testing.assert_close(guided[place], uncond[place] + 7.5 * pull)


def test_one_prediction_is_left_as_it_is() -> None:
    one = torch.randn(1, 4, 8, 8)
    assert composed(torch.randn(1, 4, 8, 8), [one], None) is one


class Counted:
    """A UNet that remembers how many rows it saw."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.rows: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unet, name)

    def __call__(self, latent_input: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.rows.append(len(latent_input))
        return self.unet(latent_input, *args, **kwargs)


def test_and_takes_a_row_for_each_prompt_and_one_beside() -> None:
    unet = Counted(SD1.unet)
    generate(replace(SD1, unet=unet), recipe("a cat AND a dog :0.5 AND a fish :-0.2"))
    assert unet.rows == [4] * 4


def test_and_of_a_prompt_with_nothing_is_the_prompt() -> None:
    with_nothing = made(recipe("a cat AND a dog :0"))
    torch.testing.assert_close(
        with_nothing.latents, made(recipe("a cat")).latents, atol=1e-3, rtol=1e-3
    )
    halves = made(recipe("a cat :0.5 AND a cat :0.5"))
    torch.testing.assert_close(halves.latents, with_nothing.latents, atol=1e-3, rtol=1e-3)
    assert (made(recipe("a cat AND a dog")).latents - with_nothing.latents).abs().max() > 1e-2


def test_and_needs_guidance_and_one_text_for_both_encoders() -> None:
    with pytest.raises(SettingError, match="guidance_scale 1 switches it off"):
        recipe("a cat AND a dog", guidance_scale=1)
    with pytest.raises(SettingError, match="prompt_2 cannot be combined with AND"):
        recipe("a cat AND a dog", prompt_2="a fish")
    several = condition(SD1, recipe("a cat AND a dog"))
    with pytest.raises(ValueError, match="several prompts"):
        several.unet_inputs(guided=False)


def test_what_is_beside_the_latents_is_there_for_every_row() -> None:
    pictures = [
        replace(
            condition(SDXL, recipe("a cat AND a dog", seed=seed)),
            channels=torch.full((1, 5, 4, 4), float(seed)),
            class_labels=torch.tensor([seed]),
        )
        for seed in (1, 2)
    ]
    batch = stack(pictures)
    assert batch.prompts == 2
    seen = batch.with_extra_channels(torch.zeros(6, 4, 4, 4))
    assert seen[:, 4:, 0, 0].unique(dim=1).flatten().tolist() == [1, 2, 1, 2, 1, 2]
    inputs = batch.over([0], guided=[True])[0]
    assert inputs["class_labels"].tolist() == [1, 2, 1, 2, 1, 2]
    assert len(inputs["added_cond_kwargs"]["time_ids"]) == 6
    rows = inputs["encoder_hidden_states"]
    one = condition(SDXL, recipe("a dog")).prompt_embeds[0]
    assert [torch.equal(row, one) for row in rows] == [False] * 4 + [True] * 2


# Embeddings.


def test_a_mixture_is_the_mean_of_what_was_encoded() -> None:
    shares = {"mix_prompts": ["a dog", "a fish"], "mix_weights": [2, 1, 1]}
    mixed = condition(SDXL, recipe(**shares))
    texts = ("a cat", "a dog", "a fish")
    cat, dog, fish = (condition(SDXL, recipe(text)) for text in texts)
    for name in ("prompt_embeds", "pooled_prompt_embeds"):
        mean = 0.5 * getattr(cat, name) + 0.25 * getattr(dog, name) + 0.25 * getattr(fish, name)
        assert torch.equal(getattr(mixed, name), mean)


def test_an_arc_keeps_the_length_that_the_line_loses() -> None:
    one = condition(SD1, recipe(mix_prompts=("a dog",), slerp=True)).prompt_embeds
    straight = condition(SD1, recipe(mix_prompts=("a dog",))).prompt_embeds
    assert not torch.equal(one, straight)
    assert one.norm(dim=-1).mean() > straight.norm(dim=-1).mean()


def test_a_share_of_nothing_leaves_a_prompt_out() -> None:
    (alone,) = (condition(SD1, recipe(mix_prompts=(LONG,), mix_weights=(1, 0))).prompt_embeds,)
    assert torch.equal(alone, embeds("a cat"))
    other = condition(SD1, recipe(mix_prompts=("a dog",), mix_weights=(0, 1))).prompt_embeds
    assert torch.equal(other, embeds("a dog"))


def test_prompts_of_unequal_length_are_mixed_chunk_by_chunk() -> None:
    mixed = condition(SD1, recipe(mix_prompts=(LONG,), negative_prompt="a fish"))
    assert mixed.negative_prompt_embeds is not None
    assert mixed.negative_prompt_embeds.shape == mixed.prompt_embeds.shape == embeds(LONG).shape
    chunks = embeds(LONG).shape[1] // 77
    padded = torch.cat([embeds("a cat"), *[embeds("")] * (chunks - 1)], dim=1)
    assert torch.equal(mixed.prompt_embeds, 0.5 * padded + 0.5 * embeds(LONG))


def test_a_mixture_in_a_recipe_is_read_back_and_decides_its_key() -> None:
    wanted = recipe(mix_prompts=["a dog", "a fish"], mix_weights=[2, 1, 1], slerp=False)
    assert wanted.mix_weights == (0.5, 0.25, 0.25)
    assert Recipe.from_dict(wanted.to_dict()) == wanted
    keys = {
        content_key(resolve(one, SD1), {})
        for one in (wanted, replace(wanted, mix_weights=(1, 1, 1)), recipe())
    }
    assert len(keys) == 3
    thirds = recipe(mix_prompts=("b", "c"))
    assert Recipe.from_dict(thirds.to_dict()).mix_weights == thirds.mix_weights


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mix_weights": (1, 1)}, "mix_weights needs mix_prompts"),
        ({"slerp": True}, "slerp needs mix_prompts"),
        ({"mix_prompts": "a dog"}, "mix_prompts must be a list"),
        ({"mix_prompts": ()}, "mix_prompts must be a list"),
        ({"mix_prompts": ("a",), "mix_weights": (1,)}, "mix_weights must be 2 numbers"),
        ({"mix_prompts": ("a",), "mix_weights": (1, -1)}, "add up to more than 0"),
        ({"mix_prompts": ("a",), "mix_weights": (1, "b")}, "mix_weights must be a finite number"),
        ({"mix_prompts": ("a", "b"), "slerp": True}, "slerp needs two prompts"),
        ({"mix_prompts": ("a AND b",)}, "mix_prompts must not contain AND"),
        ({"mix_prompts": ("a",), "prompt_2": "b"}, "prompt_2 cannot be combined with mix_prompts"),
        ({"variation_seed": 3}, "must be given together"),
        ({"variation_strength": 0.3}, "must be given together"),
    ],
    ids=str,
)
def test_what_is_no_mixture_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        recipe(**settings)


# Batches.


def test_pictures_that_change_differently_share_a_batch_and_are_as_they_are_alone() -> None:
    prompts = ["a cat", "[a cat:a dog:0.5]", "[a fish|a dog]", "a [cat:dog:3] in a park"]
    unet = Counted(SD1.unet)
    wanted = [recipe(prompt, seed=seed) for seed, prompt in enumerate(prompts)]
    together = generate(replace(SD1, unet=unet), wanted, batch_size=4)
    assert unet.rows == [8] * 4
    for one, alone in zip(together, wanted, strict=True):
        torch.testing.assert_close(one.latents, made(alone).latents, atol=5e-4, rtol=1e-3)


def test_what_the_unet_cannot_see_at_once_is_kept_apart() -> None:
    prompts = ["a cat", "a cat AND a dog :0.3", "a dog AND a cat", LONG, f"[a cat:{LONG}:0.5]"]
    unet = Counted(SD1.unet)
    wanted = [recipe(prompt, seed=seed) for seed, prompt in enumerate(prompts)]
    together = generate(replace(SD1, unet=unet), wanted, batch_size=5)
    assert unet.rows == [2] * 4 + [6] * 4 + [2] * 4 + [2] * 4
    for one, alone in zip(together, wanted, strict=True):
        torch.testing.assert_close(one.latents, made(alone).latents, atol=5e-4, rtol=1e-3)


def test_mixtures_and_variations_share_a_batch() -> None:
    wanted = [
        recipe(mix_prompts=("a dog",), mix_weights=(0.3, 0.7)),
        recipe("a fish", variation_seed=3, variation_strength=0.4),
        recipe("a bird"),
    ]
    unet = Counted(SD1.unet)
    together = generate(replace(SD1, unet=unet), wanted, batch_size=3)
    assert unet.rows == [6] * 4
    for one, alone in zip(together, wanted, strict=True):
        torch.testing.assert_close(one.latents, made(alone).latents, atol=5e-4, rtol=1e-3)


def test_conditionings_without_a_twin_do_not_stack_with_others() -> None:
    one, two = Conditioning(prompt_embeds=torch.ones(1, 3, 2)), condition(SD1, recipe())
    with pytest.raises((ValueError, RuntimeError)):
        stack([one, two])


# Variations.


def test_a_variation_goes_from_one_noise_to_the_other() -> None:
    (low,), (high,) = (noise(seeded_generators([seed]), 4, 16, 16).split(1) for seed in (4, 9))
    assert torch.equal(varied(low, 9, 0.0), low)
    torch.testing.assert_close(varied(low, 9, 1.0), high)
    half = varied(low, 9, 0.5)
    assert abs(half.std() - 1) < 0.1 < abs((0.5 * low + 0.5 * high).std() - 1)
    torch.testing.assert_close(half, varied(high, 4, 0.5))


def test_the_ends_of_an_arc_and_vectors_of_one_direction() -> None:
    vectors = torch.randn(2, 5)
    assert torch.equal(slerp(vectors[0], 2 * vectors[0], 0.5, dim=-1), 1.5 * vectors[0])
    assert torch.equal(slerp(vectors[0], vectors[1], 0.0, dim=-1), vectors[0])


def test_the_picture_of_a_variation() -> None:
    near = made(recipe(variation_seed=9, variation_strength=0.0))
    assert np.array_equal(np.asarray(near.image), np.asarray(made(recipe()).image))
    far = made(recipe(variation_seed=9, variation_strength=1.0))
    torch.testing.assert_close(far.latents, made(recipe(seed=9)).latents, atol=1e-4, rtol=1e-3)


def test_a1111_knows_variations_too() -> None:
    wanted = resolve(recipe(variation_seed=9, variation_strength=0.25), SD1)
    written = parameters_of(wanted, {})
    assert written.fields["Variation seed"] == "9"
    assert written.fields["Variation seed strength"] == "0.25"
    read, left_out = settings_of(
        Parameters(prompt="a cat", negative_prompt="", fields=written.fields)
    )
    assert (read["variation_seed"], read["variation_strength"]) == (9, 0.25)
    assert not any("Variation" in line for line in left_out)


# From prompts and weights to a Recipe.


def test_the_ends_of_every_mixture_are_the_prompts_themselves() -> None:
    for at in ("embedding", "prediction", "time"):
        assert mixture(["a cat", "a dog"], [1, 0], at=at) == {"prompt": "a cat"}
        assert mixture(["a cat", "a dog"], [0, 1], at=at) == {"prompt": "a dog"}
    for weights, prompt in (([1, 0], "a cat sits"), ([0, 1], "a dog sits")):
        assert mixture(["a {cat|dog} sits"], weights, at="token") == {"prompt": prompt}


@pytest.mark.parametrize(
    ("at", "prompts", "weights", "prompt"),
    [
        ("prediction", ["a cat", "a dog"], [1, -0.5], "a cat :1 AND a dog :-0.5"),
        ("prediction", ["a, 16:9", "b"], [1e-5, 1], "a, 16:9 :0.00001 AND b :1"),
        ("time", ["a cat", "a dog"], [1, 3], "[a cat:a dog:0.25]"),
        ("time", ["a", "b", "c"], [2, 1, 1], "[a:[b:c:0.75]:0.5]"),
        ("time", ["a (red:1.2) cat", "b, 16:9"], [1, 1], r"[a (red:1.2) cat:b, 16\:9:0.5]"),
        (
            "time",
            ["[a|b] cat", "a [red:blue:0.9] dog"],
            [1, 1],
            "[[a|b] cat:a [red:blue:0.9] dog:0.5]",
        ),
    ],
)
def test_mixtures_that_a_prompt_can_say(
    at: str, prompts: list[str], weights: list[float], prompt: str
) -> None:
    assert mixture(prompts, weights, at=at) == {"prompt": prompt}


def test_a_mixed_token_is_a_replaced_one() -> None:
    fields = mixture(["a {cat|dog} sits"], [3, 1], at="token")
    assert fields == {"prompt": "a cat sits", "replace_tokens": ("cat=0.75*cat+0.25*dog",)}


@pytest.mark.parametrize(
    ("prompts", "weights", "options", "message"),
    [
        (["a", "b"], [1], {}, "weights must be 2"),
        (["a", "b"], [0, 0], {}, "must not all be 0"),
        (["a", "b"], [1, -1], {}, "add up to more than 0"),
        (["a", "b"], [2, -1], {"at": "time"}, "weights must be between 0 and 1000"),
        (["a", "b"], [1, 1], {"at": "somewhere"}, "at must be one of"),
        (
            ["a", "b"],
            [1, 1],
            {"at": "time", "slerp": True},
            "slerp works only with at 'embedding', got 'time'",
        ),
        (["a", "b"], [1, 1], {"at": "token"}, "one prompt with one slot"),
        (["a {b|} c"], [1, 1], {"at": "token"}, "one prompt with one slot"),
        (["a {b|c} b"], [1, 1], {"at": "token"}, "must be in the prompt only once"),
        (["a]", "b"], [1, 1], {"at": "time"}, "these prompts cannot be mixed at time"),
        (["a AND b", "c"], [1, 1], {"at": "prediction"}, "prompts to add must not contain AND"),
        (["a", "b"], [0.5, 0], {"at": "prediction"}, "or a single 1, got a single 0.5"),
        (["a", "b <lora:c:1>"], [1, 1], {}, "prompts to mix must not contain <lora:"),
    ],
    ids=str,
)
def test_what_cannot_be_mixed_is_refused(
    prompts: list[str], weights: list[float], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        mixture(prompts, weights, **options)


def test_the_way_through_several() -> None:
    ways = [along(3, place / 4) for place in range(5)]
    assert ways == [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
