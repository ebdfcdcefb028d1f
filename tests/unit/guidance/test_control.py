"""ControlNets in their parts: text and table, rows, windows, weakened copies, and files."""

import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import ControlNetModel
from diffusers.configuration_utils import FrozenDict
from helpers.controls import save_control, tiny_control, tiny_union
from helpers.ldm import control_as_ldm
from helpers.pictures import gradient, sketch
from helpers.tiny import tiny_refiner, tiny_sd1, tiny_sdxl
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from sdloop.conditioning.control import ControlImage
from sdloop.conditioning.value import Conditioning
from sdloop.errors import ModelError, SettingError
from sdloop.guidance.control import Controlled
from sdloop.guidance.perturbed_attention import Perturbed
from sdloop.images.input.read import InputImage
from sdloop.models.checkpoint.control import find_control
from sdloop.models.components.control import controlnets_for
from sdloop.models.components.load import Components, Follower
from sdloop.pipeline.generate import generate
from sdloop.pipeline.tiled_unet import Windows
from sdloop.recipe.batchable import batches, shape_of
from sdloop.recipe.controls import Control, parse_control
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe


class Net:
    """A ControlNet whose residuals are the picture's mean in each latent, times the prompt's."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(
        self, sample: Tensor, timestep: Tensor, *, encoder_hidden_states: Tensor,
        controlnet_cond: Tensor, conditioning_scale: float, **_: Any,
    ) -> tuple[list[Tensor], Tensor]:  # fmt: skip
        assert len(sample) == len(encoder_hidden_states) == len(controlnet_cond)
        self.rows.append(len(sample))
        factor = controlnet_cond.shape[-1] // sample.shape[-1]
        mean = torch.nn.functional.avg_pool2d(controlnet_cond.mean(1, keepdim=True), factor)
        residual = (
            conditioning_scale * mean * encoder_hidden_states.mean((1, 2))[:, None, None, None]
        )
        return [residual], residual


def unet(
    sample: Tensor, timestep: Tensor, *, encoder_hidden_states: Tensor, return_dict: bool,
    down_block_additional_residuals: Any = (), mid_block_additional_residual: Any = 0.0,
) -> tuple[Tensor]:  # fmt: skip
    return (sample + sum(down_block_additional_residuals) + mid_block_additional_residual,)


def conditioning(*images: ControlImage, pictures: int = 2) -> Conditioning:
    torch.manual_seed(0)
    prompts, negative = torch.rand(pictures, 3, 8), torch.rand(pictures, 3, 8)
    return Conditioning(prompt_embeds=prompts, negative_prompt_embeds=negative, controls=images)


def pixels(pictures: int = 2) -> Tensor:
    return torch.rand(pictures, 3, 32, 48)


def test_guess_mode_leaves_the_negative_rows_alone() -> None:
    net, sample = Net(), torch.rand(4, 4, 16, 24)
    for prompts_only in (False, True):
        image = ControlImage(pixels=pixels(), prompts_only=prompts_only)
        inputs = conditioning(image).unet_inputs(guided=True)
        one = Controlled(unet=unet, nets=[Follower(net, 2.0)], channels=4)
        seen = one(sample, torch.tensor(1.0), **inputs, return_dict=False)[0]
        moved = (seen - sample).abs().amax(dim=(1, 2, 3)) > 0
        assert moved.tolist() == [not prompts_only] * 2 + [True] * 2
    assert net.rows == [4, 2]


@pytest.mark.parametrize("guided", [False, True])
def test_a_union_is_told_what_its_pictures_are(guided: bool) -> None:
    """Those that act in a call go through it together; in guess mode only the prompts' rows."""
    told = []

    def net(sample: Tensor, *_: Any, **inputs: Any) -> tuple[list[Tensor], Tensor]:
        told.append((len(sample), inputs))
        return [sample], sample

    union = [Follower(net, scale, mode, 6) for scale, mode in ((0.5, 3), (2.0, 1))]
    nets = [union[0], Follower(Net(), 1.0), union[1]]
    images = [ControlImage(pixels=pixels(), prompts_only=not guided) for _ in nets]
    inputs = conditioning(*images).unet_inputs(guided=True)
    one = Controlled(unet=unet, nets=nets, channels=4, guess_mode=not guided)
    one(torch.rand(4, 4, 16, 24), torch.tensor(1.0), **inputs, return_dict=False)
    ((rows, given),) = told
    assert rows == (4 if guided else 2)
    assert [len(picture) for picture in given["controlnet_cond"]] == [rows] * 2
    assert given["control_type"].tolist() == [[0, 1, 0, 1, 0, 0]] * rows
    assert (given["control_type_idx"], given["conditioning_scale"]) == ([3, 1], [0.5, 2.0])


def test_each_acts_in_its_share_of_the_calls() -> None:
    told = conditioning(ControlImage(pixels=pixels(), end=0.5),
                        ControlImage(pixels=pixels(), start=0.25))  # fmt: skip
    inputs = told.over(range(4), guided=[True] * 4)
    assert [sorted(one["controls"]) for one in inputs] == [["0"], ["0", "1"], ["1"], ["1"]]
    assert inputs[2] is inputs[3]


def test_windows_show_the_control_picture_through_them() -> None:
    """What looks at one place alone sees the same in windows and in the whole."""
    sample = torch.rand(4, 4, 16, 24)
    one = Controlled(unet=unet, nets=[Follower(Net(), 1.0)], channels=4)
    inputs = conditioning(ControlImage(pixels=pixels())).unet_inputs(guided=True)
    whole, windowed = (
        each(sample, torch.tensor(1.0), **inputs, return_dict=False)[0]
        for each in (one, Windows(unet=one, side=10))
    )
    assert torch.allclose(whole, windowed, atol=1e-6)


@pytest.mark.parametrize("prompts_only", [False, True])
def test_a_weakened_copy_sees_the_prompts_rows_of_the_control_picture(prompts_only: bool) -> None:
    """A copy that is not weakened moves nothing."""
    sample = torch.rand(4, 4, 16, 24)
    one = Controlled(unet=unet, nets=[Follower(Net(), 1.0)], channels=4)
    image = ControlImage(pixels=pixels(), prompts_only=prompts_only)
    inputs = conditioning(image).unet_inputs(guided=True)
    plain, perturbed = (
        each(sample, torch.tensor(1.0), **inputs, return_dict=False)[0]
        for each in (one, Perturbed(unet=one, worse=[(one, 3.0)], pictures=2))
    )
    assert torch.equal(plain, perturbed)


@pytest.mark.parametrize(
    "text",
    ["canny=edges.png", "org/canny=a=b.png:0.5", "net=edges:0.5:1", "net=e.png:1:0..0.5",
     "https://civitai.com/api/download/models/1?type=Model=e.png:-0.25", "net=e.png:1e-05",
     "net#canny=edges.png:0.5", "net#repaint=e.png", "net#12=e.png",
     "net#tile/=e.png", "net#1.pth=e.png", "net#depth=canny:e.png"],
)  # fmt: skip
def test_the_text_of_a_control_reads_back(text: str) -> None:
    control = parse_control(text)
    assert str(control) == text
    assert parse_control(str(control)) == control
    assert Recipe(prompt="", seed=0, controls=(control.to_dict(),)).controls == (control,)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("edges.png", "controls must be like MODEL=edges.png:0.8, got 'edges.png'"),
        ("net=edges.png:nan", "controls.scale must be a finite number, got nan"),
        ("net=edges.png:-inf", "controls.scale must be a finite number, got -inf"),
        ("net=edges.png:101", "controls.scale must be between -100 and 100, got 101.0"),
        ("net=edges.png:1:0.5..0.5", "controls.start must be less than the end, got 0.5..0.5"),
        ("net=edges.png:1:0..1.5", "controls.end must be between 0 and 1, got 1.5"),
        ("net#cany=e.png", "controls.mode must be pose, depth, soft-edge, canny, normal, segment, "
         "tile, repaint or a number, got 'cany'"),
        ({"model": "net", "image": "e.png", "mode": -1},
         "controls.mode must be pose, depth, soft-edge, canny, normal, segment, tile, repaint or "
         "a number, got -1"),
        ("net=-", "controls.image must name a picture's file, got '-'"),
        ({"model": "net"}, "controls.image must be given, got {'model': 'net'}"),
        ({"net": "x"}, "controls have an unknown key 'net': they take model, image, scale, start, "
         "end, model_sha256, image_sha256, preprocess, mode"),
    ],
)  # fmt: skip
def test_what_no_control_can_be(value: Any, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        Recipe(prompt="", seed=0, controls=(value,))
    assert str(caught.value) == message
    assert caught.value.field == "controls"


def test_what_a_preprocess_makes_need_not_be_told_to_a_union() -> None:
    for text, mode in (
        ("net=canny:e.png", 3), ("net=lineart:e.png", 3), ("net=soft-edge:e.png", 2),
        ("net=depth:e.png", 1), ("net=grey:e.png", None), ("net=e.png", None),
        ("net#scribble=canny:e.png", 2), ("net#lineart=e.png", 3),
    ):  # fmt: skip
        assert parse_control(text).seen_as == mode
    assert parse_control("net#canny=canny:e.png") == parse_control("net=canny:e.png")
    asked = [recipe(parse_control(f"net{mode}=e.png"), preprocess="depth") for mode in ("#1", "")]
    assert asked[0].followed == asked[1].followed


def recipe(*controls: Control, **settings: Any) -> Recipe:
    return Recipe(prompt="a cat", seed=4, steps=4, controls=controls, **settings)


CONTROL = Control(model="net", image="e.png", model_sha256="0" * 64, image_sha256="1" * 64)


def test_the_key_has_the_files_content_and_no_control_that_does_nothing() -> None:
    key = content_key(recipe(CONTROL), {})
    assert content_key(recipe(replace(CONTROL, model="other", image="other.png")), {}) == key
    others = [{"image_sha256": "2" * 64}, {"model_sha256": "2" * 64}, {"scale": 2}, {"end": 0.5}]
    others.append({"mode": 3})
    keys = {content_key(recipe(replace(CONTROL, **other)), {}) for other in others}
    assert len(keys | {key, content_key(recipe(CONTROL, guess_mode=True), {})}) == 7
    off = recipe(replace(CONTROL, scale=0), guess_mode=True, resize="crop")
    assert content_key(off, {}) == content_key(recipe(), {})


def test_pictures_of_one_forward_pass_follow_different_pictures_with_equal_nets() -> None:
    other = replace(CONTROL, image="other.png", image_sha256="2" * 64)
    asked = [recipe(CONTROL), recipe(other), recipe(replace(other, scale=0.5)), recipe()]
    assert [len(batch) for batch in batches(asked, 4)] == [2, 1, 1]
    assert shape_of(recipe()) == shape_of(recipe(replace(CONTROL, scale=0)))


def for_pixels_of_eighths() -> Components:
    """With as many halvings as ControlNet's authors always have."""
    config = FrozenDict(block_out_channels=(8, 16, 24, 32))
    return replace(tiny_sd1(), vae=SimpleNamespace(config=config))


@pytest.mark.parametrize("layout", ["diffusers", "ldm", "ldm without its prefix", "pickle"])
def test_single_files(tmp_path: Path, layout: str) -> None:
    components = for_pixels_of_eighths()
    net = tiny_control(components)
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    file = tmp_path / ("net.pth" if layout == "pickle" else "net.safetensors")
    match layout:
        case "pickle":
            torch.save(tensors, file)
        case "diffusers":
            save_file(tensors, file)
        case "ldm":  # with a whole model beside it
            whole = {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)}
            save_file(control_as_ldm(net, "control_model.") | whole, file)
        case _:
            save_file(control_as_ldm(net, ""), file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle
        (loaded,) = controlnets_for(components, [find_control(str(file))])
    assert all(torch.equal(loaded.state_dict()[name], tensors[name]) for name in tensors)
    assert tuple(loaded.config["conditioning_embedding_out_channels"]) == (8, 16, 24, 32)


def test_a_union_of_a_single_file(tmp_path: Path) -> None:
    """Its authors' folders name another class."""
    components = tiny_sdxl()
    net = tiny_union(components, num_trans_layer=2)
    file = tmp_path / "union.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, file)
    net.save_pretrained(tmp_path / "folder")
    config = tmp_path / "folder/config.json"
    config.write_text(config.read_text().replace("ControlNetUnionModel", "ControlNetModel_Union"))
    told = ("num_trans_channel", "num_trans_layer", "num_proj_channel", "cross_attention_dim")
    for name in (file, tmp_path / "folder"):
        found = find_control(str(name))
        assert found.modes == 6
        (loaded,) = controlnets_for(components, [found])
        assert all(torch.equal(loaded.state_dict()[name], tensors[name]) for name in tensors)
        assert all(loaded.config[name] == net.config[name] for name in told)


def test_a_worker_keeps_the_last_ones(tmp_path: Path) -> None:
    components = tiny_sd1()
    files = [find_control(str(save_control(components, tmp_path / f"{n}", n))) for n in (1, 2)]
    first = controlnets_for(components, files)
    assert controlnets_for(components, files[:1])[0] is first[0]
    again = controlnets_for(components, files)
    assert again[0] is first[0]
    assert again[1] is not first[1]


def refusal(tmp_path: Path, tensors: dict[str, Tensor]) -> str:
    file = tmp_path / "file.safetensors"
    save_file(tensors, file)
    with pytest.raises(ModelError) as caught:
        find_control(str(file))
    return str(caught.value).removeprefix(f"{file} is ")


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    one = torch.zeros(1)
    assert refusal(tmp_path, {"lora_controlnet": one}).startswith("a Control-LoRA")
    assert refusal(tmp_path, {"lllite_unet_x.weight": one}).startswith("a ControlNet-LLLite")
    assert refusal(tmp_path, {"adapter.body.0.weight": one}) == "a T2I-Adapter (use it with --t2i)"
    assert refusal(tmp_path, {"x": one}).startswith("not a ControlNet")
    tiny_sd1().unet.save_pretrained(tmp_path / "unet")
    with pytest.raises(ModelError, match="must be a ControlNetModel, got UNet2DConditionModel"):
        find_control(str(tmp_path / "unet"))


def test_another_family_is_refused(tmp_path: Path) -> None:
    components = tiny_sd1()
    net = tiny_control(components)
    wide = ControlNetModel.from_config({**net.config, "cross_attention_dim": 64})
    wide.save_pretrained(tmp_path / "wide")
    with pytest.raises(ModelError) as caught:
        controlnets_for(components, [find_control(str(tmp_path / "wide"))])
    assert "has the cross_attention_dim 64, and the model has 32" in str(caught.value)
    sized = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8,
             "projection_class_embeddings_input_dim": 80}  # fmt: skip
    for other, why in (
        ({"layers_per_block": 2}, "has the layers_per_block 2, and the model has 1"),
        ({"in_channels": 9}, "has the in_channels 9, and the model has latents of 4"),
        ({"conditioning_channels": 1}, "must have the conditioning_channels 3, got 1"),
        (sized, "has the addition_embed_type text_time, and the model has None"),
    ):
        ControlNetModel.from_config({**net.config, **other}).save_pretrained(tmp_path / "other")
        with pytest.raises(ModelError, match=why):
            controlnets_for(components, [find_control(str(tmp_path / "other"))])
    steps = {**net.config, "conditioning_embedding_out_channels": (8, 16, 24)}
    ControlNetModel.from_config(steps).save_pretrained(tmp_path / "steps")
    with pytest.raises(ModelError, match=r"2 times smaller for the model, and .* 4 times smaller"):
        controlnets_for(components, [find_control(str(tmp_path / "steps"))])


def test_one_for_SDXL_need_not_be_told_sizes(tmp_path: Path) -> None:
    small = dict.fromkeys(
        ("addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim")
    )
    config = {**tiny_control(tiny_sdxl()).config, **small}
    ControlNetModel.from_config(config).save_pretrained(tmp_path / "small")
    (loaded,) = controlnets_for(tiny_sdxl(), [find_control(str(tmp_path / "small"))])
    assert not hasattr(loaded, "add_embedding")


@pytest.mark.parametrize(
    "settings",
    [
        {"hires": 2, "strength": 0.7},
        {"prompt": "a cat AND a dog", "guess_mode": True},
        {"pag_scale": 2.0, "guess_mode": True},
        {"width": 64, "height": 64, "tile": 32},
        {"losses": ("blue=200",), "loss_every": 1, "loss_mode": "exact"},
        {"image": "whole", "mask": "mask", "mask_margin": 8},
    ],
)
def test_beside_other_settings(tmp_path: Path, settings: dict[str, Any]) -> None:
    """It changes the picture, and at scale 0 it does not."""
    components, net = tiny_sd1(), str(save_control(tiny_sd1(), tmp_path / "net"))
    mask = Image.new("RGB", (64, 64))
    mask.paste("white", (20, 20, 40, 40))
    pictures = {"edges": gradient(64, 64), "whole": sketch(64, 64), "mask": mask}
    usual = {"prompt": "a cat", "seed": 4, "steps": 2}
    asked = [
        Recipe(**{**usual, **settings}, controls=(Control(model=net, image="edges", scale=scale),))
        for scale in (0.0, 1.0)
    ]
    asked.insert(0, replace(asked[0], controls=(), guess_mode=False))
    plain, off, on = generate(
        components, asked,
        open_image=lambda name: InputImage(name=name, sha256="0" * 64, image=pictures[name]),
    )  # fmt: skip
    assert torch.equal(plain.latents, off.latents)
    assert not torch.equal(plain.latents, on.latents)


def test_regions_are_controlled_like_the_rest(tmp_path: Path) -> None:
    """A region of the main prompt changes nothing, with a ControlNet either."""
    components, net = tiny_sd1(), str(save_control(tiny_sd1(), tmp_path / "net"))
    seen = InputImage(name="edges", sha256="0" * 64, image=gradient(32, 32))
    control = Control(model=net, image="edges")
    one = Recipe(prompt="a cat", seed=4, steps=2, controls=(control,))
    same = replace(one, regions=("a cat=0,0,0.5,1",), region_alone=0.0)
    other = replace(one, regions=("a dog=0,0,0.5,1",), region_alone=0.0)
    plain, alike, unlike = (
        generate(components, [wanted], open_image=lambda name: seen)[0].latents
        for wanted in (one, same, other)
    )
    torch.testing.assert_close(alike, plain, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(unlike, plain, rtol=1e-2)


def test_a_refiner_is_not_controlled(tmp_path: Path) -> None:
    base = tiny_sdxl()
    components = replace(base, refiner=replace(tiny_refiner(), vae=base.vae))
    net = str(save_control(base, tmp_path / "net"))
    control = Control(model=net, image="edges", end=0.5)
    wanted = Recipe(prompt="a cat", seed=4, steps=4, refiner="it", refiner_start=0.5,
                    controls=(control,))  # fmt: skip
    seen = InputImage(name="edges", sha256="0" * 64, image=gradient(32, 32))
    (picture,) = generate(components, [wanted], open_image=lambda name: seen)
    assert picture.latents.isfinite().all()
