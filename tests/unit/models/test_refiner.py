"""SDXL's refiner on disk and on the command line: found, loaded, recorded, refused."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.ldm import save_ldm_file
from helpers.model_facts import Model
from helpers.tiny import save_diffusers_folder, tiny_inpaint, tiny_refiner, tiny_sd1, tiny_sdxl
from helpers.weights import assert_same_weights
from safetensors.torch import save_file

import sdloop.models.checkpoint.find
from sdloop.batch.counts import token_counter
from sdloop.conditioning.words import with_words, words_of
from sdloop.errors import ModelError, SettingError
from sdloop.images.input.read import InputFacts
from sdloop.metadata.picture import read_record
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.components.cache import ModelCache
from sdloop.models.components.load import Components, load_components
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.worker.options import worker_options


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    save_diffusers_folder(tiny_sdxl(), root / "sdxl")
    save_diffusers_folder(tiny_refiner(seed=3), root / "refiner")
    save_diffusers_folder(tiny_sd1(), root / "sd1")
    save_diffusers_folder(tiny_inpaint("sdxl"), root / "painting")
    return root


def load(saved: Path, refiner: Path | str = "refiner", **names: str) -> Components:
    return load_components(str(saved / "sdxl"), refiner=str(saved / refiner), device="cpu", **names)


def test_its_parts_arrive_bit_for_bit(saved: Path) -> None:
    loaded, expected = load(saved).refiner, tiny_refiner(seed=3)
    assert loaded is not None
    for part in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(loaded, part), getattr(expected, part))
    assert loaded.scores
    assert loaded.text_encoder_2 is loaded.tokenizer_2 is None
    assert not loaded.force_zeros_for_empty_prompt


def test_a_single_file(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save_ldm_file(tiny_refiner(seed=3), tmp_path / "refiner.safetensors")
    shutil.copytree(saved / "refiner", tmp_path / "layouts" / "sdxl-refiner")
    monkeypatch.setattr(sdloop.models.checkpoint.find, "LAYOUTS", tmp_path / "layouts")
    loaded, expected = load(saved, file).refiner, tiny_refiner(seed=3)
    assert loaded is not None
    for part in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(loaded, part), getattr(expected, part))
    assert loaded.scores
    hashes = model_hashes(find_checkpoint(str(saved / "sdxl"), refiner=str(file)))
    assert "refiner/model.safetensors" in hashes


def test_the_layout_is_that_of_the_published_file(tmp_path: Path) -> None:
    base = save_ldm_file(tiny_sdxl(), tmp_path / "base.safetensors")
    file = save_ldm_file(tiny_refiner(), tmp_path / "refiner.safetensors")
    found = find_checkpoint(str(base), refiner=str(file)).refiner
    assert found is not None
    assert (found.family, found.scores) == ("refiner", True)
    unet = found.configs["unet"]
    assert (unet["cross_attention_dim"], unet["projection_class_embeddings_input_dim"]) == (
        1280, 1280 + 5 * 256)  # fmt: skip


def test_which_vae_decodes(saved: Path, tmp_path: Path) -> None:
    """Its own; the model's with --vae, or where its folder has the same one."""
    assert load(saved).last_vae is not load(saved).vae
    given = load(saved, vae=str(saved / "sdxl" / "vae"))
    assert given.last_vae is given.vae
    shutil.copytree(saved / "refiner", tmp_path / "refiner")
    shutil.rmtree(tmp_path / "refiner" / "vae")
    shutil.copytree(saved / "sdxl" / "vae", tmp_path / "refiner" / "vae")
    same = load(saved, tmp_path / "refiner")
    assert same.last_vae is same.vae
    assert same.refiner is not None
    assert_same_weights(same.refiner.unet, tiny_refiner(seed=3).unet)


@pytest.mark.parametrize(
    ("model", "refiner", "message"),
    [
        ("refiner", "sdxl", "refiner is for SDXL models, and .*refiner is refiner"),
        ("sd1", "refiner", "refiner is for SDXL models, and .*sd1 is sd1"),
        ("sdxl", "sd1", "must be an SDXL refiner or an SDXL model, and it is sd1"),
        ("sdxl", "painting", "must have a UNet with 4 channels, and it has 9"),
    ],
)
def test_what_does_not_fit(saved: Path, model: str, refiner: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(saved / model), refiner=str(saved / refiner))


def test_it_is_a_model_for_pictures_to_start_from(saved: Path) -> None:
    """What is known before it is loaded is the same as afterwards."""
    found = find_checkpoint(str(saved / "refiner"))
    loaded = load_components(found, device="cpu")
    bare = replace(loaded, checkpoint=None)
    for one in (found, loaded, bare):
        assert (one.scores, one.reads_twice, one.text_widths) == (True, False, (32,))
        assert (one.guidance_scale, one.text_layers, one.takes_sizes) == (5.0, 2, True)
    picture = InputFacts(size=(32, 24), sha256="0" * 64)
    recipe = resolve(Recipe(prompt="", seed=0, image="a.png", aesthetic_score=7.0), found, picture)
    assert (recipe.guidance_scale, recipe.refiner_start) == (5.0, None)
    assert token_counter()(recipe, found) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "image must be given for mini, an SDXL refiner, which only finishes pictures"),
        ({"image": "a.png", "target_size": (64, 64)}, "target_size is no input of mini, an SDXL"),
        ({"image": "a.png", "refiner_start": 0.5}, "refiner_start needs a refiner"),
        ({"image": "a.png", "prompt_2": "a"}, "prompt_2 needs a model with two text encoders"),
    ],
)
def test_what_a_refiner_alone_does_not_take(settings: dict[str, Any], message: str) -> None:
    model = Model(scores=True, takes_sizes=True, text_widths=(1280,))
    recipe = Recipe(prompt="", seed=0, **settings)
    with pytest.raises(SettingError, match=message):
        resolve(recipe, model, recipe.image and InputFacts(size=(64, 64), sha256="0" * 64))


def test_its_files_are_part_of_what_is_loaded(saved: Path) -> None:
    plain = find_checkpoint(str(saved / "sdxl"))
    both = find_checkpoint(str(saved / "sdxl"), refiner=str(saved / "refiner"))
    hashes = model_hashes(both)
    assert {name: hashes[name] for name in model_hashes(plain)} == model_hashes(plain)
    assert "refiner/unet/diffusion_pytorch_model.safetensors" in hashes
    cache, loads = ModelCache(), []

    def loading(name: str) -> Callable[[], Components]:
        return lambda: loads.append(name) or tiny_sdxl()

    for found, name in ((plain, "plain"), (both, "both"), (both, "both")):
        cache.load(loading(name), found, "cpu", "fp32")
    assert loads == ["plain", "both"]


def test_a_worker_keeps_another_model_for_another_refiner() -> None:
    one, other = (
        worker_options(["txt2img", "a cat", "--refiner", name], {}) for name in ("a", "b")
    )
    assert one is not None and other is not None
    assert one.model != other.model


def test_a_learned_word_of_both_encoders_has_the_second_vector_in_the_refiner(
    tmp_path: Path,
) -> None:
    vectors = {"clip_l": torch.full((1, 32), 0.5), "clip_g": torch.full((1, 32), 0.25)}
    save_file(vectors, tmp_path / "frog.safetensors")
    from sdloop.prompt.learned.facts import embedding_facts

    file = str(tmp_path / "frog.safetensors")
    recipe = Recipe(
        prompt="a <frog>", seed=4, embeddings=(f"{file}:<frog>",),
        embeddings_sha256=(embedding_facts(file).sha256,),
    )  # fmt: skip
    refiner = with_words(tiny_refiner(), words_of(recipe))
    assert refiner.text_encoder.get_input_embeddings().vectors.unique().tolist() == [0.25]


# The command line.

TXT2IMG = Command("txt2img", steps=3)


@pytest.fixture
def here(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(saved / "refiner", tmp_path / "here" / "refiner")
    (tmp_path / "work").mkdir()
    folder = work_in(tmp_path / "work" / "here", monkeypatch, saved / "sdxl")
    (folder / "refiner").symlink_to(saved / "refiner")
    return folder


def test_a_picture_is_made_recorded_and_made_again(here: Path) -> None:
    both = ("--refiner", "refiner", "--refiner-start", "0.5")
    TXT2IMG.make("a cat", "--seed", "4", "-o", "plain.png")
    TXT2IMG.make("a cat", "--seed", "4", *both, "-o", "both.png")
    TXT2IMG.make("a cat", "--seed", "4", "--refiner", "refiner", "-o", "usual.png")
    assert len({pixels(f"{name}.png") for name in ("plain", "both", "usual")}) == 3
    plain, record, usual = (read_record(here / f"{n}.png") for n in ("plain", "both", "usual"))
    assert record.recipe is not None and usual.recipe is not None
    assert (record.recipe.refiner, record.recipe.refiner_start) == ("refiner", 0.5)
    assert usual.recipe.refiner_start == 0.8
    assert (record.fields["Refiner"], record.fields["Refiner switch at"]) == ("refiner", "0.5")
    assert len({one.made["key"] for one in (plain, record, usual)}) == 3
    assert "refiner/unet/diffusion_pytorch_model.safetensors" in record.made["weights"]
    assert len(record.made["sigmas"]) == 3
    assert Command("rerun").run("both.png", "-o", "again.png").exit_code == 0
    assert (here / "again.png").read_bytes() == (here / "both.png").read_bytes()
    assert Command("verify").run("both.png").exit_code == 0


def test_a_sweep_over_where_it_takes_over(here: Path) -> None:
    flags = ("--refiner", "refiner", "--sweep", "refiner_start=0.4,0.8", "--seed", "4..5")
    batch = Command("batch", steps=3)
    made = batch.make("a cat", *flags, "--outdir", "out", "--batch-size", "2")
    assert len({pixels(name) for name in made}) == 4
    assert batch.make("a cat", *flags, "--outdir", "out", "--batch-size", "2") == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--refiner-start", "0.5"], "refiner_start needs a refiner (--refiner MODEL), got 0.5"),
        (["--aesthetic-score", "7"], "aesthetic_score needs a refiner (--refiner MODEL), got 7.0"),
        (["--refiner", "refiner", "--refiner-start", "1"],
         "refiner_start must be more than 0 and less than 1, got 1"),
        (["--refiner", "refiner", "--refiner-start", "1.5"],
         "refiner_start must be between 0 and 1, got 1.5"),
        (["--refiner", "refiner", "--scheduler", "adam"],
         "refiner cannot be combined with the optimiser adam"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(here: Path, flags: list[str], message: str) -> None:
    assert message in TXT2IMG.refused("a cat", "--seed", "4", *flags)


@pytest.mark.parametrize(
    ("start", "steps", "message"),
    [
        ("0.9995", "3", "must leave steps to the refiner, got 0.9995, which leaves it none of 3"),
        ("0.01", "3", "must leave steps to the model, got 0.01, which leaves it none of 3"),
    ],
)
def test_a_stage_without_steps(here: Path, start: str, steps: str, message: str) -> None:
    flags = ("--refiner", "refiner", "--refiner-start", start, "--steps", steps)
    result = TXT2IMG.run("a cat", "--seed", "4", *flags)
    assert result.exit_code == 2
    assert message in result.stderr


def test_another_family_is_refused_on_the_command_line(here: Path, tiny_model: Path) -> None:
    told = TXT2IMG.refused("a cat", "--model", str(tiny_model), "--refiner", "refiner", code=3)
    assert "refiner is for SDXL models" in told
