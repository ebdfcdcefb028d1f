"""IP-Adapters: the pictures are bit-equal to those of diffusers, on the CPU in float32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from helpers.crossings import FAMILIES, INPAINTING
from helpers.image_adapters import save_image_adapter
from helpers.parity import pipeline
from helpers.pictures import gradient, sketch
from PIL import Image

from sdloop.images.input.read import InputImage
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.image_prompts import ImagePrompt, parse_image_prompt
from sdloop.recipe.recipe import Recipe

SIZE = (32, 24)
MASK = Image.fromarray(np.pad(np.full((12, 16), 255, np.uint8), ((6, 6), (8, 8))))
PICTURES = {"sketch": sketch(40, 60), "ramp": gradient(64, 48), "start": sketch(*SIZE),
            "mask": MASK.convert("RGB")}  # fmt: skip
TASKS: dict[str, dict[str, Any]] = {
    "": {},
    "img2img": {"image": "start", "strength": 0.6},
    "inpaint": {"image": "start", "mask": "mask", "strength": 1.0},
}
SLOW = pytest.mark.slow  # what runs for another family, or for another task


def opened(name: str) -> InputImage:
    return InputImage(name=name, sha256="0" * 64, image=PICTURES[name])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the adapters of each family, in each layout."""
    home = tmp_path_factory.mktemp("adapters")
    MASK.save(home / "mask.png")
    for family, make in FAMILIES.items():
        for kind in ("base", "plus", "full"):
            for suffix in ("safetensors", "bin"):
                save_image_adapter(make(), home / "models" / f"{family}-{kind}.{suffix}", kind)
    return home


def recipe(adapter: Path, *prompts: str, **settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 4, "width": SIZE[0],
             "height": SIZE[1], "guidance_scale": 7.5, "negative_prompt": "a dog"}  # fmt: skip
    return Recipe(**(usual | settings), image_prompts=prompts, ip_adapter=str(adapter))


def assert_equal(
    components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)
) -> torch.Tensor:
    recipes = [wanted.with_seed(seed) for seed in seeds]
    pictures = generate(components, recipes, batch_size=len(seeds), open_image=opened)
    made = torch.stack([picture.latents for picture in pictures])
    assert torch.equal(made, _theirs(components, wanted, list(seeds)))
    return made


def _theirs(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    """The final latents of diffusers' pipeline, whose modules are changed and changed back.

    Pictures with a place are those of a second adapter with the same weights.
    """
    prompts = [parse_image_prompt(text) for text in wanted.image_prompts or ()]
    groups = [[one for one in prompts if one.placed == kind] for kind in (False, True)]
    groups = [group for group in groups if group]
    path, count = Path(str(wanted.ip_adapter)), len(groups)
    pipe = pipeline(components, wanted, seeds)
    pipe.register_modules(image_encoder=None, feature_extractor=None)
    pipe.load_ip_adapter([str(path.parent)] * count, subfolder=[""] * count,
                         weight_name=[path.name] * count)  # fmt: skip
    scales = [[one.scale for one in group] if group[0].placed else group[0].scale
              for group in groups]  # fmt: skip
    pipe.set_ip_adapter_scale(scales)
    options: dict[str, Any] = {
        "prompt": wanted.prompt, "negative_prompt": wanted.negative_prompt,
        "num_inference_steps": wanted.steps, "guidance_scale": wanted.guidance_scale,
        "num_images_per_prompt": len(seeds), "output_type": "latent",
        "generator": [torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        "ip_adapter_image": [[PICTURES[one.image] for one in group] for group in groups],
    }  # fmt: skip
    if groups[-1][0].placed:
        masks = [_mask(group) if group[0].placed else None for group in groups]
        options["cross_attention_kwargs"] = {"ip_adapter_masks": masks}
    if wanted.image is None:
        options |= {"width": SIZE[0], "height": SIZE[1]}
    elif wanted.mask is None:
        options |= {"image": PICTURES["start"], "strength": wanted.strength}
    else:
        options |= {"width": SIZE[0], "height": SIZE[1], "strength": wanted.strength}
        options |= {"image": [PICTURES["start"]] * len(seeds), "mask_image": [MASK] * len(seeds)}
    try:
        latents: torch.Tensor = pipe(**options).images
    finally:
        pipe.unload_ip_adapter()
    return latents


def _mask(group: list[ImagePrompt]) -> torch.Tensor:
    """The masks as diffusers' users prepare them: (1, pictures, height, width)."""
    width, height = SIZE
    drawn = []
    for one in group:
        if one.box is None:
            drawn.append(MASK)
            continue
        left, top, across, down = one.box
        sheet = Image.new("L", SIZE)
        corner = round(left * width), round(top * height)
        sheet.paste(255, (*corner, round((left + across) * width), round((top + down) * height)))
        drawn.append(sheet)
    masks = IPAdapterMaskProcessor().preprocess(drawn, height=height, width=width)
    return masks.reshape(1, len(group), height, width)


@pytest.mark.parametrize(
    ("family", "kind", "task"),
    [
        *[("sd1", "base", task) for task in TASKS],
        ("sd2", "plus", ""),
        ("sdxl", "base", "img2img"),
        ("sd1", "full", "img2img"),
        *[pytest.param("sd2", kind, task, marks=SLOW) for kind in ("base", "full")
          for task in TASKS],
        *[pytest.param("sd2", "plus", task, marks=SLOW) for task in ("img2img", "inpaint")],
        *[pytest.param("sdxl", "plus", task, marks=SLOW) for task in TASKS],
        *[pytest.param("sdxl", "base", task, marks=SLOW) for task in ("", "inpaint")],
        *[pytest.param("sd1", "plus", task, marks=SLOW) for task in TASKS],
    ],
)  # fmt: skip
def test_one(files: Path, family: str, kind: str, task: str) -> None:
    components = FAMILIES[family]()
    suffix = "bin" if task == "img2img" else "safetensors"
    adapter = files / "models" / f"{family}-{kind}.{suffix}"
    wanted = recipe(adapter, "sketch:0.8", **TASKS[task])
    made = assert_equal(components, wanted)
    plain = replace(wanted, image_prompts=None, ip_adapter=None)
    (picture,) = generate(components, plain, open_image=opened)
    assert (made[0] - picture.latents).abs().mean() > 0.01  # otherwise it would prove nothing


@pytest.mark.parametrize(
    ("family", "kind"),
    [("sd1", "plus"), ("sdxl", "base"),
     *[pytest.param(family, kind, marks=SLOW) for family in FAMILIES for kind in ("base", "plus")]],
)  # fmt: skip
@pytest.mark.parametrize(
    "prompts",
    [
        ("sketch:0.6", "ramp:0.6"),
        ("sketch=mask.png:0.9", "ramp=0,0,0.5,1:0.4"),
        pytest.param(("ramp:0.5", "sketch=mask.png:0.9", "sketch:0.5", "start=0,0.5,1,0.5"),
                     marks=SLOW),
    ],
)  # fmt: skip
def test_several(
    files: Path, monkeypatch: pytest.MonkeyPatch, family: str, kind: str, prompts: tuple[str, ...]
) -> None:
    """Together, and each in its place; two pictures of a batch."""
    monkeypatch.chdir(files)
    adapter = files / "models" / f"{family}-{kind}.safetensors"
    assert_equal(FAMILIES[family](), recipe(adapter, *prompts), seeds=(7, 8))


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance_scale": 1, "negative_prompt": None},
        {"scheduler": "heun"},
        {"scheduler": "euler-a", **TASKS["img2img"]},
        {"steps": 1},
    ],
)
def test_settings(files: Path, settings: dict[str, Any]) -> None:
    adapter = files / "models" / "sd1-plus.safetensors"
    assert_equal(FAMILIES["sd1"](), recipe(adapter, "sketch:-0.5", **settings))


@pytest.mark.parametrize(
    "family",
    [name if name.startswith("sd1") else pytest.param(name, marks=SLOW) for name in INPAINTING],
)
def test_inpainting_models(files: Path, family: str) -> None:
    adapter = files / "models" / f"{family.removesuffix('-inpainting')}-base.safetensors"
    assert_equal(INPAINTING[family](), recipe(adapter, "sketch", **TASKS["inpaint"]))
