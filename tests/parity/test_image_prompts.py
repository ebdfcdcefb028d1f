"""IP-Adapters: the pictures are bit-equal to those of diffusers, on the CPU in float32."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from diffusers.models.embeddings import ImageProjection
from helpers.crossings import FAMILIES, INPAINTING
from helpers.image_adapters import save_image_adapter
from helpers.parity import pipeline
from helpers.steered import (
    MASK,
    PICTURES,
    SIZE,
    TASKS,
    assert_differs,
    assert_equal,
    latents,
    options,
    recipe,
    task_of,
)
from PIL import Image

from sdloop.models.components.load import Components
from sdloop.recipe.image_prompts import ImagePrompt, parse_image_prompt
from sdloop.recipe.recipe import Recipe

SLOW = pytest.mark.slow  # what runs for another family, or for another task


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


@pytest.fixture
def as_one_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row of a base adapter's projection is multiplied as one of 32.

    diffusers projects what is seen once for each seed, and we once for all of them. The CPU has
    other matrix kernels for 2 rows than for 4: with one picture and two seeds the tokens, below 1,
    differ by 1.2e-7, and the latents by 0.9e-5 (SD 2) to 2.1e-5 (SDXL).
    """
    own = ImageProjection.forward

    def forward(self: ImageProjection, embeds: torch.Tensor) -> torch.Tensor:
        rest = embeds.new_zeros(32 - len(embeds), embeds.shape[1])
        projected: torch.Tensor = own(self, torch.cat([embeds, rest]))
        return projected[: len(embeds)]

    monkeypatch.setattr(ImageProjection, "forward", forward)


def seeing(adapter: Path, *prompts: str, **settings: Any) -> Recipe:
    return recipe(image_prompts=prompts, ip_adapter=str(adapter), **settings)


def theirs(components: Components, wanted: Recipe, seeds: list[int]) -> torch.Tensor:
    """The final latents of diffusers' pipeline, whose modules are changed and changed back.

    Pictures with a place are those of another adapter with the same weights.
    """
    prompts = [parse_image_prompt(text) for text in wanted.image_prompts or ()]
    adapters = list(dict.fromkeys(one.adapter for one in prompts))
    groups = [
        [one for one in prompts if (one.adapter, one.placed) == kind]
        for kind in itertools.product(adapters, (False, True))
    ]
    groups = [group for group in groups if group]
    paths = [Path(group[0].adapter or str(wanted.ip_adapter)) for group in groups]
    pipe = pipeline(components, wanted, seeds)
    pipe.register_modules(image_encoder=None, feature_extractor=None)
    pipe.load_ip_adapter([str(path.parent) for path in paths], subfolder=[""] * len(paths),
                         weight_name=[path.name for path in paths])  # fmt: skip
    scales = [[one.scale for one in group] if group[0].placed else group[0].scale
              for group in groups]  # fmt: skip
    pipe.set_ip_adapter_scale(scales)
    given = options(wanted, seeds) | {
        "ip_adapter_image": [[PICTURES[one.image] for one in group] for group in groups]
    }
    if any(group[0].placed for group in groups):
        masks = [_mask(group) if group[0].placed else None for group in groups]
        given["cross_attention_kwargs"] = {"ip_adapter_masks": masks}
    if task_of(wanted) != "Img2Img":
        given |= {"width": SIZE[0], "height": SIZE[1]}
    try:
        made: torch.Tensor = pipe(**given).images
    finally:
        pipe.unload_ip_adapter()
    return made


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
        ("sdxl", "base", "Img2Img"),
        ("sd1", "full", "Img2Img"),
        *[pytest.param("sd2", kind, task, marks=SLOW) for kind in ("base", "full")
          for task in TASKS],
        *[pytest.param("sd2", "plus", task, marks=SLOW) for task in ("Img2Img", "Inpaint")],
        *[pytest.param("sdxl", "plus", task, marks=SLOW) for task in TASKS],
        *[pytest.param("sdxl", "base", task, marks=SLOW) for task in ("", "Inpaint")],
        *[pytest.param("sd1", "plus", task, marks=SLOW) for task in TASKS],
    ],
)  # fmt: skip
def test_one(files: Path, family: str, kind: str, task: str) -> None:
    components = FAMILIES[family]()
    suffix = "bin" if task == "Img2Img" else "safetensors"
    adapter = files / "models" / f"{family}-{kind}.{suffix}"
    wanted = seeing(adapter, "sketch:0.8", **TASKS[task])
    made = assert_equal(components, wanted, theirs)
    plain = replace(wanted, image_prompts=None, ip_adapter=None)
    assert_differs(made, latents(components, plain), least=0.01)


@pytest.mark.parametrize(
    ("family", "kind"),
    [("sd1", "plus"), ("sd1", "base"), ("sdxl", "base"),
     *[pytest.param(family, kind, marks=SLOW) for family in FAMILIES for kind in ("base", "plus")]],
)  # fmt: skip
@pytest.mark.usefixtures("as_one_of_many")
@pytest.mark.parametrize(
    "prompts",
    [
        ("sketch:0.8",),
        ("sketch:0.6", "ramp:0.6"),
        ("sketch=mask.png:0.9", "ramp=0,0,0.5,1:0.4"),
        pytest.param(("ramp:0.5", "sketch=mask.png:0.9", "sketch:0.5", "start=0,0.5,1,0.5"),
                     marks=SLOW),
    ],
)  # fmt: skip
def test_several(
    files: Path, monkeypatch: pytest.MonkeyPatch, family: str, kind: str, prompts: tuple[str, ...]
) -> None:
    """One, together, and each in its place; two pictures of a batch."""
    monkeypatch.chdir(files)
    adapter = files / "models" / f"{family}-{kind}.safetensors"
    assert_equal(FAMILIES[family](), seeing(adapter, *prompts), theirs, seeds=(7, 8))


@pytest.mark.parametrize(
    ("family", "task"),
    [("sd1", "Inpaint"), ("sd2", ""), ("sdxl", "Img2Img"),
     *[pytest.param(family, task, marks=SLOW) for family in FAMILIES for task in TASKS]],
)  # fmt: skip
@pytest.mark.parametrize(
    "prompts",
    [
        ("plus=sketch:0.6", "base=ramp:0.9", "plus=start:0.6"),
        ("base=sketch=mask.png:0.9", "full=ramp", "plus=start:0.4", "full=start=0,0,0.5,1:0.5"),
    ],
)
def test_several_adapters(
    files: Path, monkeypatch: pytest.MonkeyPatch, family: str, task: str, prompts: tuple[str, ...]
) -> None:
    """Those that diffusers' ``load_ip_adapter`` takes as lists, all with one image encoder."""
    monkeypatch.chdir(files)
    named = [f"models/{family}-{kind}.safetensors={rest}"
             for kind, _, rest in (one.partition("=") for one in prompts)]  # fmt: skip
    components, wanted = FAMILIES[family](), recipe(image_prompts=named, **TASKS[task])
    made = assert_equal(components, wanted, theirs)
    fewer = replace(wanted, image_prompts=named[:-1])
    assert_differs(made, latents(components, fewer), least=0.001)


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance_scale": 1, "negative_prompt": None},
        {"scheduler": "heun"},
        {"scheduler": "euler-a", **TASKS["Img2Img"]},
        {"steps": 1},
    ],
)
def test_settings(files: Path, settings: dict[str, Any]) -> None:
    adapter = files / "models" / "sd1-plus.safetensors"
    assert_equal(FAMILIES["sd1"](), seeing(adapter, "sketch:-0.5", **settings), theirs)


@pytest.mark.parametrize(
    "family",
    [name if name.startswith("sd1") else pytest.param(name, marks=SLOW) for name in INPAINTING],
)
def test_inpainting_models(files: Path, family: str) -> None:
    adapter = files / "models" / f"{family.removesuffix('-inpainting')}-base.safetensors"
    assert_equal(INPAINTING[family](), seeing(adapter, "sketch", **TASKS["Inpaint"]), theirs)
