"""The embedded model: its training scenes, its training, and the shipped folder."""

import stat
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from transformers import CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "sdloop/mini"
sys.path.insert(0, str(ROOT / "examples/train_mini"))

import captions  # noqa: E402
import scenes  # noqa: E402


def test_the_folder_is_small_readable_and_free_of_pickles_and_paths() -> None:
    files = [path for path in MINI.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 24_000_000
    assert all(path.stat().st_size < 16 * 2**20 for path in files)
    assert {path.suffix for path in files} <= {".json", ".txt", ".safetensors", ".md"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444, path
        if path.suffix == ".json":
            text = path.read_text(encoding="utf-8")
            assert "_name_or_path" not in text
            assert str(ROOT) not in text


def test_the_shipped_tokenizer_has_a_token_for_every_word_of_the_world() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(MINI / "tokenizer", local_files_only=True)
    words = [*scenes.COLOURS, *captions.PLURAL, *captions.PLURAL.values(), "stilts", "two", "three"]
    words += [
        word for wheres in captions.WHERE.values() for where in wheres for word in where.split()
    ]
    assert [tokenizer.tokenize(word) for word in words] == [[f"{word}</w>"] for word in words]
    ids = tokenizer("frogs on stilts", padding="max_length").input_ids
    assert len(ids) == 77
    assert ids[4:] == [tokenizer.eos_token_id] * 73


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(MINI, use_safetensors=True)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def sample(
    pipeline: StableDiffusionPipeline, prompt: str, guidance_scale: float, steps: int = 25
) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return pipeline(
        prompt,
        guidance_scale=guidance_scale,
        num_inference_steps=steps,
        generator=generator,
        output_type="np",
    ).images[0]


def test_guidance_changes_the_picture(pipeline: StableDiffusionPipeline) -> None:
    plain, guided = (sample(pipeline, "frogs on stilts", scale) for scale in (1.0, 7.5))
    for picture in (plain, guided):
        assert picture.shape == (128, 128, 3)
        assert np.isfinite(picture).all()
        assert picture.std() > 0.05
    assert np.abs(plain - guided).mean() > 0.01


def test_the_picture_follows_the_prompt(pipeline: StableDiffusionPipeline) -> None:
    red = sample(pipeline, "a red house in the snow", 4.0).mean(axis=(0, 1))
    blue = sample(pipeline, "a blue house in the snow", 4.0).mean(axis=(0, 1))
    night = sample(pipeline, "a red house at night", 4.0)
    assert red[0] - red[2] > blue[0] - blue[2]
    assert night[:8].mean() < 0.45


@pytest.mark.parametrize("cls", [DDIMScheduler, DPMSolverMultistepScheduler])
def test_other_schedulers_make_pictures_from_the_same_config(
    pipeline: StableDiffusionPipeline, cls: type
) -> None:
    other = StableDiffusionPipeline.from_pipe(pipeline)
    other.scheduler = cls.from_config(pipeline.scheduler.config)
    picture = sample(other, "a green frog", 4.0, steps=12)
    assert np.isfinite(picture).all()
    assert picture.std() > 0.05
