"""ControlNets: the pictures are bit-equal to those of diffusers, on the CPU in float32."""

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from helpers.controls import save_control
from helpers.crossings import FAMILIES, INPAINTING
from helpers.parity import quiet, their_scheduler
from helpers.pictures import gradient, sketch
from PIL import Image

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.controls import Control
from sdloop.recipe.recipe import Recipe

SIZE = (32, 24)
MASK = Image.fromarray(np.pad(np.full((12, 16), 255, np.uint8), ((6, 6), (8, 8))))
PICTURES = {"sketch": sketch(*SIZE), "edges": gradient(*SIZE), "depths": sketch(*SIZE).rotate(180),
            "mask": MASK.convert("RGB")}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    "": {},
    "Img2Img": {"image": "sketch", "strength": 0.6},
    "Inpaint": {"image": "sketch", "mask": "mask", "strength": 1.0},
}
Nets = dict[str, str]


def opened(name: str) -> InputImage:
    return InputImage(name=name, sha256="0" * 64, image=PICTURES[name])


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Nets:
    """Two ControlNets for each family."""
    home = tmp_path_factory.mktemp("nets")
    return {f"{family}{seed}": str(save_control(make(), home / f"{family}{seed}", seed))
            for family, make in FAMILIES.items() for seed in (1, 2)}  # fmt: skip


def recipe(*controls: Control, **settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 5, "width": SIZE[0],
             "height": SIZE[1], "guidance_scale": 7.5, "negative_prompt": "a dog"}  # fmt: skip
    return Recipe(**(usual | settings), controls=controls)


def assert_equal(
    components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)
) -> torch.Tensor:
    recipes = [wanted.with_seed(seed) for seed in seeds]
    pictures = generate(components, recipes, batch_size=len(seeds), open_image=opened)
    made = torch.stack([picture.latents for picture in pictures])
    assert torch.equal(made, _theirs(components, wanted, list(seeds)))
    return made


def _theirs(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    """The final latents of diffusers' pipeline."""
    which = (wanted.image is not None) + (wanted.mask is not None)
    task, xl = list(TASKS)[which], components.text_encoder_2 is not None
    found = [ControlNetModel.from_pretrained(one.model) for one in wanted.controls]
    names = ["tokenizer", "text_encoder", "unet", "vae"] + ["tokenizer_2", "text_encoder_2"] * xl
    modules = {name: getattr(components, name) for name in names}
    if xl:
        modules["force_zeros_for_empty_prompt"] = components.force_zeros_for_empty_prompt
        modules["add_watermarker"] = False
    else:
        modules |= dict.fromkeys(("safety_checker", "feature_extractor"))
        modules["requires_safety_checker"] = False
    kind = getattr(diffusers, f"StableDiffusion{'XL' * xl}ControlNet{task}Pipeline")
    pipe = kind(**modules, scheduler=their_scheduler(components, wanted, seeds),
                controlnet=found if len(found) > 1 else found[0])  # fmt: skip
    maps, scales, starts, ends = zip(
        *[(PICTURES[one.image], one.scale, one.start, one.end) for one in wanted.controls],
        strict=True,
    )
    several = len(found) > 1
    options: dict[str, Any] = {
        "prompt": wanted.prompt, "negative_prompt": wanted.negative_prompt,
        "num_inference_steps": wanted.steps, "guidance_scale": wanted.guidance_scale,
        "num_images_per_prompt": len(seeds), "output_type": "latent",
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        "control_guidance_start": list(starts), "control_guidance_end": list(ends),
        "controlnet_conditioning_scale": list(scales) if several else scales[0],
        "guess_mode": wanted.guess_mode,
        "control_image" if task else "image": list(maps) if several else maps[0],
    }  # fmt: skip
    if task:
        options |= {"image": PICTURES["sketch"], "strength": wanted.strength}
    if task == "Inpaint":
        options |= {"image": [PICTURES["sketch"]] * len(seeds), "mask_image": [MASK] * len(seeds)}
    return quiet(pipe)(**options).images


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
    wanted = recipe(Control(model=nets[f"{family}1"], image="edges", scale=0.8), **TASKS[task])
    made = assert_equal(components, wanted)
    (plain,) = generate(components, recipe(**TASKS[task]), open_image=opened)
    assert (made[0] - plain.latents).abs().mean() > 0.1  # otherwise it would prove nothing


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
    wanted = recipe(
        Control(model=nets[f"{family}1"], image="edges", scale=0.8, end=0.7),
        Control(model=nets[f"{family}2"], image="depths", scale=-0.5, start=0.2, end=0.8),
        guess_mode=guess_mode,
    )
    assert_equal(FAMILIES[family](), wanted, seeds=(7, 8))


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
    assert_equal(FAMILIES["sd1"](), recipe(control, **settings))


@pytest.mark.parametrize(
    "family",
    [name if name.startswith("sd1") else pytest.param(name, marks=SLOW) for name in INPAINTING],
)
def test_inpainting_models(nets: Nets, family: str) -> None:
    """The ControlNet sees the latents only, without the UNet's five other channels."""
    control = Control(model=nets[f"{family.removesuffix('-inpainting')}1"], image="edges")
    assert_equal(INPAINTING[family](), recipe(control, **TASKS["Inpaint"]))
