"""Depth models and InstructPix2Pix on the command line: only img2img takes them."""

import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.kept import UNCHANGED
from helpers.ldm import save_ldm_file
from helpers.pictures import sketch
from helpers.tiny import save_diffusers_folder, tiny_depth, tiny_pix2pix
from helpers.weights import assert_same_weights
from PIL import Image
from safetensors.torch import load_file, save_file

from sdloop.errors import ModelError
from sdloop.metadata.picture import read_record
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.load import load_components

IMG2IMG = Command("img2img", steps=3)
MODELS = {"depth": tiny_depth, "edit": lambda: tiny_pix2pix("sd1"),
          "edit-xl": lambda: tiny_pix2pix("sdxl")}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("saved")
    for name, made in MODELS.items():
        UNCHANGED.add(save_diffusers_folder(made(), root / name))
    return root


@pytest.fixture(autouse=True)
def here(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = work_in(tmp_path / "here", monkeypatch, saved / "depth")
    sketch(32, 32).save("sketch.png")
    Image.linear_gradient("L").resize((32, 32)).save("near.png")
    return folder


@pytest.mark.parametrize("model", ["depth", "edit"])
def test_a_picture_is_made_recorded_and_made_again(here: Path, saved: Path, model: str) -> None:
    own = {"depth": ("--depth-map", "near.png"), "edit": ("--image-guidance-scale", "2")}[model]
    flags = ("sketch.png", "a cat", "--model", str(saved / model), "--seed", "4")
    IMG2IMG.make(*flags, "-o", "usual.png")
    IMG2IMG.make(*flags, *own, "-o", "told.png")
    assert pixels("usual.png") != pixels("told.png")
    usual, told = read_record(here / "usual.png"), read_record(here / "told.png")
    assert usual.made["key"] != told.made["key"]
    assert told.recipe is not None and usual.recipe is not None
    if model == "depth":
        assert told.recipe.depth_map_sha256 and usual.recipe.depth_map_sha256 is None
        assert "depth_estimator/model.safetensors" in told.made["weights"]
    else:
        assert (usual.recipe.image_guidance_scale, told.recipe.image_guidance_scale) == (1.5, 2.0)
        assert usual.recipe.strength is None
        assert len(usual.made["sigmas"]) == 4  # PNDM's three steps, from pure noise
    assert Command("rerun").run("told.png", "-o", "again.png").exit_code == 0
    assert (here / "again.png").read_bytes() == (here / "told.png").read_bytes()
    assert Command("verify").run("told.png").exit_code == 0


def test_another_depth_map_is_another_picture(here: Path) -> None:
    IMG2IMG.make("sketch.png", "a cat", "--depth-map", "near.png", "--seed", "4", "-o", "a.png")
    Image.radial_gradient("L").resize((32, 32)).save("near.png")
    refused = Command("rerun").run("a.png", "-o", "b.png")
    assert refused.exit_code == 3
    assert "near.png" in refused.stderr


def test_a_batch_over_image_guidance_scales(saved: Path) -> None:
    flags = ("a cat", "--image", "sketch.png", "--model", str(saved / "edit"), "--seed", "4..5")
    sweep = ("--sweep", "image_guidance_scale=1,2", "--outdir", "out")
    assert len({pixels(name) for name in Command("batch").make(*flags, *sweep)}) == 4


@pytest.mark.parametrize(
    ("model", "command", "arguments", "message"),
    [
        ("depth", "txt2img", ["a cat"],
         "image must be given for MODEL, which is a depth model: use `sdloop img2img`"),
        ("edit", "txt2img", ["a cat"],
         "image must be given for MODEL, which is an InstructPix2Pix model: use `sdloop img2img`"),
        ("edit-xl", "txt2img", ["a cat"], "for MODEL, which is an InstructPix2Pix model"),
        ("depth", "inpaint", ["sketch.png", "a cat", "--mask", "near.png"],
         "mask is not supported by a depth model, and MODEL is one"),
        ("edit", "inpaint", ["sketch.png", "a cat", "--mask", "near.png"],
         "mask is not supported by an InstructPix2Pix model, and MODEL is one"),
        ("edit", "img2img", ["sketch.png", "a cat", "--strength", "0.5"],
         "strength is not supported by an InstructPix2Pix model"),
        ("edit", "img2img", ["sketch.png", "a cat", "--guidance", "apg"],
         "guidance is not supported by"),
        ("edit", "img2img", ["sketch.png", "a cat AND a dog"], "must not combine prompts with AND"),
        ("edit", "img2img", ["sketch.png", "a cat", "--depth-map", "near.png"],
         "depth_map needs a depth model, and MODEL is not one"),
        ("depth", "img2img", ["sketch.png", "a cat", "--image-guidance-scale", "2"],
         "image_guidance_scale needs an InstructPix2Pix model, and MODEL is not one"),
        ("edit", "img2img", ["sketch.png", "a cat", "--image-guidance-scale", "0.5"],
         "image_guidance_scale must be between 1 and 10000, got 0.5"),
        ("edit", "img2img", ["sketch.png", "a cat", "-g", "1", "--image-guidance-scale", "2"],
         "needs guidance, and guidance_scale 1 switches it off, got 2"),
    ],
)  # fmt: skip
def test_what_they_do_not_do(
    saved: Path, model: str, command: str, arguments: list[str], message: str
) -> None:
    flags = ("--model", str(saved / model), "--seed", "4")
    told = Command(command).refused(*arguments, *flags)
    assert message in told.replace(str(saved / model), "MODEL")


def test_a_depth_map_of_other_proportions(here: Path) -> None:
    Image.new("L", (32, 16)).save("wide.png")
    told = IMG2IMG.refused("sketch.png", "a cat", "--depth-map", "wide.png", "--seed", "4", code=3)
    assert "a depth map must have the picture's size, or its proportions" in told


def test_models_names_their_kind(saved: Path) -> None:
    for model, kind in (("depth", "sd2 depth"), ("edit", "sd1 InstructPix2Pix")):
        assert kind in Command("models").run(str(saved / model)).stdout
    facts = json.loads(Command("models").run(str(saved / "depth"), "--json").stdout)
    assert "depth_estimator" in {part["name"] for part in facts["parts"]}


def test_a_single_file_and_a_unet_over_a_base(here: Path, saved: Path) -> None:
    """Without an estimator, a depth model needs a depth map."""
    tensors = {n: t.contiguous() for n, t in tiny_depth().unet.state_dict().items()}
    save_file(tensors, here / "unet.safetensors")
    loaded = load_components(str(saved / "depth"), unet="unet.safetensors", device="cpu")
    assert_same_weights(loaded.unet, tiny_depth().unet)
    file = save_ldm_file(tiny_pix2pix("sd1"), here / "edit.safetensors")
    assert find_checkpoint(str(file)).edits
    file = save_ldm_file(tiny_depth(), here / "depth.safetensors")
    found = find_checkpoint(str(file))
    assert (found.sees_depth, found.estimates_depth, found.prediction_type) == (
        True, False, "epsilon")  # fmt: skip
    told = IMG2IMG.refused("sketch.png", "a cat", "--model", "depth.safetensors", "--seed", "4")
    assert "depth_map must be given: depth.safetensors has no depth_estimator" in told


@pytest.mark.parametrize("change", ["missing", "unused", "extra"])
def test_the_weights_of_the_estimator(here: Path, tmp_path: Path, change: str) -> None:
    """The published ones lack a layer that is never used."""
    folder = save_diffusers_folder(tiny_depth(), tmp_path / "model")
    file = folder / "depth_estimator" / "model.safetensors"
    tensors = load_file(file)
    layer = "neck.fusion_stage.layers.0.residual_layer1.convolution1.weight"
    gone = {"missing": "head.head.0.bias", "unused": layer}.get(change)
    tensors = {name: tensor for name, tensor in tensors.items() if name != gone}
    if change == "extra":
        tensors["more.weight"] = tensors[layer].clone()
    save_file(tensors, file, metadata={"format": "pt"})
    if change == "unused":
        assert load_components(str(folder), device="cpu").depth_estimator is not None
        return
    said = {"missing": "head.head.0.bias is missing", "extra": "more.weight is not expected"}
    with pytest.raises(ModelError, match=f"depth_estimator in .*: {said[change]}"):
        load_components(str(folder), device="cpu")
