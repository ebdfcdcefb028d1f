"""``--unet``: a UNet from a file or folder of its own, put over a base model."""

import copy
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.ldm import ldm_tensors
from helpers.parity import reference
from helpers.tiny import save_diffusers_folder, tiny_sd1
from helpers.weights import PARTS, TINY, assert_same_weights
from safetensors.torch import load_file, save_file

from sdloop.errors import ModelError
from sdloop.metadata.picture import read_record
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.ldm import UNET
from sdloop.models.checkpoint.parts import parts_of
from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.worker.options import worker_options


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layouts")
    for name, tiny in TINY.items():
        save_diffusers_folder(tiny(), root / name)
    return root


FAMILIES = ("sd1", "sd2", "sdxl")


def unet_file(components: Components, file: Path, names: str) -> Path:
    """Write the UNet of ``components`` alone, in one of the layouts, or its whole model."""
    ldm = {n: t for n, t in ldm_tensors(components).items() if names == "whole" or _of_unet(n)}
    tensors = {
        "diffusers": components.unet.state_dict(),
        "bare": {n.removeprefix(UNET): t for n, t in ldm.items()},
        "prefixed": ldm,
        "whole": ldm,
    }[names]
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    return file


def _of_unet(name: str) -> bool:
    return name.startswith(UNET)


@pytest.mark.parametrize("family", [*FAMILIES, "sd1-inpainting"])
@pytest.mark.parametrize("names", ["diffusers", "bare", "prefixed", "whole"])
def test_a_single_file_unet(layouts: Path, tmp_path: Path, family: str, names: str) -> None:
    other = TINY[family](seed=7)
    file = unet_file(other, tmp_path / "unet.safetensors", names)
    base = layouts / family.partition("-")[0]
    found = find_checkpoint(str(base), unet=str(file))
    assert (found.paints, found.unet_path) == (other.paints, file)
    loaded = load_components(found, device="cpu")
    assert_same_weights(loaded.unet, other.unet)
    assert_same_weights(loaded.vae, TINY[family]().vae)
    assert loaded.paints == other.paints
    hashes, plain = model_hashes(found), model_hashes(find_checkpoint(str(base)))
    assert hashes.keys() - plain.keys() == {"unet.safetensors"}
    assert plain.keys() - hashes.keys() == {"unet/diffusion_pytorch_model.safetensors"}
    unet = next(part for part in parts_of(found) if part.name == "unet")
    assert unet.parameters == sum(one.numel() for one in other.unet.parameters())


def test_an_inpainting_unet_has_the_scheduler_of_its_pipeline(
    layouts: Path, tmp_path: Path
) -> None:
    file = unet_file(TINY["sd1-inpainting"](), tmp_path / "unet.safetensors", "diffusers")
    found = find_checkpoint(str(layouts / "sd1"), unet=str(file))
    own = find_checkpoint(str(layouts / "sd1-inpainting"))
    assert found.scheduler_config == own.scheduler_config


@pytest.mark.parametrize("names", ["diffusers", "bare"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("base", FAMILIES)
def test_a_unet_of_another_family(
    layouts: Path, tmp_path: Path, family: str, base: str, names: str
) -> None:
    if family == base:
        return
    file = unet_file(TINY[family](), tmp_path / "unet.safetensors", names)
    for unet in (file, layouts / family):
        with pytest.raises(
            ModelError, match=f"another family than {layouts / base}: {family}, not {base}"
        ):
            find_checkpoint(str(layouts / base), unet=str(unet))


@pytest.mark.parametrize("names", ["diffusers", "bare"])
@pytest.mark.parametrize("change", ["missing", "extra"])
def test_a_unet_with_a_tensor_too_few_or_too_many(
    layouts: Path, tmp_path: Path, names: str, change: str
) -> None:
    file = unet_file(tiny_sd1(), tmp_path / "unet.safetensors", names)
    tensors = load_file(file)
    gone = {"diffusers": "conv_out.bias", "bare": "out.2.bias"}[names]
    if change == "missing":
        del tensors[gone]
    else:
        tensors["motion.weight"] = torch.ones(1)
    save_file(tensors, file)
    said = {"missing": "conv_out.bias is missing", "extra": "motion.weight is not expected"}
    with pytest.raises(ModelError, match=f"unet in {file}: {said[change]}"):
        load_components(str(layouts / "sd1"), unet=str(file), device="cpu")


def test_a_unet_that_reads_other_texts(layouts: Path, tmp_path: Path) -> None:
    file = unet_file(tiny_sd1(), tmp_path / "unet.safetensors", "diffusers")
    tensors = load_file(file)
    wider = {n: torch.ones(t.shape[0], 48) for n, t in tensors.items() if "attn2.to_k" in n}
    save_file(tensors | wider, file)
    with pytest.raises(ModelError, match="reads texts of width 48, but the model's have 32"):
        find_checkpoint(str(layouts / "sd1"), unet=str(file))


def test_what_is_no_unet(layouts: Path, tmp_path: Path) -> None:
    save_file({"some.weight": torch.ones(1)}, tmp_path / "unet.safetensors")
    with pytest.raises(ModelError, match="holds no UNet"):
        find_checkpoint(str(layouts / "sd1"), unet=str(tmp_path / "unet.safetensors"))


def test_a_unet_that_says_that_it_predicts_v(layouts: Path, tmp_path: Path) -> None:
    file = unet_file(tiny_sd1(), tmp_path / "unet.safetensors", "bare")
    save_file(load_file(file) | {"v_pred": torch.zeros(0)}, file)
    found = find_checkpoint(str(layouts / "sd1"), unet=str(file))
    assert found.prediction_type == "v_prediction"
    assert_same_weights(load_components(found, device="cpu").unet, tiny_sd1().unet)


# From the name in a Recipe to the picture and back.


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_equal_those_of_a_pipeline_with_that_unet(
    layouts: Path, tmp_path: Path, family: str
) -> None:
    file = unet_file(TINY[family](seed=7), tmp_path / "unet.safetensors", "diffusers")
    loaded = load_components(str(layouts / family), unet=str(file), device="cpu")
    # In memory of their own: kernels may round differently where a mapped file is not aligned.
    loaded = replace(loaded, **{part: copy.deepcopy(getattr(loaded, part)) for part in PARTS})
    recipe = Recipe(prompt="a cat", seed=7, steps=3, width=32, height=24, guidance_scale=5)
    (picture,) = generate(loaded, [recipe])
    by_hand = replace(TINY[family](), unet=TINY[family](seed=7).unet)
    latents, images = reference(by_hand, recipe, [7])
    assert torch.equal(picture.latents, latents[0])
    assert picture.image.tobytes() == images[0].tobytes()
    assert (picture.recipe.model, picture.recipe.unet) == (str(layouts / family), str(file))


def test_the_command_line_makes_it_and_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    here = work_in(tmp_path / "here", monkeypatch, tiny_model)
    txt2img, rerun, verify = Command("txt2img"), Command("rerun"), Command("verify")
    unet_file(tiny_sd1(seed=7), here / "fine.safetensors", "bare")
    shutil.copy(here / "fine.safetensors", here / "same.safetensors")
    txt2img.make("a cat", "--seed", "4", "-o", "plain.png")
    txt2img.make("a cat", "--seed", "4", "--unet", "fine.safetensors", "-o", "fine.png")
    txt2img.make("a cat", "--seed", "4", "--unet", "same.safetensors", "-o", "same.png")
    plain, fine, same = (read_record(here / f"{n}.png") for n in ("plain", "fine", "same"))
    assert pixels("plain.png") != pixels("fine.png") == pixels("same.png")
    assert plain.made["key"] != fine.made["key"] == same.made["key"]
    sha256 = hashlib.sha256((here / "fine.safetensors").read_bytes()).hexdigest()
    assert fine.made["weights"]["unet.safetensors"] == sha256
    assert fine.fields["UNet"] == "fine"
    assert fine.fields["UNet hash"] == sha256[:10]
    assert rerun.run("fine.png", "-o", "again.png").exit_code == 0
    assert (here / "again.png").read_bytes() == (here / "fine.png").read_bytes()
    assert verify.run("fine.png").exit_code == 0


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_a_sweep_over_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, part: str
) -> None:
    here = work_in(tmp_path / "here", monkeypatch, tiny_model)
    for seed in (7, 8):
        tensors = getattr(tiny_sd1(seed=seed), part).state_dict()
        save_file(tensors, here / f"{seed}.safetensors")
    sweep = f"{part}=7.safetensors,8.safetensors"
    made = Command("batch").make("a cat", "--sweep", sweep, "--seed", "4", "--outdir", "out")
    assert len({pixels(name) for name in made}) == 2
    assert Command("batch").make("a cat", "--sweep", sweep, "--seed", "4", "--outdir", "out") == []


def test_models_tells_of_a_base_with_a_unet(tmp_path: Path, layouts: Path) -> None:
    file = unet_file(TINY["sd1-inpainting"](), tmp_path / "unet.safetensors", "diffusers")
    told = Command("models").run(str(layouts / "sd1"), "--unet", str(file), "--json")
    assert json.loads(told.stdout)["paints"] is True
    card = Command("models").run(str(layouts / "sd1"), "--unet", str(file)).stdout
    assert card.startswith(f"{layouts / 'sd1'} --unet {file}\n")
    assert "sd1 inpainting" in card


def test_a_worker_keeps_another_model_for_another_unet() -> None:
    one, other = (worker_options(["txt2img", "a cat", "--unet", name], {}) for name in ("a", "b"))
    assert one is not None and other is not None
    assert one.model != other.model


def test_the_embedded_model_refuses_a_unet_of_its_family_but_not_its_shape(
    layouts: Path,
) -> None:
    with pytest.raises(ModelError, match="reads texts of width 32, but the model's have 128"):
        find_checkpoint("mini", unet=str(layouts / "sd1"))
