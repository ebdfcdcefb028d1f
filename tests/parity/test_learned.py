"""Pictures with learned words are bit-equal to those of diffusers' pipelines with the same file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.loras import lora_pairs, save_kohya
from helpers.parity import pipeline
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from safetensors.torch import save_file
from torch import Tensor

from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 5, "width": 32, "height": 24,
             "guidance_scale": 7.5}  # fmt: skip
    return Recipe(**(usual | settings))


PROMPTS = ["a photo of a <frog>", "<frog>, two <frog>s at night", "<frog> <frog>"]


def vectors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def theirs(pipe: Any, wanted: Recipe) -> tuple[Tensor, Any]:
    options = {
        "prompt": wanted.prompt,
        "negative_prompt": wanted.negative_prompt,
        "num_inference_steps": wanted.steps,
        "guidance_scale": wanted.guidance_scale,
        "width": wanted.width,
        "height": wanted.height,
    }
    made = []
    for kind in ("latent", "np"):
        generator = [torch.Generator("cpu").manual_seed(wanted.seed)]
        made.append(pipe(**options, generator=generator, output_type=kind).images)
    return made[0], (made[1][0] * 255).round().astype(np.uint8)


def assert_equal(components: Components, pipe: Any, wanted: Recipe) -> None:
    latents, pixels = theirs(pipe, wanted)
    picture = generate(components, wanted)[0]
    assert torch.equal(picture.latents, latents[0])
    assert np.array_equal(np.asarray(picture.image), pixels)
    assert pixels.std() > 1


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("make", [tiny_sd1, tiny_sd2], ids=["sd1", "sd2"])
def test_diffusers_files(make: Any, count: int, prompt: str, tmp_path: Path) -> None:
    path = str(tmp_path / "learned_embeds.safetensors")
    save_file({"<frog>": vectors(count)}, path)
    wanted = recipe(prompt=prompt, negative_prompt="a <frog>", embeddings=[path], steps=3)
    pipe = pipeline(make(), wanted, [7])
    pipe.load_textual_inversion(path)
    assert_equal(make(), pipe, wanted)


def test_capitals_do_not_matter(tmp_path: Path) -> None:
    """To diffusers neither, of one vector: of several it replaces the plain spelling alone."""
    path = str(tmp_path / "learned_embeds.safetensors")
    save_file({"<Frog>": vectors(1)}, path)
    wanted = recipe(prompt="a <FROG> and a <frog>", embeddings=[path], steps=3)
    pipe = pipeline(tiny_sd1(), wanted, [7])
    pipe.load_textual_inversion(path)
    assert_equal(tiny_sd1(), pipe, wanted)


@pytest.mark.parametrize("suffix", ["bin", "pt"])
def test_pickled_files(suffix: str, tmp_path: Path) -> None:
    path = str(tmp_path / f"frogs.{suffix}")
    a1111 = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors(2)}, "name": "x"}
    torch.save({"<frog>": vectors(2)} if suffix == "bin" else a1111, path)
    wanted = recipe(prompt="a <frog> at night", embeddings=[f"{path}:<frog>"], steps=3)
    pipe = pipeline(tiny_sd1(), wanted, [7])
    pipe.load_textual_inversion(path, token="<frog>")
    assert_equal(tiny_sd1(), pipe, wanted)


def test_two_words_in_one_prompt(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{name}.safetensors") for name in ("frog", "dog")]
    for seed, path in enumerate(paths):
        save_file({f"<{Path(path).stem}>": vectors(2, seed)}, path)
    wanted = recipe(prompt="a <dog> and a <frog>", embeddings=paths, steps=3)
    pipe = pipeline(tiny_sd1(), wanted, [7])
    pipe.load_textual_inversion(paths)
    assert_equal(tiny_sd1(), pipe, wanted)


def with_known_end() -> Components:
    """SDXL whose encoders look for the end token by its id.

    With the ids of old configs they look for the highest id, and diffusers adds a word's above
    all others: its summary is read in the middle of the prompt then. Ours is read at the end.
    """
    components = tiny_sdxl()
    assert components.text_encoder_2 is not None
    assert components.tokenizer_2 is not None
    components.text_encoder_2.text_model.eos_token_id = components.tokenizer_2.eos_token_id
    return components


@pytest.mark.parametrize("count", [1, 2])
def test_sdxl_knows_it_in_both_encoders(count: int, tmp_path: Path) -> None:
    path = str(tmp_path / "frog.safetensors")
    tensors = {"clip_l": vectors(count), "clip_g": vectors(count, seed=1)}
    save_file(tensors, path)
    wanted = recipe(prompt="a <frog> at night", embeddings=[f"{path}:<frog>"], steps=3)
    pipe = pipeline(with_known_end(), wanted, [7])
    for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
        pipe.load_textual_inversion(
            {"<frog>": tensors[name]},
            text_encoder=getattr(pipe, f"text_encoder{suffix}"),
            tokenizer=getattr(pipe, f"tokenizer{suffix}"),
        )
    assert_equal(with_known_end(), pipe, wanted)
    assert_equal_to_ours_at_the_end(wanted)


def assert_equal_to_ours_at_the_end(wanted: Recipe) -> None:
    old, known = (generate(c, wanted)[0].latents for c in (tiny_sdxl(), with_known_end()))
    assert torch.equal(old, known)


def test_beside_a_lora(tmp_path: Path) -> None:
    """The word is read by the text encoder that the LoRA has changed."""
    lora = save_kohya(lora_pairs(tiny_sd1()), tmp_path / "random.safetensors")
    path = str(tmp_path / "learned_embeds.safetensors")
    save_file({"<frog>": vectors(2)}, path)
    wanted = recipe(prompt="a <frog> at night", embeddings=[path], steps=3)
    pipe = pipeline(tiny_sd1(), wanted, [7])
    pipe.load_textual_inversion(path)
    pipe.load_lora_weights(str(lora), adapter_name="a")
    pipe.set_adapters(["a"], [0.7])
    assert_equal(tiny_sd1(), pipe, replace(wanted, loras=[f"{lora}:0.7"]))
