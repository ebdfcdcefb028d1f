"""Weighted words and long prompts, compared with encoding by hand and diffusers' pipelines."""

from typing import Any

import numpy as np
import pytest
import torch
from helpers.parity import pipeline, reference
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from torch import Tensor

from sdloop.conditioning.encode import Encoded, condition, encode_prompt
from sdloop.conditioning.reading import TextInput
from sdloop.errors import PromptError, SettingError
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.batchable import batches
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

FAMILIES = {"sd1": tiny_sd1(), "sd2": tiny_sd2(), "sdxl": tiny_sdxl()}
for _tiny in FAMILIES.values():
    for _encoder in filter(None, (_tiny.text_encoder, _tiny.text_encoder_2)):
        # With a bias of zero the mean of what it encodes is rounding alone, on some CPUs exactly 0.
        (_bias,) = (
            b for n, b in _encoder.named_parameters() if n.endswith("final_layer_norm.bias")
        )
        torch.nn.init.normal_(_bias, generator=torch.Generator().manual_seed(0))
SD1, SDXL = FAMILIES["sd1"], FAMILIES["sdxl"]
LONG = "the " * 80 + "end"


def recipe(prompt: str = "a cat", **settings: Any) -> Recipe:
    usual = {"seed": 7, "steps": 3, "width": 32, "height": 24, "guidance_scale": 7.5}
    return Recipe(prompt=prompt, **(usual | settings))


def encoded(components: Components, text: str, **how: Any) -> Encoded:
    return encode_prompt(components, TextInput(text=text, **how))


@torch.no_grad()
def chunk(tokenizer: Any, encoder: Any, text: str, clip_skip: int = 1) -> tuple[Tensor, Any]:
    """The layer that the UNet sees of one chunk, straight from the encoder, and all its output."""
    ids = tokenizer(text, padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert ids.shape == (1, 77)
    output = encoder(ids, output_hidden_states=True)
    return output.hidden_states[-clip_skip], output


def weights(*weighed: tuple[int, float]) -> Tensor:
    """The weights of 77 tokens: 1 but for those at these places."""
    made = torch.ones(1, 77, 1)
    for place, weight in weighed:
        made[0, place] = weight
    return made


def place_of(word: str, text: str) -> list[int]:
    """Where a word's tokens stand in a chunk."""
    before, _ = text.split(word)
    start = len(SD1.tokenizer(before).input_ids) - 1
    return list(range(start, start + len(SD1.tokenizer(word).input_ids) - 2))


# -- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("emphasis", ["a1111", "no-norm"])
@pytest.mark.parametrize("clip_skip", [1, 2])
def test_what_the_encoder_makes_of_a_word_is_multiplied(emphasis: str, clip_skip: int) -> None:
    plain = encoded(SD1, "a cat in a hat", clip_skip=clip_skip).embeds
    cat = place_of("cat", "a cat in a hat")
    expected = plain * weights(*((place, 1.5) for place in cat))
    assert not torch.equal(expected, plain)
    if emphasis == "a1111":
        expected = expected * (plain.mean() / expected.mean())
    made = encoded(SD1, "a (cat:1.5) in a hat", clip_skip=clip_skip, emphasis=emphasis).embeds
    assert torch.equal(made, expected)


def test_sdxl_weighs_what_each_of_its_encoders_made() -> None:
    plain = encoded(SDXL, "a cat in a hat")
    made = encoded(SDXL, "a cat in a (hat:0.5)")
    hats = weights(*((place, 0.5) for place in place_of("hat", "a cat in a hat")))
    for side in (slice(0, 32), slice(32, 64)):
        expected = plain.embeds[..., side].contiguous()
        weighed = expected * hats
        expected = weighed * (expected.mean() / weighed.mean())
        assert torch.equal(made.embeds[..., side], expected)
    assert made.pooled is not None
    assert plain.pooled is not None
    assert torch.equal(made.pooled, plain.pooled)


def test_without_emphasis_brackets_are_text() -> None:
    made = encoded(SD1, "a (cat:1.5) [x] BREAK", emphasis="none").embeds
    expected, _ = chunk(SD1.tokenizer, SD1.text_encoder, "a (cat:1.5) [x] BREAK")
    layers = getattr(SD1.text_encoder, "text_model", SD1.text_encoder)
    assert torch.equal(made, layers.final_layer_norm(expected))


@pytest.mark.parametrize("emphasis", ["a1111", "no-norm", "none"])
def test_a_plain_prompt_is_the_same_however_words_would_be_weighed(emphasis: str) -> None:
    plain = encoded(SD1, "a cat, 16:9").embeds
    assert torch.equal(encoded(SD1, "a cat, 16:9", emphasis=emphasis).embeds, plain)


def test_the_mean_is_restored_chunk_by_chunk() -> None:
    first, second = encoded(SD1, "a (cat:1.5) BREAK a hat").embeds.split(77, dim=1)
    assert torch.equal(first, encoded(SD1, "a (cat:1.5)").embeds)
    assert torch.equal(second, encoded(SD1, "a hat").embeds)


def test_weights_that_leave_no_mean_are_refused() -> None:
    from sdloop.conditioning.emphasis import weighted

    embeds = torch.ones(1, 2, 3)
    with pytest.raises(SettingError, match=r"weights cancel out.*use emphasis 'no-norm'"):
        weighted(embeds, torch.tensor([[1.0, -1.0]]), "a1111")
    assert weighted(embeds, torch.tensor([[1.0, -1.0]]), "no-norm").sum() == 0


def test_half_precision_takes_means_in_full() -> None:
    components = tiny_sd1()
    components.text_encoder.to(torch.bfloat16)
    components.unet.to(torch.bfloat16)
    plain = encoded(components, "a cat").embeds
    weighed = plain * weights(*((place, 1.5) for place in place_of("cat", "a cat"))).bfloat16()
    factor = plain.float().mean() / weighed.float().mean()
    made = encoded(components, "a (cat:1.5)").embeds
    assert made.dtype == torch.bfloat16
    assert torch.equal(made, weighed * factor.bfloat16())


# -- long prompts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_each_chunk_is_encoded_by_itself(clip_skip: int) -> None:
    made = encoded(SD1, LONG, clip_skip=clip_skip).embeds
    texts = ["the " * 75, "the " * 5 + "end"]
    layers = [chunk(SD1.tokenizer, SD1.text_encoder, text, clip_skip)[0] for text in texts]
    norm = getattr(SD1.text_encoder, "text_model", SD1.text_encoder).final_layer_norm
    assert torch.equal(made, torch.cat([norm(layer) for layer in layers], dim=1))


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_sdxl_takes_the_summary_of_the_first_chunk(clip_skip: int) -> None:
    made = encoded(SDXL, LONG, clip_skip=clip_skip)
    texts = ["the " * 75, "the " * 5 + "end"]
    one = [chunk(SDXL.tokenizer, SDXL.text_encoder, t, clip_skip + 1)[0] for t in texts]
    two = [chunk(SDXL.tokenizer_2, SDXL.text_encoder_2, t, clip_skip + 1) for t in texts]
    sides = torch.cat(one, dim=1), torch.cat([layer for layer, _ in two], dim=1)
    assert torch.equal(made.embeds, torch.cat(sides, dim=-1))
    assert made.pooled is not None
    assert torch.equal(made.pooled, two[0][1].text_embeds)
    assert not torch.equal(made.pooled, two[1][1].text_embeds)


def test_sdxls_shorter_prompt_is_followed_by_empty_chunks() -> None:
    made = encoded(SDXL, "a cat", text_2=LONG).embeds
    empty = encoded(SDXL, "").embeds
    assert made.shape == (1, 154, 64)
    assert torch.equal(made[:, 77:, :32], empty[..., :32])
    assert torch.equal(made[:, :, 32:], encoded(SDXL, LONG).embeds[..., 32:])


@pytest.mark.parametrize("family", ["sd1", "sd2"])
@pytest.mark.parametrize("swapped", [False, True])
def test_both_prompts_come_to_one_length(family: str, swapped: bool) -> None:
    components = FAMILIES[family]
    texts = ("a cat", LONG) if swapped else (LONG, "a cat")
    made = condition(components, recipe(texts[0], negative_prompt=texts[1]))
    assert made.negative_prompt_embeds is not None
    both = made.prompt_embeds, made.negative_prompt_embeds
    longer, shorter = both[::-1] if swapped else both
    assert torch.equal(longer, encoded(components, LONG).embeds)
    assert torch.equal(shorter[:, :77], encoded(components, "a cat").embeds)
    assert torch.equal(shorter[:, 77:], encoded(components, "").embeds)


def test_sdxls_zeros_are_as_long_as_the_prompt() -> None:
    made = condition(SDXL, recipe(LONG))
    assert made.negative_prompt_embeds is not None
    assert made.negative_prompt_embeds.shape == made.prompt_embeds.shape == (1, 154, 64)
    assert not made.negative_prompt_embeds.any()


def test_a_long_prompt_does_not_change_its_neighbours() -> None:
    recipes = [recipe("a cat", seed=1), recipe(LONG, seed=2), recipe("a dog", seed=3)]
    resolved = [resolve(one, SD1) for one in recipes]
    assert len(list(batches(resolved, 3))) == 1
    together = generate(SD1, recipes, batch_size=3)
    alone = [generate(SD1, one)[0] for one in recipes]
    for one, other in zip(together, alone, strict=True):
        assert one.recipe == other.recipe
        assert torch.allclose(one.latents, other.latents, atol=2e-4)
        assert one.seconds > 0


def test_words_after_the_75th_change_the_picture() -> None:
    pictures = generate(SD1, [recipe(LONG), recipe(LONG + " of it")])
    assert not torch.equal(pictures[0].latents, pictures[1].latents)


# -- diffusers -------------------------------------------------------------------------------------

HARD = [
    ("a (cat:1.4) in [a hat]", {}),
    (LONG, {"negative_prompt": "a (dog:1.2)"}),
    ("a cat BREAK (a hat)", {"negative_prompt": LONG, "clip_skip": 2}),
    ("a (cat:0.3)", {"emphasis": "no-norm", "guidance_scale": 1.0}),
]


@pytest.mark.parametrize(("prompt", "settings"), HARD, ids=lambda value: str(value)[:24])
@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_makes_the_same_of_our_embeddings(
    family: str, prompt: str, settings: dict[str, Any]
) -> None:
    components, wanted = FAMILIES[family], recipe(prompt, **settings)
    made = condition(components, resolve(wanted, components))
    embeds = {
        name: getattr(made, name)
        for name in ("prompt_embeds", "pooled_prompt_embeds", "negative_prompt_embeds",
                     "negative_pooled_prompt_embeds")
        if getattr(made, name) is not None
    }  # fmt: skip
    theirs = pipeline(components, wanted, [7])(
        **embeds,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        width=32,
        height=24,
        generator=[torch.Generator("cpu").manual_seed(7)],
        output_type="latent",
    ).images
    assert torch.equal(generate(components, wanted)[0].latents, theirs[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt_2": "a dog"},
        {"prompt_2": "a dog", "negative_prompt": "a hat"},
        {"prompt_2": "a dog", "negative_prompt": "a hat", "negative_prompt_2": "a house"},
        {"prompt_2": "a dog", "clip_skip": 2, "guidance_scale": 1.0},
    ],
    ids=str,
)
def test_two_prompts_for_sdxl(settings: dict[str, Any]) -> None:
    wanted = recipe(**settings)
    picture = generate(SDXL, wanted)[0]
    (latents,), (image,) = reference(SDXL, wanted, [7])
    assert torch.equal(picture.latents, latents)
    assert np.array_equal(np.asarray(picture.image), np.asarray(image))
    assert not torch.equal(picture.latents, generate(SDXL, recipe())[0].latents)


# -- the Recipe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["prompt_2", "negative_prompt_2"])
def test_one_text_encoder_has_no_second_prompt(name: str) -> None:
    with pytest.raises(SettingError, match=rf"{name} needs a model with two .*mini has one"):
        resolve(recipe(negative_prompt="", **{name: "a dog"}), SD1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negative_prompt_2": "x"}, "negative_prompt_2 needs a negative_prompt"),
        (
            {"negative_prompt": "", "negative_prompt_2": "x", "guidance_scale": 1},
            "negative_prompt_2 needs guidance",
        ),
        ({"prompt": "a AND b", "prompt_2": "x"}, "prompt_2 cannot be combined with AND"),
        ({"emphasis": "strong"}, "emphasis must be one of a1111, no-norm, none, got 'strong'"),
        ({"emphasis": None}, "emphasis must be text, got None"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        recipe(**settings)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt", "prompt_2"])
def test_a_recipe_refuses_what_cannot_be_read(name: str) -> None:
    with pytest.raises(PromptError, match=rf"^{name}: weight must be a number, got '1.2.3'\n"):
        recipe(**{name: "a (cat:1.2.3)"})
    assert getattr(recipe(**{name: "a (cat:1.2.3)"}, emphasis="none"), name) == "a (cat:1.2.3)"


def test_the_key_knows_emphasis_where_there_is_some() -> None:
    def key(prompt: str, **settings: Any) -> str:
        return content_key(recipe(prompt, **settings), {})

    assert key("a cat") == key("a cat", emphasis="none")
    assert key("a (cat)") != key("a (cat)", emphasis="none")
    assert key("a cat AND a dog") != key("a cat AND a dog", emphasis="none")
    settings = {"negative_prompt": "[a dog]"}
    assert key("a cat", **settings) != key("a cat", **settings, emphasis="no-norm")


def test_a_picture_from_before_emphasis_is_remade_without() -> None:
    import json

    from sdloop.metadata.record import record_of

    old = {name: v for name, v in recipe("a (cat)").to_dict().items() if name != "emphasis"}
    record = record_of({"sdloop": json.dumps({"schema": 1, "recipe": old})})
    assert record is not None
    assert record.recipe == recipe("a (cat)", emphasis="none")
