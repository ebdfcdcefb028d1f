"""ControlNets: the pictures are bit-equal to those of diffusers, on the CPU in float32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import ControlNetModel, ControlNetUnionModel
from helpers.controls import save_control, save_union
from helpers.crossings import FAMILIES, INPAINTING
from helpers.parity import quiet, their_scheduler
from helpers.steered import (
    PICTURES,
    TASKS,
    assert_differs,
    assert_equal,
    latents,
    modules,
    options,
    recipe,
    task_of,
)

from sdloop.models.components.load import Components
from sdloop.recipe.controls import Control
from sdloop.recipe.recipe import Recipe

Nets = dict[str, str]


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Nets:
    """Two ControlNets for each family."""
    home = tmp_path_factory.mktemp("nets")
    return {f"{family}{seed}": str(save_control(make(), home / f"{family}{seed}", seed))
            for family, make in FAMILIES.items() for seed in (1, 2)}  # fmt: skip


def following(*controls: Control, **settings: Any) -> Recipe:
    return recipe(controls=controls, **({"steps": 5} | settings))


def theirs(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    found = [ControlNetModel.from_pretrained(one.model) for one in wanted.controls]
    several = len(found) > 1
    scales = [one.scale for one in wanted.controls]
    pipe = pipeline("ControlNet", components, wanted, seeds, found if several else found[0])
    return pipe(
        **control_options(wanted, seeds, alone=not several),
        controlnet_conditioning_scale=scales if several else scales[0],
    ).images


def pipeline(kind: str, components: Components, wanted: Recipe, seeds: list[int], net: Any) -> Any:
    xl = components.text_encoder_2 is not None
    name = f"StableDiffusion{'XL' * xl}{kind}{task_of(wanted)}Pipeline"
    extra = {"add_watermarker": False} if xl else {}
    return quiet(
        getattr(diffusers, name)(
            **modules(components), **extra, controlnet=net,
            scheduler=their_scheduler(components, wanted, seeds),
        )
    )  # fmt: skip


def control_options(wanted: Recipe, seeds: list[int], *, alone: bool) -> dict[str, Any]:
    maps = [PICTURES[one.image] for one in wanted.controls]
    name = "control_image" if wanted.image is not None else "image"
    return options(wanted, seeds) | {
        name: maps[0] if alone else maps, "guess_mode": wanted.guess_mode,
        "control_guidance_start": [one.start for one in wanted.controls],
        "control_guidance_end": [one.end for one in wanted.controls],
    }  # fmt: skip


SLOW = pytest.mark.slow  # what runs for another family, or for another task


@pytest.mark.parametrize(
    ("family", "task"),
    [
        *[("sd1", task) for task in TASKS],
        ("sd2", ""),
        ("sdxl", "Img2Img"),
        *[pytest.param("sd2", task, marks=SLOW) for task in ("Img2Img", "Inpaint")],
        *[pytest.param("sdxl", task, marks=SLOW) for task in ("", "Inpaint")],
    ],
)
def test_one(nets: Nets, family: str, task: str) -> None:
    components = FAMILIES[family]()
    wanted = following(Control(model=nets[f"{family}1"], image="edges", scale=0.8), **TASKS[task])
    made = assert_equal(components, wanted, theirs)
    assert_differs(made, latents(components, following(**TASKS[task])))


@pytest.mark.parametrize(
    ("family", "guess_mode"),
    [
        ("sd1", True),
        ("sdxl", False),
        *[pytest.param(*case, marks=SLOW) for case in (("sd1", False), ("sdxl", True))],
        *[pytest.param("sd2", guess_mode, marks=SLOW) for guess_mode in (False, True)],
    ],
)
def test_several_with_their_own_steps(nets: Nets, family: str, guess_mode: bool) -> None:
    """In the first calls only one of them acts, in the last ones none."""
    wanted = following(
        Control(model=nets[f"{family}1"], image="edges", scale=0.8, end=0.7),
        Control(model=nets[f"{family}2"], image="depths", scale=-0.5, start=0.2, end=0.8),
        guess_mode=guess_mode,
    )
    assert_equal(FAMILIES[family](), wanted, theirs, seeds=(7, 8))


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance_scale": 1, "negative_prompt": None},
        {"guidance_scale": 1, "negative_prompt": None, "guess_mode": True},
        {"scheduler": "heun"},
        {"scheduler": "euler-a", **TASKS["Img2Img"], "guess_mode": True},
        {"steps": 1},
    ],
)
def test_settings(nets: Nets, settings: dict[str, Any]) -> None:
    part = {} if settings.get("steps") == 1 else {"start": 0.25, "end": 0.75}
    control = Control(model=nets["sd11"], image="edges", **part)
    assert_equal(FAMILIES["sd1"](), following(control, **settings), theirs)


@pytest.mark.parametrize(
    "family",
    [name if name.startswith("sd1") else pytest.param(name, marks=SLOW) for name in INPAINTING],
)
def test_inpainting_models(nets: Nets, family: str) -> None:
    """The ControlNet sees the latents only, without the UNet's five other channels."""
    control = Control(model=nets[f"{family.removesuffix('-inpainting')}1"], image="edges")
    assert_equal(INPAINTING[family](), following(control, **TASKS["Inpaint"]), theirs)


def theirs_of_union(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    """The pipeline of one ControlNet-Union, which joins all pictures."""
    net = ControlNetUnionModel.from_pretrained(wanted.controls[0].model)
    pipe = pipeline("ControlNetUnion", components, wanted, seeds, net)
    given = control_options(wanted, seeds, alone=False)
    given["control_image"] = given.pop("control_image", None) or given.pop("image")
    return pipe(
        **given,
        control_mode=[one.mode for one in wanted.controls],
        controlnet_conditioning_scale=[one.scale for one in wanted.controls],
    ).images


@pytest.fixture(scope="module")
def union(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_union(FAMILIES["sdxl"](), tmp_path_factory.mktemp("union")))


@pytest.mark.parametrize("task", [pytest.param("", marks=SLOW), *list(TASKS)[1:]])
def test_one_picture_of_a_union(union: str, task: str) -> None:
    components = FAMILIES["sdxl"]()
    one = Control(model=union, image="edges", scale=0.8, mode=3, end=0.7)
    made = assert_equal(components, following(one, **TASKS[task]), theirs_of_union, seeds=(7, 8))
    assert_differs(made, latents(components, following(**TASKS[task])))
    other = following(replace(one, mode=1), **TASKS[task])
    assert_differs(made, latents(components, other), least=0.01)


@pytest.mark.parametrize("task", ["", *[pytest.param(task, marks=SLOW) for task in TASKS if task]])
def test_a_union_joins_its_pictures(union: str, task: str) -> None:
    components = FAMILIES["sdxl"]()
    first, second = (
        Control(model=union, image=image, scale=scale, mode=mode)
        for image, scale, mode in (("edges", 0.8, 3), ("depths", -0.5, 1))
    )
    wanted = following(first, second, **TASKS[task])
    made = assert_equal(components, wanted, theirs_of_union)
    assert_differs(made, latents(components, following(first, **TASKS[task])))


@pytest.mark.slow
def test_two_unions_and_a_ControlNet(union: str, nets: Nets, tmp_path: Path) -> None:
    """diffusers has no pipeline of both kinds, but one of two unions with a picture each."""
    components = FAMILIES["sdxl"]()
    second = str(save_union(components, tmp_path / "second", seed=2))
    wanted = following(
        Control(model=union, image="edges", scale=0.8, mode=3, end=0.7),
        Control(model=second, image="depths", scale=0.5, mode=5, start=0.2),
    )

    def two(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
        found = [ControlNetUnionModel.from_pretrained(one.model) for one in wanted.controls]
        given = control_options(wanted, seeds, alone=False)
        given["control_image"] = given.pop("image")
        modes = [one.mode for one in wanted.controls]
        scales = [one.scale for one in wanted.controls]
        return pipeline("ControlNetUnion", components, wanted, seeds, found)(
            **given, control_mode=modes, controlnet_conditioning_scale=scales
        ).images

    made = assert_equal(components, wanted, two)
    plain = Control(model=nets["sdxl1"], image="edges", scale=0.3)
    assert_differs(made, latents(components, following(*wanted.controls, plain)))
