"""Reused deep features, compared with diffusers' whole UNet in which one output is replaced."""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.controls import save_adapter, save_control
from helpers.image_adapters import save_image_adapter
from helpers.parity import reference
from helpers.pictures import sketch
from helpers.tiny import tiny_pix2pix, tiny_sd1, tiny_sd2, tiny_sdxl
from PIL import Image
from torch import Tensor

from sdloop.errors import SettingError
from sdloop.guidance import reuse
from sdloop.guidance.reuse import reusing
from sdloop.guidance.stand_in import StandIn, predicted
from sdloop.loop import Step, denoise
from sdloop.models.components.compiled import compile_module
from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe

FAMILIES: dict[str, Callable[[], Components]] = {
    "sd1": tiny_sd1,
    "sd2": tiny_sd2,
    "sdxl": tiny_sdxl,
    "mini": lambda: load_components("mini", device="cpu", dtype="fp32"),
}


def recipe(seed: int = 7, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": seed, "steps": 5, "width": 32, "height": 32}
    return Recipe(**{**usual, "scheduler": "ddim", "guidance_scale": 7.5, **settings})


def latents(components: Components, wanted: Recipe, **how: Any) -> Tensor:
    return generate(components, wanted, **how)[0].latents


def with_older_features(unet: Any, every: int) -> Any:
    """A copy of ``unet`` that runs whole in each call, and replaces the output of one layer.

    It is the last layer but one, and the output that of the last call that reuses nothing.
    """
    unet, calls, kept = copy.deepcopy(unet), itertools.count(), {}

    def replace_output(_: Any, __: Any, output: Any) -> Any:
        if next(calls) % every == 0:
            kept["output"] = output
        return kept["output"]

    last = unet.up_blocks[-1]
    layers = last.attentions if hasattr(last, "attentions") else last.resnets
    layers[-2].register_forward_hook(replace_output)
    return unet


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("every", [2, 3])
def test_pictures_are_those_of_a_pipeline_with_older_features(family: str, every: int) -> None:
    components, wanted = FAMILIES[family](), recipe(reuse=every)
    found = latents(components, wanted)
    plain = latents(components, recipe())
    older = replace(components, unet=with_older_features(components.unet, every))
    theirs, _ = reference(older, wanted, [7], pixels=False)
    assert torch.equal(found, theirs[0])
    assert not torch.equal(found, plain)


@dataclass(frozen=True, kw_only=True, slots=True)
class Twice(StandIn):
    """A UNet that is asked everything twice; with ``reuse`` 2 the second answer is shallow."""

    unet: Any

    def predict(self, sample: Tensor, timestep: Tensor, **inputs: Any) -> Tensor:
        whole, shallow = (predicted(self.unet, sample, timestep, **inputs) for _ in range(2))
        assert torch.equal(whole, shallow)
        return shallow


def asking_twice(unet: Any, *args: Any, **options: Any) -> Iterator[Step]:
    yield from denoise(Twice(unet=unet), *args, **options)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sketch(32, 32).save("sketch.png")
    mask = Image.new("L", (32, 32))
    mask.paste(255, (8, 8, 24, 24))
    mask.save("mask.png")


_IMAGE = {"image": "sketch.png", "strength": 1}
BESIDE: dict[str, dict[str, Any]] = {
    "unguided": {"guidance_scale": 1},
    "interval": {"guidance_interval": "0.5..5", "steps": 5},
    "weakened": {"pag_scale": 2, "slg_scale": 1},
    "and": {"prompt": "a cat AND a dog :0.5"},
    "change": {"prompt": "a [cat:dog:0.5]"},
    "regions": {"regions": ("a dog=0,0,0.5,1",)},
    "tiles": {"width": 48, "tile": 32, "pag_scale": 2},
    "controlled": {"control": True, "t2i": True, "guess_mode": True},
    "controlled tiles": {"control": True, "width": 48, "tile": 32},
    "image prompts": {"ip_adapter": "ip.safetensors", "image_prompts": ("sketch.png=0,0,0.5,1",)},
    "hires": {"hires": 1.5, "strength": 0.9},
    "img2img": _IMAGE,
    "inpaint": {**_IMAGE, "mask": "mask.png"},
    "outpaint": {"image": "sketch.png", "right": 8, "width": None, "height": None},
    "mix": {"mix_prompts": ("a dog",)},
    "second order": {"scheduler": "heun"},
    "losses": {"losses": ("blue=9",), "loss_every": 1},
    "apg": {"guidance": "apg"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_with_features_of_the_same_step_nothing_changes(family: str) -> None:
    components = FAMILIES[family]()
    found = latents(components, recipe(reuse=2), denoise=asking_twice)
    assert torch.equal(found, latents(components, recipe()))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("settings", BESIDE.values(), ids=BESIDE)
def test_nor_does_it_beside_other_settings(settings: dict[str, Any]) -> None:
    components, settings = tiny_sd1(), dict(settings)
    if settings.pop("control", False):
        settings["controls"] = [f"{save_control(components, Path('net'))}=sketch.png"]
    if settings.pop("t2i", False):
        settings["t2i_adapters"] = [f"{save_adapter(components, Path('t2i'))}=sketch.png"]
    if "ip_adapter" in settings:
        save_image_adapter(components, Path("ip.safetensors"), "plus")
    settings = {"steps": 2, **settings}
    found = latents(components, recipe(reuse=2, **settings), denoise=asking_twice)
    assert torch.equal(found, latents(components, recipe(**settings)))
    reused = latents(components, recipe(reuse=2, **settings))
    assert reused.isfinite().all() and not torch.equal(reused, found)


@pytest.mark.usefixtures("files")
def test_adapters_of_sdxl_and_models_that_edit() -> None:
    """Their first level has no attention, and gets what an adapter sees after its last layer."""
    sdxl, edits = tiny_sdxl(), tiny_pix2pix("sdxl")
    adapter = save_adapter(sdxl, Path("t2i"))
    adapted = {"t2i_adapters": [f"{adapter}=sketch.png"], "width": 64, "height": 64}
    cases: list[tuple[Components, dict[str, Any]]] = [
        (sdxl, adapted),
        (edits, {"image": "sketch.png", "width": None, "height": None}),
    ]
    for components, settings in cases:
        found = latents(components, recipe(steps=2, reuse=2, **settings), denoise=asking_twice)
        assert torch.equal(found, latents(components, recipe(steps=2, **settings)))


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"reuse": 2}, [2, 2, 2]),
        ({"reuse": 3}, [2, 2]),
        ({"reuse": 9}, [2]),
        ({"reuse": 2, "scheduler": "heun", "steps": 3}, [2, 2, 2]),
        # Other rows are a new beginning: one without guidance, one with it, one without.
        ({"reuse": 9, "guidance_interval": "0.5..5"}, [1, 2, 1]),
        ({"reuse": 9, "hires": 2, "strength": 1}, [2, 2]),
        ({"reuse": 2, "pag_scale": 1, "steps": 3}, [2, 1, 2, 1]),
        ({"reuse": 2, "width": 48, "tile": 32, "steps": 3}, [2, 2, 2, 2]),
    ],
    ids=str,
)
def test_which_calls_are_whole(settings: dict[str, Any], rows: list[int]) -> None:
    """``rows`` are those of each whole call; all calls pass the first convolution."""
    components, whole, all_calls = tiny_sd1(), [], []
    unet = components.unet
    unet.mid_block.register_forward_hook(lambda _, args, __: whole.append(len(args[0])))
    unet.conv_in.register_forward_hook(lambda _, args, __: all_calls.append(len(args[0])))
    latents(components, recipe(**settings))
    assert whole == rows
    count = len(all_calls)
    latents(components, recipe(**{**settings, "reuse": 1}))
    assert len(all_calls) == 2 * count


def test_nothing_is_left_for_the_next_picture() -> None:
    """Neither of the one before, nor of others in the batch, nor in the UNet itself."""
    components = tiny_sdxl()
    plain = latents(components, recipe())
    wanted = [recipe(seed, reuse=2) for seed in (1, 2)]
    made = [picture.latents for picture in generate(components, wanted)]
    together = [picture.latents for picture in generate(components, wanted, batch_size=2)]
    for one, found, shared in zip(wanted, made, together, strict=True):
        assert torch.equal(found, latents(tiny_sdxl(), one))
        torch.testing.assert_close(shared, found, atol=5e-4, rtol=5e-4)
    assert torch.equal(latents(components, recipe()), plain)


def test_every_step_whole_is_the_plain_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    components = tiny_sd1()
    monkeypatch.delattr(reuse, "shell")  # without copies of the UNet
    pair = [generate(components, recipe(**settings))[0] for settings in ({"reuse": 1}, {})]
    assert pair[0].image.tobytes() == pair[1].image.tobytes()
    keys = [content_key(one.recipe, {}) for one in pair]
    assert keys[0] == keys[1] != content_key(recipe(reuse=2), {})


def test_copies_share_the_weights() -> None:
    unet = tiny_sd1().unet
    reused: Any = reusing(unet, 2, lambda one: one)
    own = {one.data_ptr() for one in unet.parameters()}
    for twin in (reused.unet, reused.shallow.unet):
        assert {one.data_ptr() for one in twin.parameters()} <= own


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reuse": 0}, "reuse must be at least 1, got 0"),
        (
            {"reuse": 2, "losses": ["blue"], "loss_mode": "exact"},
            "reuse cannot be combined with loss_mode exact, whose gradients go through the whole "
            "UNet, got 2: remove one of them",
        ),
    ],
    ids=str,
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        recipe(**settings)
    assert caught.value.field == "reuse"
    recipe(**{**settings, "reuse": 1})


def test_a_compiled_unet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks may be compiled, but not all of it as one."""
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    expected = latents(tiny_sd1(), recipe(reuse=2))
    components = tiny_sd1()
    compile_module(components.unet, "regional", torch.device("cpu"))
    assert torch.equal(latents(components, recipe(reuse=2)), expected)
    compile_module(components.unet, "whole", torch.device("cpu"))
    with pytest.raises(SettingError, match="reuse cannot be combined with compile whole, got 2"):
        latents(components, recipe(reuse=2))
    latents(components, recipe(reuse=1))
