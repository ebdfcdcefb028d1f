"""Models and LoRAs for a few steps: what recognises them, and what is no reason to."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ldm import ldm_tensors, save_ldm_file
from helpers.loras import lora_pairs, save_kohya
from helpers.model_facts import Model
from helpers.tiny import (
    EULER,
    save_diffusers_folder,
    tiny_sd1,
    tiny_sd2,
    tiny_sdxl,
    with_guidance_input,
    write_json,
)
from safetensors.torch import save_file

from sdloop.models.checkpoint.few_steps import few_steps_of, sounds_like
from sdloop.models.checkpoint.few_steps_loras import HASHES, lora_preset
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.lora import find_lora
from sdloop.models.components.load import load_components
from sdloop.recipe.presets import HYPER_UNET, parse_preset
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

# As in the published scheduler_config.json of sd-turbo; that of sdxl-turbo is of Euler a.
TURBO = {**EULER, "timestep_spacing": "trailing", "prediction_type": "epsilon"}
EULER_A = "EulerAncestralDiscreteScheduler"
LCM = {"_class_name": "LCMScheduler", "original_inference_steps": 50}
UNET = {"sample_size": 64}


def known(family: str, scheduler: dict[str, Any], unet: dict[str, Any] = UNET, name: str = "a"):  # type: ignore[no-untyped-def]
    return few_steps_of([name], family, {"unet": unet, "scheduler": scheduler})


@pytest.mark.parametrize(
    ("family", "scheduler", "kind"),
    [
        ("sd2", TURBO, "SD-Turbo"),
        ("sdxl", {**TURBO, "_class_name": EULER_A}, "SDXL-Turbo"),
        ("sd1", LCM, "LCM"),
    ],
)
def test_a_folder_is_recognised_by_its_configs(
    family: str, scheduler: dict[str, Any], kind: str
) -> None:
    found = known(family, scheduler)
    assert found is not None
    assert found.kind == kind
    steps = 4 if kind == "LCM" else 1
    assert found.fields == {"steps": steps, "guidance_scale": 1.0}  # the scheduler is its own


@pytest.mark.parametrize(
    ("family", "scheduler", "unet"),
    [
        ("sdxl", TURBO, {"sample_size": 128}),  # a fine-tune of SDXL
        ("sd1", TURBO, UNET),
        ("sd2", {**TURBO, "prediction_type": "v_prediction"}, UNET),
        ("sd2", {**TURBO, "rescale_betas_zero_snr": True}, UNET),
        ("sd2", {**TURBO, "timestep_spacing": "leading"}, UNET),
        ("sd2", {**TURBO, "_class_name": "DDIMScheduler"}, UNET),
        ("sd2", TURBO, {"sample_size": 96}),
        ("sdxl", {"_class_name": "EDMDPMSolverMultistepScheduler"}, {"sample_size": 128}),
        ("upscaler", LCM, UNET),
    ],
)
def test_ordinary_models_are_not_taken_for_one(
    family: str, scheduler: dict[str, Any], unet: dict[str, Any]
) -> None:
    assert known(family, scheduler, unet) is None


@pytest.mark.parametrize(
    ("name", "family", "steps", "scheduler"),
    [
        ("models/sd_turbo.safetensors", "sd2", 1, "euler"),
        ("stabilityai/sd-turbo", "sd2", 1, "euler"),
        ("sd_xl_turbo_1.0_fp16.safetensors", "sdxl", 1, "euler-a"),
        ("sdxl-turbo", "sdxl", 1, "euler-a"),
        ("sdxl_lightning_8step.safetensors", "sdxl", 8, "euler"),
        ("sdxl_lightning_1step_x0.safetensors", "sdxl", 1, "euler"),
    ],
)
def test_published_names(name: str, family: str, steps: int, scheduler: str) -> None:
    found = known(family, {"_class_name": "PNDMScheduler"}, {"sample_size": 128}, name)
    assert found is not None
    assert found.fields == {
        "steps": steps,
        "scheduler": scheduler,
        "guidance_scale": 1.0,
        "timestep_spacing": "trailing",
    }
    assert known("sd1", {"_class_name": "PNDMScheduler"}, UNET, name) is None  # of another family


HYPER = "ByteDance/Hyper-SD/Hyper-SDXL-1step-Unet.safetensors"


def test_the_unet_of_hyper_sd_for_one_step_starts_at_timestep_800() -> None:
    """Unless something else decides its steps; its LoRA is another matter."""
    found = known("sdxl", EULER, {"sample_size": 128}, HYPER)
    assert found is not None and found.fields == HYPER_UNET
    assert known("sd1", EULER, UNET, HYPER) is None
    assert known("sdxl", EULER, {"sample_size": 128}, "Hyper-SDXL-1step-lora.safetensors") is None
    model = Model(usual_fields=dict(found.fields), steps=1, guidance_scale=1.0)

    def chosen(**settings: Any) -> tuple[Any, ...]:
        recipe = resolve(Recipe(prompt="", seed=0, **settings), model)
        return recipe.scheduler, recipe.steps, recipe.timesteps

    assert chosen() == chosen(steps=1) == ("lcm", 1, (800,))
    assert chosen(steps=4) == ("lcm", 4, None)
    assert chosen(hires=2.0) == ("lcm", 2, None)
    assert chosen(timesteps=(700, 300)) == ("lcm", 2, (700, 300))
    assert chosen(scheduler="tcd", steps=1) == ("tcd", 1, None)  # as files of pictures name it


def test_the_preset_of_one_step_is_that_of_the_unet_or_of_the_lora() -> None:
    usual = {"prompt": "", "seed": 0, "preset": "hyper:1"}
    lora = Recipe.from_dict(usual | {"unet": "sdxl_base.safetensors"})
    assert (lora.scheduler, lora.timesteps, lora.eta) == ("tcd", None, 1.0)
    for name in ("unet", "model"):
        unet = Recipe.from_dict(usual | {name: HYPER})
        assert (unet.scheduler, unet.timesteps, unet.eta) == ("lcm", (800,), 0.0)
    other = Recipe.from_dict(usual | {"unet": HYPER, "scheduler": "ddim", "steps": 2})
    assert (other.scheduler, other.steps, other.timesteps) == ("ddim", 2, None)


@pytest.mark.parametrize(
    "name", ["turbovision_xl.safetensors", "dreamshaperXL_v21TurboDPMSDE", "sdxl_lightning_3step"]
)
def test_a_name_that_only_sounds_like_one_changes_nothing(name: str) -> None:
    assert known("sdxl", {"_class_name": "EulerDiscreteScheduler"}, UNET, name) is None


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("realvisxlV40_v40LightningBakedvae", "lightning"),
        ("dreamshaperXL_v21TurboDPMSDE", "turbo"),
        ("Hyper-SD15-8steps-CFG-lora", "hyper:8"),
        ("sdxl_lightning_4step_lora", "lightning:4"),
        ("photonLCM_v10", "lcm"),
        ("lcm-lora-sdv1-5", "lcm"),
        ("hyperrealism_v3", None),
        ("lightning_storm", None),
        ("turbocharged", None),
        ("ink", None),
    ],
)
def test_what_names_sound_like(name: str, preset: str | None) -> None:
    assert sounds_like([name]) == preset
    assert preset is None or parse_preset(preset)


def test_sd_turbo_as_a_single_file_makes_pictures_as_its_folder_does(tmp_path: Path) -> None:
    """Its scheduler is in the Recipe, so that files made before keep their own."""
    turbo = replace(tiny_sd2(), scheduler_config=TURBO)
    layout = save_diffusers_folder(tiny_sd2(), tmp_path / "layout")
    file = save_ldm_file(turbo, tmp_path / "sd_turbo.safetensors")
    found = find_checkpoint(str(file), layout=layout)
    recipe = resolve(Recipe(prompt="a", seed=1), found)
    assert (recipe.steps, recipe.guidance_scale) == (1, 1.0)
    assert (recipe.scheduler, recipe.timestep_spacing) == ("euler", "trailing")
    old = {"steps": 25, "guidance_scale": 7.5, "scheduler": "ddim", "sigmas": None}
    before = Recipe.from_dict({**recipe.to_dict(), **old, "timestep_spacing": None})
    assert resolve(before, found) == before


def test_sd_turbo_under_another_name(tmp_path: Path) -> None:
    """It alone is SD 2 with the tensor names of SDXL's code."""
    old, new = "cond_stage_model.model.", "conditioner.embedders.0.model."
    tensors = {n.replace(old, new): tensor for n, tensor in ldm_tensors(tiny_sd2()).items()}
    epsilon = replace(tiny_sd2(), scheduler_config=EULER)
    layout = save_diffusers_folder(epsilon, tmp_path / "layout")
    save_file(tensors, tmp_path / "mine.safetensors")
    found = find_checkpoint(str(tmp_path / "mine.safetensors"), layout=layout)
    assert found.advice.few_steps is not None
    assert found.advice.few_steps.kind == "SD-Turbo"
    assert (found.steps, found.usual_fields["scheduler"]) == (1, "euler")
    save_file(ldm_tensors(tiny_sd2()), tmp_path / "plain.safetensors")
    plain = find_checkpoint(str(tmp_path / "plain.safetensors"), layout=layout)
    assert plain.advice.few_steps is None


def test_sdxl_turbo_as_a_single_file_is_of_512_pixels(tmp_path: Path) -> None:
    layout = save_diffusers_folder(tiny_sdxl(), tmp_path / "layout")
    file = save_ldm_file(tiny_sdxl(), tmp_path / "sd_xl_turbo_1.0_fp16.safetensors")
    found = find_checkpoint(str(file), layout=layout)
    assert found.native_size == (64 * found.size_multiple,) * 2
    assert load_components(found, device="cpu").native_size == found.native_size
    plain = find_checkpoint(str(file.rename(tmp_path / "mine.safetensors")), layout=layout)
    assert plain.native_size == (16 * plain.size_multiple,) * 2
    assert plain.advice.few_steps is None
    assert plain.configs == found.configs  # and so its pictures keep their keys


def test_the_one_step_lightning_file_predicts_the_clean_picture(tmp_path: Path) -> None:
    layout = save_diffusers_folder(tiny_sdxl(), tmp_path / "layout")
    file = save_ldm_file(tiny_sdxl(), tmp_path / "sdxl_lightning_1step_x0.safetensors")
    assert find_checkpoint(str(file), layout=layout).prediction_type == "sample"
    other = file.rename(tmp_path / "sdxl_lightning_2step.safetensors")
    assert find_checkpoint(str(other), layout=layout).prediction_type == "epsilon"


def test_an_lcm_unet_in_a_single_file(tmp_path: Path) -> None:
    lcm = with_guidance_input(tiny_sd1())
    tensors = ldm_tensors(lcm)
    save_file(tensors, tmp_path / "m.safetensors")
    layout = save_diffusers_folder(lcm, tmp_path / "layout")
    found = find_checkpoint(str(tmp_path / "m.safetensors"), layout=layout)
    assert found.embeds_guidance
    assert found.usual_fields == {"steps": 4, "guidance_scale": 8.0, "scheduler": "lcm"}
    loaded = load_components(found, device="cpu").unet.time_embedding.cond_proj.weight
    assert torch.equal(loaded, lcm.unet.time_embedding.cond_proj.weight)
    # The layouts of sdloop's own know nothing of it: the file's tensors say how wide it is.
    own = find_checkpoint(str(tmp_path / "m.safetensors"))
    width = lcm.unet.config.time_cond_proj_dim
    assert own.configs["unet"]["time_cond_proj_dim"] == width


def test_what_a_model_says_of_itself_wins(tmp_path: Path) -> None:
    folder = save_diffusers_folder(replace(tiny_sd1(), scheduler_config=LCM), tmp_path / "lcm")
    assert find_checkpoint(str(folder)).steps == 4
    index = json.loads((folder / "model_index.json").read_text())
    write_json(folder / "model_index.json", index | {"_sdloop": {"guidance_scale": 2.0}})
    found = find_checkpoint(str(folder))
    assert (found.steps, found.guidance_scale) == (25, 2.0)


# LoRAs.


def test_loras_are_known_by_hash_name_or_metadata(tmp_path: Path) -> None:
    assert lora_preset(
        ["ink"], {}, "a764e6859b6e04047cd761c08ff0cee96413a8e004c9f07707530cd776b19141"
    ) == ("lcm", "hash")
    assert lora_preset(["Hyper-SDXL-2steps-lora.safetensors"], {}, "") == ("hyper:2", "name")
    notes = {"ss_output_name": "sdxl_lightning_8step_lora"}
    assert lora_preset(["ink.safetensors"], notes, "") == ("lightning:8", "metadata")
    assert lora_preset(["lightning/ink.safetensors"], {"ss_steps": "4"}, "") is None
    file = save_kohya(lora_pairs(tiny_sd1()), tmp_path / "lcm-lora-sdv1-5.safetensors")
    assert find_lora(str(file)).preset == ("lcm", "name")
    assert find_lora(str(file.rename(tmp_path / "ink.safetensors"))).preset is None


def test_the_hashes_are_of_presets() -> None:
    assert all(len(sha256) == 64 and parse_preset(preset) for sha256, preset in HASHES.items())


def test_a_unet_of_its_own_decides(tmp_path: Path) -> None:
    """``--unet`` with a file of SDXL-Lightning, over an ordinary SDXL."""
    base = save_diffusers_folder(tiny_sdxl(), tmp_path / "sdxl")
    tensors = {name: tensor.clone() for name, tensor in tiny_sdxl().unet.state_dict().items()}
    for stem, steps, prediction in (
        ("sdxl_lightning_8step_unet", 8, "epsilon"),
        ("sdxl_lightning_1step_unet_x0", 1, "sample"),
        ("mine", 25, "epsilon"),
    ):
        file = tmp_path / f"{stem}.safetensors"
        save_file(tensors, file)
        found = find_checkpoint(str(base), unet=str(file))
        assert (found.steps, found.prediction_type) == (steps, prediction)
        assert found.guidance_scale == (5.0 if stem == "mine" else 1.0)
