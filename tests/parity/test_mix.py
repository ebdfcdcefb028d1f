"""Mixtures are bit-equal to diffusers' pipelines with embeddings mixed by hand."""

from typing import Any

import pytest
import torch
from helpers.parity import pipeline
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from torch import Tensor

from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
CAT, DOG = "a cat", "a dog on the moon"


def recipe(prompt: str = CAT, **settings: Any) -> Recipe:
    usual = {"seed": 7, "steps": 4, "width": 32, "height": 32, "scheduler": "euler"}
    return Recipe(prompt=prompt, **(usual | settings))


def theirs(components: Components, wanted: Recipe, **options: Any) -> Tensor:
    """The final latents of diffusers for what ``options`` say in the place of a prompt."""
    pipe = pipeline(components, wanted, [wanted.seed])
    latents: Tensor = pipe(
        num_inference_steps=wanted.steps,
        guidance_scale=7.5,
        width=wanted.width,
        height=wanted.height,
        generator=[torch.Generator("cpu").manual_seed(wanted.seed)],
        output_type="latent",
        **options,
    ).images
    return latents


def encoded(components: Components, wanted: Recipe, prompt: str) -> dict[str, Tensor]:
    """What diffusers' own pipeline makes of a prompt, by the names under which it takes it."""
    pipe = pipeline(components, wanted, [wanted.seed])
    with torch.no_grad():
        found = pipe.encode_prompt(
            prompt=prompt,
            device=torch.device("cpu"),
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )
    names = ("prompt_embeds", "negative_prompt_embeds")
    pooled = ("pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    return dict(zip(names + pooled, found, strict=False))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheduler", ["euler", "euler-a", "heun"])
def test_mixed_embeddings(family: str, scheduler: str) -> None:
    components = FAMILIES[family]()
    wanted = recipe(
        mix_prompts=(DOG,), mix_weights=(0.75, 0.25), scheduler=scheduler, guidance_scale=7.5
    )
    cat, dog = (encoded(components, wanted, prompt) for prompt in (CAT, DOG))
    mixed = {name: 0.75 * cat[name] + 0.25 * dog[name] for name in cat}
    mixed |= {name: cat[name] for name in cat if name.startswith("negative")}
    ours = generate(components, wanted)[0].latents
    assert torch.equal(ours, theirs(components, wanted, **mixed)[0])
    assert not torch.equal(ours, generate(components, recipe(scheduler=scheduler))[0].latents)


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_prompt_that_changes_on_the_way(family: str) -> None:
    """As diffusers' users do it: with a callback that puts other embeddings in."""
    components = FAMILIES[family]()
    wanted = recipe(f"[{CAT}:{DOG}:3]", steps=5, guidance_scale=7.5)
    dog = encoded(components, wanted, DOG)

    def change(_: Any, index: int, __: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if index != 2:
            return {}
        return {"prompt_embeds": torch.cat([dog["negative_prompt_embeds"], dog["prompt_embeds"]])}

    made = theirs(
        components,
        wanted,
        prompt=CAT,
        callback_on_step_end=change,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    assert torch.equal(generate(components, wanted)[0].latents, made[0])
