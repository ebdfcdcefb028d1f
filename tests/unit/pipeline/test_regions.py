"""Regions: each prompt's prediction counts in its own part of the picture."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_inpaint, tiny_refiner, tiny_sd1, tiny_sd2, tiny_sdxl
from PIL import Image
from torch import Tensor

from sdloop.errors import FileError, SettingError
from sdloop.latents.regions import region_shares
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.pipeline.own_code import OwnCode
from sdloop.recipe.recipe import Recipe

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
HALVES = ("a cat=0,0,0.5,1", "a dog=0.5,0,0.5,1")
REGIONS: list[dict[str, Any]] = [
    {"regions": HALVES, "region_alone": 0.5},
    {"regions": HALVES[:1], "region_alone": 0.5},
    {"regions": ("a hat=0,0.5,1,0.5",), "region_alone": 0.5},
    {},
]


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a park", "seed": 7, "steps": 1, "width": 32, "height": 16}
    usual |= {"scheduler": "euler", "guidance_scale": 5.0}
    if "regions" in settings:  # else a half depends on what is outside of it
        usual["region_alone"] = 0
    return Recipe(**{**usual, **settings})


def latents(components: Components, **settings: Any) -> Tensor:
    return generate(components, recipe(**settings))[0].latents


def assert_close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)


def differ(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() > 5e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [{}, {"guidance_scale": 1}, {"pag_scale": 3}], ids=str)
def test_each_half_is_what_its_prompt_alone_predicts(family: str, settings: dict[str, Any]) -> None:
    components = FAMILIES[family]()
    made = latents(components, regions=HALVES, **settings)
    cat, dog = (latents(components, prompt=text, **settings) for text in ("a cat", "a dog"))
    assert_close(made[..., :8], cat[..., :8])
    assert_close(made[..., 8:], dog[..., 8:])
    assert differ(cat, dog)


def test_the_rest_is_the_main_prompts_and_a_weight_is_a_share() -> None:
    components = tiny_sd1()
    park, cat = (latents(components, prompt=text) for text in ("a park", "a cat"))
    made = latents(components, regions=("a cat=0,0,0.5,1",))
    assert_close(made[..., :8], cat[..., :8])
    assert_close(made[..., 8:], park[..., 8:])
    # One Euler step is linear in the prediction.
    made = latents(components, regions=("a cat=0,0,1,1:0.25",))
    assert_close(made, 0.75 * park + 0.25 * cat)


def test_a_weight_of_0_is_the_picture_without_the_region() -> None:
    components = tiny_sd1()
    long = " ".join(["a cat"] * 60)  # its chunks must not lengthen the prompt
    made = latents(components, regions=(f"{long}=0,0,0.5,1:0",))
    assert torch.equal(made, latents(components))


def test_soft_and_overlapping_masks() -> None:
    masks = [Image.new("L", (4, 2), 0) for _ in range(2)]
    masks[0].paste(255, (0, 0, 3, 2))
    masks[1].paste(255, (0, 0, 2, 2))
    shares = region_shares(masks, [1.0, 0.5], 2)
    assert shares.shape == (3, 1, 1, 1, 2)
    torch.testing.assert_close(
        shares[:, 0, 0, 0], torch.tensor([[0, 0.5], [2 / 3, 0.5], [1 / 3, 0]])
    )


def test_with_and_the_main_prompt_is_the_combined_one() -> None:
    components = tiny_sd1()
    both, cat = "a park AND a house :0.5", "a cat=0,0,0.5,1"
    made = latents(components, prompt=both, regions=(cat,), slg_scale=2)
    assert_close(made[..., 8:], latents(components, prompt=both, slg_scale=2)[..., 8:])
    assert_close(made[..., :8], latents(components, prompt="a cat", slg_scale=2)[..., :8])


@pytest.mark.parametrize(
    ("settings", "rows"),
    [
        ({"regions": HALVES}, 3),  # the main prompt is nowhere, so the UNet need not see it
        ({"regions": HALVES[:1]}, 3),
        ({"regions": HALVES, "guidance_scale": 1}, 2),
        ({"regions": ("a cat=0,0,0.5,1:0",)}, 2),
        ({"regions": HALVES, "prompt": "a park AND a house"}, 3),
    ],
    ids=str,
)
def test_the_unet_sees_no_more_rows_than_it_must(settings: dict[str, Any], rows: int) -> None:
    components, seen = tiny_sd1(), []

    def watch(module: Any, args: tuple[Tensor, ...]) -> None:
        seen.append(len(args[0]))

    components.unet.register_forward_pre_hook(watch)
    generate(components, recipe(**settings))
    assert seen == [rows]


def test_at_first_a_region_sees_nothing_of_the_rest() -> None:
    components, seen = tiny_sd1(), []

    def watch(module: Any, args: tuple[Tensor, ...]) -> None:
        seen.append(args[0])

    components.unet.register_forward_pre_hook(watch)
    generate(components, recipe(steps=4, regions=HALVES[:1], region_alone=0.5))
    (first, second, *later), alike = seen, torch.equal
    for uncond, main, cat in (first.chunk(3), second.chunk(3)):
        assert alike(uncond, main)
        assert alike(cat[..., :8], main[..., :8])
        assert not alike(cat[..., 8:], main[..., 8:])
    assert all(alike(main, cat) for _, main, cat in (one.chunk(3) for one in later))
    # What is outside is always the same picture, with less and less noise.
    outside = [one.chunk(3)[2][..., 8:] for one in (first, second)]
    assert torch.corrcoef(torch.stack([one.flatten() for one in outside]))[0, 1] > 0.9


def test_a_picture_does_not_depend_on_its_batch() -> None:
    components = tiny_sdxl()
    wanted = [recipe(seed=seed, steps=2, **regions) for seed, regions in enumerate(REGIONS)]
    together = generate(components, wanted, batch_size=4)
    for one, picture in zip(wanted, together, strict=True):
        assert_close(picture.latents, generate(components, one)[0].latents)


def test_changing_prompts_mixed_prompts_hires_and_a_refiner() -> None:
    components = replace(tiny_sdxl(), refiner=tiny_refiner())
    settings = {"regions": ("[a cat:a dog:0.5]=0,0,0.5,1",), "steps": 4, "refiner_start": 0.5}
    settings |= {
        "mix_prompts": ("a house",),
        "hires": 2,
        "strength": 0.5,
        "prompt": "a [park:hat:1]",
    }
    steps = [one for one in stream(components, recipe(**settings)) if isinstance(one, Step)]
    other = latents(components, **settings | {"regions": ("[a cat:a hat:0.5]=0,0,0.5,1",)})
    assert len(steps) == 6
    assert not torch.equal(steps[-1].latents[0], other)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.effect_noise((32, 16), 80).convert("RGB").save(path)
    return str(path)


def test_a_mask_is_framed_like_the_input_picture(photo: str, tmp_path: Path) -> None:
    """Cropped to a square, the left half of what is seen is the middle left quarter."""
    components = tiny_sd1()
    mask = Image.new("L", (32, 16), 0)
    mask.paste(255, (8, 0, 16, 16))
    mask.save(tmp_path / "mask.png")
    start = {"image": photo, "width": 16, "height": 16, "strength": 0.5, "steps": 2}
    drawn = latents(components, regions=(f"a cat={tmp_path / 'mask.png'}",), **start)
    box = latents(components, regions=("a cat=0.25,0,0.25,1",), **start)
    cat = latents(components, prompt="a cat", **start)
    assert torch.equal(drawn, box)
    assert_close(box[..., :4], cat[..., :4])
    assert_close(box[..., 4:], latents(components, **start)[..., 4:])


@pytest.mark.parametrize("paints", [False, True])
def test_inside_the_part_that_is_painted(photo: str, tmp_path: Path, paints: bool) -> None:
    components = tiny_inpaint("sd1") if paints else tiny_sd1()
    painted = Image.new("L", (32, 16), 0)
    painted.paste(255, (16, 0, 32, 16))
    painted.save(tmp_path / "painted.png")
    start = {"image": photo, "mask": str(tmp_path / "painted.png"), "mask_margin": 0}
    start |= {"width": 16, "height": 16}
    made = latents(components, regions=("a cat=0.5,0,0.25,1",), **start)
    assert_close(made[..., :4], latents(components, prompt="a cat", **start)[..., :4])
    assert_close(made[..., 4:], latents(components, **start)[..., 4:])
    with pytest.raises(SettingError, match="regions must be in the part of the picture that"):
        latents(components, regions=("a cat=0,0,0.25,1",), **start)


def test_masks_that_are_refused(tmp_path: Path) -> None:
    components, mask = tiny_sd1(), tmp_path / "mask.png"
    Image.new("L", (10, 10), 255).save(mask)
    with pytest.raises(FileError, match="is 10x10 and the picture 32x16: a region's mask must"):
        latents(components, regions=(f"a cat={mask}",))
    Image.new("L", (10, 5), 0).save(mask)
    with pytest.raises(FileError, match="is completely black: as a mask it marks no region"):
        latents(components, regions=(f"a cat={mask}",))
    Image.new("L", (10, 5), 255).save(mask)
    resolved = loaded_model(components).resolved(recipe(regions=(f"a cat={mask}",)), open)  # type: ignore[arg-type]
    Image.new("L", (10, 5), 99).save(mask)
    with pytest.raises(FileError, match="is not the mask that the recipe was made with"):
        generate(components, resolved)


def test_a_loop_that_knows_no_regions_is_refused() -> None:
    def old(unet: Any, scheduler: Any, latents: Tensor, conditioning: Any, *,
            timesteps: Tensor, sigmas: Any, guidance_scale: Any) -> Any:  # fmt: skip
        raise AssertionError

    with pytest.raises(SettingError, match="denoise must take 'regions' for this Recipe"):
        list(OwnCode(denoise=old).denoised(None, None, torch.zeros(1), None, guidance_scale=[1.0],
                                           timesteps=1, sigmas=1, regions=torch.ones(1)))  # type: ignore[arg-type]  # fmt: skip
