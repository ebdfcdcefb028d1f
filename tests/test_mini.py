"""The embedded model: the scenes it learned from, how it is trained, and the folder that ships."""

import stat
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors.torch import save_file
from transformers import CLIPTokenizer

ROOT = Path(__file__).resolve().parents[1]
MINI = ROOT / "sdloop/mini"
sys.path.insert(0, str(ROOT / "examples/train_mini"))

import captions  # noqa: E402
import scenes  # noqa: E402
import train_text  # noqa: E402
import train_tokenizer  # noqa: E402
import train_unet  # noqa: E402
import train_vae  # noqa: E402
import training  # noqa: E402


def test_the_learned_tokenizer_knows_words_and_takes_any_text(tmp_path: Path) -> None:
    merges = train_tokenizer.learn_merges(train_tokenizer.captions(300), merges=1000)
    tokenizer = train_tokenizer.save_tokenizer(tmp_path, merges)
    assert tokenizer.tokenize("Frogs on stilts") == ["frogs</w>", "on</w>", "stilts</w>"]
    assert tokenizer.decode(tokenizer("東京 🐎").input_ids, skip_special_tokens=True) == "東京 🐎"


def interrupt_after(monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    """Make the trainer die right after its n-th checkpoint."""
    write, count = training.Trainer.save, [0]

    def save(self: training.Trainer) -> None:
        write(self)
        count[0] += 1
        if count[0] == saves:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Trainer, "save", save)


def assert_resumes_exactly(
    module: ModuleType, flags: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed and started again ends with the very weights of a run that was not."""
    whole, broken = folder / "whole", folder / "broken"
    module.train(module.parse([*flags, "--out", str(whole)]))
    with monkeypatch.context() as patch:
        interrupt_after(patch, saves=1)
        with pytest.raises(KeyboardInterrupt):
            module.train(module.parse([*flags, "--out", str(broken)]))
    module.train(module.parse([*flags, "--out", str(broken)]))
    one, two = (torch.load(run / training.CHECKPOINT)["model"] for run in (whole, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)


TINY = ["--pictures", "8", "--batch", "2", "--every", "2", "--precision", "no"]


@pytest.mark.parametrize("frozen", [[], ["--freeze-encoder"]])
def test_vae_training_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frozen: list[str]
) -> None:
    flags = [*TINY, *frozen, "--size", "16", "--channels", "8", "8", "8"]
    assert_resumes_exactly(train_vae, flags, tmp_path, monkeypatch)


def test_unet_training_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_tokenizer.save_tokenizer(tmp_path / "tokenizer", [])
    latents = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(0)).half()
    header = {"scaling_factor": "0.5"}
    cache = tmp_path / "latents.safetensors"
    save_file({"latents": latents, "held_out": latents[:2].clone()}, cache, metadata=header)
    words = ["--tokenizer", str(tmp_path / "tokenizer")]
    text = [*words, "--out", str(tmp_path / "text"), "--steps", "2", "--batch", "2"]
    train_text.train(train_text.parse([*text, "--text-layers", "1"]))
    flags = [*TINY, *words, "--channels", "16", "16", "16"]
    flags += ["--latents", str(cache), "--text-encoder", str(tmp_path / "text")]
    assert_resumes_exactly(train_unet, flags, tmp_path, monkeypatch)


def test_the_frozen_encoder_keeps_its_weights(tmp_path: Path) -> None:
    flags = ["--size", "16", "--channels", "8", "8", "8", "--freeze-encoder"]
    args = train_vae.parse([*TINY, *flags, "--out", str(tmp_path)])
    torch.manual_seed(args.seed)
    before = train_vae.make_vae(16, (8, 8, 8)).state_dict()
    train_vae.train(args)
    after = torch.load(tmp_path / training.CHECKPOINT)["model"]
    same = {name for name in before if torch.equal(before[name], after[f"vae.{name}"])}
    assert {name for name in before if name.startswith(("encoder.", "quant_conv."))} <= same
    assert not any(name.startswith("decoder.") and name.endswith("conv1.weight") for name in same)


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
        assert picture.shape == (64, 64, 3)
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
