"""Perturbed-attention guidance, compared with diffusers' pipelines."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPAGPipeline, StableDiffusionXLPAGPipeline
from diffusers.guiders import SkipLayerGuidance
from diffusers.hooks import LayerSkipConfig, apply_layer_skip
from helpers.loras import lora_pairs, save_peft
from helpers.parity import pipeline, their_scheduler
from helpers.tiny import tiny_inpaint, tiny_sd1, tiny_sd2, tiny_sdxl, tiny_upscaler
from torch import Tensor

from sdloop.conditioning.encode import condition
from sdloop.errors import SettingError
from sdloop.guidance.perturbed_attention import Perturbed, skipping, with_identity_attention
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 7, "steps": 3, "width": 32, "height": 32}
    return Recipe(**{**usual, "scheduler": "ddim", "guidance_scale": 7.5, **settings})


def latents(components: Components, wanted: Recipe) -> Tensor:
    return generate(components, wanted)[0].latents


def theirs(components: Components, wanted: Recipe, layers: list[str]) -> Tensor:
    """What diffusers' pipeline for perturbed attention makes of it."""
    components = copy.deepcopy(components)  # it leaves the UNet as it finds it, or so it says
    kind = StableDiffusionXLPAGPipeline if components.takes_sizes else StableDiffusionPAGPipeline
    parts = pipeline(components, wanted, [wanted.seed]).components
    parts["scheduler"] = their_scheduler(components, wanted, [wanted.seed])
    if components.takes_sizes:
        options: dict[str, Any] = {
            "force_zeros_for_empty_prompt": components.force_zeros_for_empty_prompt,
            "add_watermarker": False,
        }
    else:
        options = {"requires_safety_checker": False}
    pipe = kind(**parts, pag_applied_layers=layers, **options)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        wanted.prompt,
        width=wanted.width,
        height=wanted.height,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        pag_scale=wanted.pag_scale,
        generator=torch.Generator().manual_seed(wanted.seed),
        output_type="latent",
    )
    found: Tensor = made.images[0]
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("guidance_scale", [1, 7.5])
@pytest.mark.parametrize("layers", ["mid", pytest.param("down,mid,up", marks=pytest.mark.slow)])
def test_perturbed_attention_is_that_of_diffusers_pipelines(
    family: str, guidance_scale: float, layers: str
) -> None:
    components = FAMILIES[family]()
    wanted = recipe(pag_scale=3, pag_layers=layers, guidance_scale=guidance_scale)
    ours = latents(components, wanted)
    expected = theirs(components, wanted, layers.split(","))
    torch.testing.assert_close(ours, expected, atol=5e-4, rtol=5e-4)
    assert not torch.allclose(ours, latents(components, recipe(guidance_scale=guidance_scale)))


@pytest.mark.parametrize("family", FAMILIES)
def test_skipped_layers_are_those_of_diffusers_hooks(family: str) -> None:
    """And guidance by them is what its guider makes of the three predictions."""
    components = FAMILIES[family]()
    wanted = resolve(recipe(), components)
    inputs = condition(components, wanted).unet_inputs(guided=True)
    sample, t = torch.randn(1, 4, 16, 16).repeat(2, 1, 1, 1), torch.tensor(500.0)
    hooked = copy.deepcopy(components.unet)
    block = LayerSkipConfig(indices=[0], fqn="mid_block.attentions.0.transformer_blocks")
    apply_layer_skip(hooked, block)
    layers = "mid_block.attentions.0.transformer_blocks.0"
    twin = skipping(components.unet, layers)
    seen = Perturbed(unet=components.unet, worse=[(twin, 2.8)], pictures=1)
    with torch.no_grad():
        whole = components.unet(sample, t, **inputs, return_dict=False)[0]
        worse = hooked(sample, t, **inputs, return_dict=False)[0]
        torch.testing.assert_close(twin(sample, t, **inputs, return_dict=False)[0], worse)
        uncond, text = seen(sample, t, **inputs, return_dict=False)[0].chunk(2)
    assert not torch.allclose(whole, worse)
    guider = SkipLayerGuidance(
        guidance_scale=7.5, skip_layer_guidance_scale=2.8, skip_layer_guidance_stop=1.0,
        skip_layer_config=block,
    )  # fmt: skip
    guider.set_state(1, 3, torch.tensor(500))
    expected = guider.forward(whole[1:], whole[:1], worse[1:]).pred
    torch.testing.assert_close(uncond + 7.5 * (text - uncond), expected, atol=1e-4, rtol=1e-4)


def test_the_unet_stays_as_it_is() -> None:
    components = tiny_sd1()
    processors = dict(components.unet.attn_processors)
    before = latents(components, recipe())
    latents(components, recipe(pag_scale=3, slg_scale=2))
    assert components.unet.attn_processors == processors
    assert torch.equal(latents(components, recipe()), before)
    twin = with_identity_attention(components.unet, "mid")
    pairs = zip(twin.parameters(), components.unet.parameters(), strict=True)
    assert all(one.data_ptr() == two.data_ptr() for one, two in pairs)


def test_both_at_once_and_a_scale_of_0() -> None:
    components = tiny_sd1()
    off = latents(components, recipe())
    assert torch.equal(latents(components, recipe(pag_scale=0, slg_scale=0)), off)
    made = [off] + [
        latents(components, recipe(pag_scale=pag, slg_scale=slg))
        for pag, slg in ((2, None), (None, 2), (2, 2))
    ]
    for index, one in enumerate(made):
        assert not any(torch.allclose(one, other) for other in made[:index])


def test_each_prompt_of_several_has_its_share() -> None:
    components = tiny_sd1()
    alone = latents(components, recipe(pag_scale=3, prompt="a cat"))
    half = "a cat :0.5 AND a cat :0.5"
    shared = latents(components, recipe(pag_scale=3, prompt=half))
    torch.testing.assert_close(shared, alone, atol=1e-3, rtol=1e-3)
    other = latents(components, recipe(pag_scale=3, prompt="a cat :0.5 AND a dog :0.5"))
    assert not torch.allclose(other, alone)


def test_a_batch_is_led_as_each_of_it_alone() -> None:
    components = tiny_sdxl()
    pair = [recipe(seed=seed, prompt=f"a {seed} AND a cat", pag_scale=3) for seed in (1, 2)]
    together = generate(components, pair, batch_size=2)
    for one, picture in zip(pair, together, strict=True):
        alone = latents(components, one)
        torch.testing.assert_close(picture.latents, alone, atol=5e-4, rtol=5e-4)


def test_beside_windows_loras_intervals_and_other_guidance(tmp_path: Path) -> None:
    components = tiny_sd1()
    lora = save_peft(lora_pairs(components, parts=("unet",)), tmp_path / "a.safetensors")
    usual = {"pag_scale": 3.0, "width": 64}
    made = [
        latents(components, recipe(**{**usual, **settings}))
        for settings in (
            {},
            {"tile": 32},
            {"loras": (str(lora),)},
            {"guidance_interval": "0.5..5"},
            {"guidance": "apg"},
            {"guidance": "cfg++", "guidance_scale": 0.6},
        )
    ]
    for index, one in enumerate(made):
        assert one.isfinite().all()
        assert not any(torch.allclose(one, other) for other in made[:index])


def test_through_one_window_it_is_the_whole() -> None:
    components = tiny_sd1()
    from sdloop.pipeline.tiled_unet import Windows

    wanted = resolve(recipe(pag_scale=3), components)
    inputs = condition(components, wanted).unet_inputs(guided=True)
    twin, sample = with_identity_attention(components.unet, "mid"), torch.randn(2, 4, 16, 16)
    plain = Perturbed(unet=components.unet, worse=[(twin, 3.0)], pictures=1)
    behind = Perturbed(
        unet=Windows(unet=components.unet, side=16),
        worse=[(Windows(unet=twin, side=16), 3.0)],
        pictures=1,
    )
    with torch.no_grad():
        one, two = (
            unet(sample, torch.tensor(9.0), **inputs, return_dict=False)[0]
            for unet in (plain, behind)
        )
    assert torch.equal(one, two)


@pytest.mark.parametrize("field", ["pag", "slg"])
def test_a_name_without_such_a_layer_is_told_those_with_one(field: str) -> None:
    wanted = recipe(**{f"{field}_scale": 1, f"{field}_layers": "mid,blocks.9"})
    message = (
        f"{field}_layers must name layers with self-attention, got 'blocks.9'; "
        "layers that have it: "
        "down_blocks.0, up_blocks.1, mid_block"
    )
    with pytest.raises(SettingError, match=message):
        latents(tiny_sd1(), wanted)


def test_names_are_whole_ones() -> None:
    unet = tiny_sdxl().unet
    for layers, count in (("mid", 2), ("up_blocks.0", 4), ("mid_block.attentions.0", 2)):
        twin = with_identity_attention(unet, layers)
        changed = [
            name
            for name, processor in twin.attn_processors.items()
            if type(processor) is not type(unet.attn_processors[name])
        ]
        assert len(changed) == count, changed
    with pytest.raises(SettingError, match="got 'mi'"):
        with_identity_attention(unet, "mi")


def test_inpainting_models_and_upscalers_have_it_too() -> None:
    for unet in (tiny_inpaint("sd1").unet, tiny_upscaler().unet):
        assert with_identity_attention(unet, "mid") is not unet
