"""From prompts to the UNet's conditioning."""

from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sdxl

from sdloop.conditioning.encode import condition
from sdloop.conditioning.stack import stack
from sdloop.conditioning.tokens import tokenize
from sdloop.conditioning.value import Conditioning
from sdloop.recipe.recipe import Recipe

SD1, SDXL = tiny_sd1(), tiny_sdxl()


def recipe(prompt: str = "a cat", **settings: object) -> Recipe:
    usual = {"width": 32, "height": 48, "seed": 1}
    return Recipe(prompt=prompt, **(usual | settings))  # type: ignore[arg-type]


def ids_of(tokenizer: Any, *prompts: str) -> torch.Tensor:
    """The ids of each prompt as diffusers has them, cut where it is too long."""
    ids: torch.Tensor = tokenizer(
        list(prompts), padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


@pytest.mark.parametrize("prompt", ["", "a cat", "東京 🐎", "a photo: 16:9, a|b", "the " * 75])
@pytest.mark.parametrize("tokenizer", [SD1.tokenizer, SDXL.tokenizer_2], ids=["sd1", "sdxl-2"])
def test_a_plain_prompt_is_one_chunk_with_the_tokenizers_own_ids(
    tokenizer: Any, prompt: str
) -> None:
    (only,) = tokenize(tokenizer, prompt)
    assert torch.equal(only.ids, ids_of(tokenizer, prompt))
    assert only.weights is None


def test_a_long_prompt_goes_on_in_a_second_chunk() -> None:
    first, second = tokenize(SD1.tokenizer, "the " * 75 + "last words")
    assert torch.equal(first.ids, ids_of(SD1.tokenizer, "the " * 75))
    assert torch.equal(second.ids, ids_of(SD1.tokenizer, "last words"))


def test_without_guidance_there_is_no_twin() -> None:
    made = condition(SD1, recipe(guidance_scale=1))
    assert made.negative_prompt_embeds is None
    assert made.unet_inputs(guided=False)["encoder_hidden_states"].shape == (1, 77, 32)
    with pytest.raises(ValueError, match="without negative_prompt_embeds"):
        made.unet_inputs(guided=True)


def test_the_unconditional_half_comes_first() -> None:
    made = condition(SD1, recipe(negative_prompt="a dog"))
    twinned = made.unet_inputs(guided=True)["encoder_hidden_states"]
    assert torch.equal(twinned[0], condition(SD1, recipe("a dog")).prompt_embeds[0])
    assert torch.equal(twinned[1], made.prompt_embeds[0])


def test_no_negative_prompt_is_zeros_for_sdxl_and_the_empty_text_is_not() -> None:
    untold = condition(SDXL, recipe())
    assert untold.negative_prompt_embeds is not None
    assert untold.negative_pooled_prompt_embeds is not None
    assert not untold.negative_prompt_embeds.any()
    assert not untold.negative_pooled_prompt_embeds.any()
    empty = condition(SDXL, recipe(negative_prompt=""))
    assert empty.negative_prompt_embeds is not None
    assert empty.negative_prompt_embeds.any()


def test_sdxl_is_told_heights_before_widths() -> None:
    told = recipe(original_size=(640, 480), crop_top_left=(3, 5), target_size=(100, 200))
    made = condition(SDXL, told)
    assert made.time_ids is not None
    assert made.time_ids.tolist() == [[480, 640, 3, 5, 200, 100]]
    untold = condition(SDXL, recipe())
    assert untold.time_ids is not None
    assert untold.time_ids.tolist() == [[48, 32, 0, 0, 48, 32]]


def test_sizes_are_told_exactly_in_half_precision() -> None:
    components = tiny_sdxl()
    components.unet.to(torch.bfloat16)
    made = condition(components, recipe(original_size=(1365, 767)))
    assert made.time_ids is not None
    assert made.time_ids[0, :2].tolist() == [767, 1365]


def test_rows_with_and_without_guidance_do_not_mix() -> None:
    rows = [condition(SD1, recipe()), condition(SD1, recipe(guidance_scale=1))]
    with pytest.raises(ValueError, match="must use guidance or none"):
        stack(rows)


def test_clip_skip_leaves_the_last_layers_out() -> None:
    encoder = SD1.text_encoder
    ids = ids_of(SD1.tokenizer, "a cat")
    with torch.no_grad():
        hidden = encoder(ids, output_hidden_states=True).hidden_states[-2]
        layers = getattr(encoder, "text_model", encoder)
        expected = layers.final_layer_norm(hidden)
    assert torch.equal(condition(SD1, recipe(clip_skip=2)).prompt_embeds, expected)


def test_stacking_keeps_rows_and_their_order() -> None:
    rows = [condition(SDXL, recipe(prompt)) for prompt in ("a cat", "a dog", "a cat")]
    batch = stack(rows)
    assert isinstance(batch, Conditioning)
    assert batch.prompt_embeds.shape == (3, 77, 64)
    assert torch.equal(batch.prompt_embeds[1], rows[1].prompt_embeds[0])
    inputs = batch.unet_inputs(guided=True)
    assert inputs["added_cond_kwargs"]["text_embeds"].shape == (6, 32)
    assert inputs["added_cond_kwargs"]["time_ids"].shape == (6, 6)
