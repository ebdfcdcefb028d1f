"""Image prompts in their parts: texts, files of adapters and encoders, attention, and batches."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.controls import save_control
from helpers.image_adapters import adapter_tensors, save_image_adapter, save_image_encoder
from helpers.pictures import gradient, sketch
from helpers.tiny import save_tiny_clip, tiny_refiner, tiny_sd1, tiny_sdxl, write_json
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.errors import ModelError, SettingError
from sdloop.images.input.read import InputImage
from sdloop.models.checkpoint.image_adapter import find_image_adapter
from sdloop.models.components.image_adapter import image_adapters_for
from sdloop.models.components.picture_attention import Look, seeing
from sdloop.pipeline.generate import generate
from sdloop.pipeline.tiled_unet import Windows
from sdloop.recipe.batchable import batches, shape_of
from sdloop.recipe.image_prompts import parse_image_prompt
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe

PICTURES = {"one": sketch(40, 60), "two": gradient(64, 48), "edges": gradient(64, 64),
            "whole": sketch(64, 64)}  # fmt: skip


def opened(name: str) -> InputImage:
    image = PICTURES[name] if name in PICTURES else Image.new("RGB", (64, 64), "white")
    return InputImage(name=name, sha256="0" * 64, image=image)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters of SD 1 with the layout of h94/IP-Adapter."""
    folder = tmp_path_factory.mktemp("adapters")
    for kind in ("base", "plus"):
        save_image_adapter(tiny_sd1(), folder / "models" / f"{kind}.safetensors", kind)
    return folder


def recipe(*prompts: str, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 4, "steps": 2, "ip_adapter": "ip"}
    return Recipe(**(usual | settings), image_prompts=prompts)


@pytest.mark.parametrize(
    "text",
    ["frog.png", "frog.png:0.6", "frog.png=mask.png", "frog.png=0,0,0.5,1:-0.25", "a:0.5:1",
     "a=b.png=0,0,1,1:1e-05", "org/ip.safetensors=frog.png:0.6", "ip.bin=frog.png=mask.png",
     "frog.png=m:2:1", "C:/frog.png:0"],
)  # fmt: skip
def test_the_text_of_an_image_prompt_reads_back(text: str) -> None:
    one = parse_image_prompt(text)
    assert str(one) == text
    assert parse_image_prompt(str(one)) == one


@pytest.mark.parametrize(
    ("settings", "message", "field"),
    [
        ({"image_prompts": ["a.png:nan"]}, "image_prompts.scale must be a finite number, got nan",
         "image_prompts"),
        ({"image_prompts": ["a.png:101"]},
         "image_prompts.scale must be between -100 and 100, got 101.0", "image_prompts"),
        ({"image_prompts": ["a.png=text:the face:1"]},
         "image_prompts must have a box or a mask's file, got 'text:the face': save the mask "
         'first, with sdloop inspect mask IMAGE "text:the face" -o mask.png', "image_prompts"),
        ({"image_prompts": ["-:1"]}, "image_prompts must be a picture and where it counts, as in "
         "frog.png, frog.png:0.6 or frog.png=mask.png:0.6, got '-:1'", "image_prompts"),
        ({"image_prompts": ["a.png="]}, "image_prompts must be a picture and where it counts, as "
         "in frog.png, frog.png:0.6 or frog.png=mask.png:0.6, got 'a.png='", "image_prompts"),
        ({"image_prompts": ["a.png=0.5,0,0.6,1"]}, "image_prompts must have a box of left, top, "
         "width and height within the picture, in shares from 0 to 1, got '0.5,0,0.6,1'",
         "image_prompts"),
        ({"image_prompts": ["a.png:0.5", "b.png"]}, "image_prompts without a place are seen "
         "together and must have one scale, got 'a.png:0.5' and 'b.png'; with a place, as in "
         "=0,0,1,1 for the whole picture, each has its own", "image_prompts"),
        ({"image_prompts": ["a.png"], "ip_adapter": None},
         "image_prompts need ip_adapter, the file of an IP-Adapter", "image_prompts"),
        ({"image_prompts": ["a.bin=b.png:0.5", "a.bin=c.png"], "ip_adapter": None},
         "image_prompts without a place are seen together and must have one scale, got "
         "'a.bin=b.png:0.5' and 'a.bin=c.png'; with a place, as in =0,0,1,1 for the whole picture, "
         "each has its own", "image_prompts"),
        ({"image_prompts": ["a.bin=b.png"]}, "ip_adapter is not used: each of image_prompts names "
         "its own", "ip_adapter"),
        ({}, "ip_adapter needs image_prompts, but none are given", "ip_adapter"),
        ({"ip_adapter": None, "image_encoder": "clip"},
         "image_encoder needs image_prompts, but none are given", "image_encoder"),
    ],
)  # fmt: skip
def test_what_no_image_prompt_can_be(settings: dict[str, Any], message: str, field: str) -> None:
    with pytest.raises(SettingError) as caught:
        Recipe(**({"prompt": "", "seed": 0, "ip_adapter": "ip"} | settings))
    assert str(caught.value) == message
    assert caught.value.field == field


def resolved(*prompts: str, **settings: Any) -> Recipe:
    hashes = [f"{index}" * 64 for index, _ in enumerate(prompts)]
    files = {"image_prompts_sha256": hashes, "ip_adapter_sha256": "a" * 64,
             "image_encoder_sha256": "b" * 64}  # fmt: skip
    return recipe(*prompts, **(files | settings))


def test_the_key_has_the_files_content_and_none_that_does_nothing() -> None:
    plain = Recipe(prompt="a cat", seed=4, steps=2)
    key = content_key(resolved("a.png"), {})
    moved = resolved("b.png", ip_adapter="other", image_encoder="clip")
    assert content_key(moved, {}) == key
    others = [resolved("a.png:0.5"), resolved("a.png=0,0,1,1"), resolved("a.png", "b.png"),
              resolved("a.png", ip_adapter_sha256="c" * 64), plain,
              resolved("a.png", image_encoder_sha256="c" * 64)]  # fmt: skip
    assert len({key, *(content_key(one, {}) for one in others)}) == 7
    assert content_key(resolved("a.png:0"), {}) == content_key(plain, {})


def test_pictures_of_one_forward_pass_see_different_pictures_alike() -> None:
    asked = [
        resolved("a.png"),
        resolved("b.png"),
        resolved("b.png:0.5"),
        resolved("a.png", "b.png"),
    ]
    assert [len(batch) for batch in batches(asked, 4)] == [2, 1, 1]
    plain = Recipe(prompt="a cat", seed=4, steps=2)
    assert shape_of(plain) == shape_of(resolved("a.png:0"))


def test_the_encoder_is_the_one_that_suits(tmp_path: Path) -> None:
    """Adapters for SDXL may be for SD 1's encoder, and the other way round."""
    large = {"width": 32, "embedding": 48}
    small = save_image_encoder(tmp_path / "models" / "image_encoder")
    save_image_encoder(tmp_path / "sdxl_models" / "image_encoder", **large)
    adapter = save_image_adapter(
        tiny_sdxl(), tmp_path / "sdxl_models" / "vit-h.safetensors", "plus"
    )
    assert find_image_adapter(str(adapter)).encoder.files[0].parent == small

    alone = save_image_adapter(tiny_sdxl(), tmp_path / "alone" / "plus.safetensors", "plus")
    (alone.parent / "image_encoder").rename(tmp_path / "elsewhere")
    (tmp_path / "models").rename(tmp_path / "others")
    (tmp_path / "sdxl_models").rename(tmp_path / "more")
    with pytest.raises(
        ModelError,
        match=r"embeddings of patches of 24 numbers, and none is in "
        r"alone/image_encoder/, .*: name one with --image-enc",
    ):
        find_image_adapter(str(alone))
    elsewhere = find_image_adapter(str(alone), str(tmp_path / "elsewhere"))
    assert elsewhere.encoder.files[0].parent == tmp_path / "elsewhere"
    wrong = tmp_path / "more" / "image_encoder"
    with pytest.raises(ModelError, match="image_encoder gives 32: name one with"):
        find_image_adapter(str(alone), str(wrong))
    write_json(wrong / "config.json", {"model_type": "bert"})
    with pytest.raises(ModelError, match="must be a CLIP that sees pictures, got 'bert'"):
        find_image_adapter(str(alone), str(wrong))


def test_a_whole_clip_serves_as_encoder(tmp_path: Path) -> None:
    components = tiny_sd1()
    clip = save_tiny_clip(tmp_path / "clip")
    adapter = save_image_adapter(components, tmp_path / "models" / "base.safetensors")
    file = find_image_adapter(str(adapter), str(clip))
    (adapter,) = image_adapters_for(components, [file])
    tokens = adapter.tokens([[sketch(40, 40)], []], guided=True)
    assert tokens.seen.shape == (1, 4, 32) and adapter.count == 4
    assert tokens.nothing is not None and not torch.equal(tokens.seen, tokens.nothing)


def kinds(section: dict[str, tuple[int, ...]], layers: str = "1.to_k_ip.weight") -> Any:
    proj = {f"image_proj.{name}": torch.zeros(shape) for name, shape in section.items()}
    return proj | {f"ip_adapter.{layers}": torch.zeros(32, 32)}


FACE = {"proj.0.weight": (8, 512), "proj.2.weight": (4 * 32, 8), "norm.weight": (32,)}


@pytest.mark.parametrize(
    ("tensors", "what"),
    [
        (kinds(FACE), "is an IP-Adapter FaceID, which sees faces with a network"),
        (kinds(FACE | {"proj.2.weight": (16 * 32, 8)}), "is an IP-Adapter FaceID Portrait, which"),
        (kinds(FACE | {"perceiver_resampler.proj_in.weight": (32, 24)}),
         "is an IP-Adapter FaceID Plus, which"),
        (kinds({"latents": (1, 4, 32), "proj_in.weight": (32, 512)}), "is an InstantID, which"),
        (kinds({"other": (1,)}), "is an IP-Adapter of a kind that sdloop does not support"),
        ({"lora_unet_a.lora_up.weight": torch.zeros(1)}, r"is a LoRA \(use it with --lora\)"),
        ({"vision_model.a": torch.zeros(1)}, r"is an image encoder \(use it with --image-encoder"),
        ({"a": torch.zeros(1)}, "is not an IP-Adapter: it has no keys for a picture's tokens"),
    ],
)  # fmt: skip
def test_other_kinds_are_refused_by_name(
    tmp_path: Path, tensors: dict[str, Tensor], what: str
) -> None:
    save_file(tensors, tmp_path / "ip.safetensors")
    with pytest.raises(ModelError, match=what):
        find_image_adapter(str(tmp_path / "ip.safetensors"))


def test_places_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must name a file, as in h94/.*, got the folder"):
        find_image_adapter(str(tmp_path))
    with pytest.raises(ModelError, match=r"must name a file, as in h94/.*, got org/adapter"):
        find_image_adapter("org/adapter")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts["ip_adapter"].pop("3.to_v_ip.weight"), "3.to_v_ip.weight is missing"),
        (lambda parts: parts["ip_adapter"].update({"99.to_v_ip.weight": torch.zeros(1)}),
         "99.to_v_ip.weight is not expected"),
        (lambda parts: parts["image_proj"].pop("layers.1.1.3.weight"),
         "layers.1.ff.1.net.2.weight is missing"),
        (lambda parts: parts["image_proj"]["norm_out.bias"].fill_(torch.nan),
         "norm_out.bias holds NaN or infinity"),
        (lambda parts: parts["image_proj"].pop("proj_out.weight"), "has invalid sizes"),
    ],
)  # fmt: skip
def test_damaged_adapters(tmp_path: Path, change: Callable[[Any], Any], message: str) -> None:
    components = tiny_sd1()
    save_image_encoder(tmp_path / "models" / "image_encoder")
    parts = adapter_tensors(components, "plus", 0)
    change(parts)
    torch.save(parts, tmp_path / "models" / "ip.bin")
    file = find_image_adapter(str(tmp_path / "models" / "ip.bin"))
    with pytest.raises(ModelError, match=message), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is a pickle
        image_adapters_for(components, [file])


def test_another_family_is_refused(home: Path) -> None:
    file = find_image_adapter(str(home / "models" / "base.safetensors"))
    with pytest.raises(ModelError, match="has the cross_attention_dim 32, and the model has 64"):
        image_adapters_for(tiny_sdxl(), [file])


def test_the_unet_itself_stays_as_it_is(home: Path) -> None:
    components = tiny_sd1()
    file = find_image_adapter(str(home / "models" / "base.safetensors"))
    (adapter,) = image_adapters_for(components, [file])
    twin = seeing(components.unet, [Look(adapter.layers, 4, 1.0, False)])
    assert components.unet.config.encoder_hid_dim_type is None
    assert components.unet.encoder_hid_proj is None
    own, other = components.unet.conv_in.weight, twin.conv_in.weight
    assert own.data_ptr() == other.data_ptr()


def test_masks_count_at_their_places_also_at_odd_sizes_and_through_windows(home: Path) -> None:
    """A mask of nothing is no picture; what is outside of a window does not matter in it."""
    components = tiny_sd1()
    file = find_image_adapter(str(home / "models" / "base.safetensors"))
    (adapter,) = image_adapters_for(components, [file])
    twin = seeing(components.unet, [Look(adapter.layers, 4, 2.0, True)])
    sample, prompt = torch.randn(1, 4, 11, 17), torch.randn(1, 5, 32)
    tokens = adapter.tokens([[], [sketch(32, 32)]], guided=False).seen

    def told(mask: Tensor) -> dict[str, Any]:
        one = Conditioning(prompt_embeds=prompt, image_embeds=tokens, image_masks=mask)
        return one.unet_inputs(guided=False)

    run = {"timestep": torch.tensor(9.0), "return_dict": False}
    nothing, left = torch.zeros(1, 1, 22, 34), torch.zeros(1, 1, 22, 34)
    left[..., :12] = 1
    with torch.no_grad():
        (plain,) = components.unet(sample, encoder_hidden_states=prompt, **run)
        (unseen,) = twin(sample, **told(nothing), **run)
        (seen,) = twin(sample, **told(left), **run)
        windows = Windows(unet=twin, side=8, overlap=0.0)
        (parts,) = windows(sample, **told(left), **run)
        (plain_parts,) = Windows(unet=components.unet, side=8, overlap=0.0)(
            sample, encoder_hidden_states=prompt, **run
        )
    torch.testing.assert_close(unseen, plain)
    assert (seen - plain).abs().mean() > 1e-3
    moved = (parts - plain_parts).abs().amax(dim=(0, 1, 2)) > 1e-6
    # The last window begins at 9, and another one at 4, where the mask is still white.
    assert moved[:4].all() and not moved[13:].any()


@pytest.mark.parametrize(
    "settings",
    [
        {"hires": 2, "strength": 0.7},
        {"prompt": "a cat AND a dog"},
        {"prompt": "a [cat:dog:0.5]", "guidance_interval": "0..2"},
        {"pag_scale": 2.0, "slg_scale": 1.0, "slg_layers": "mid"},
        pytest.param({"width": 64, "height": 64, "tile": 32}, marks=pytest.mark.slow),
        pytest.param(
            {"losses": ("blue=200",), "loss_every": 1, "loss_mode": "exact"},
            marks=pytest.mark.slow,
        ),
        {"image": "whole", "mask": "mask", "mask_margin": 8},
        {"regions": ("a dog=0,0,0.5,1",)},
        {"controls": True, "guess_mode": True},
    ],
)
def test_beside_other_settings(home: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    """It changes the picture, alone and in a place, and at scale 0 it does not."""
    components, adapter = tiny_sd1(), str(home / "models" / "plus.safetensors")
    if settings.get("controls"):
        net = f"{save_control(components, tmp_path / 'net')}=edges"
        settings = settings | {"controls": (net,)}
    usual = {"prompt": "a cat", "seed": 4, "steps": 2, "ip_adapter": adapter}
    mask = Image.new("RGB", (64, 64))
    mask.paste("white", (20, 20, 40, 40))
    PICTURES["mask"] = mask
    asked = [
        Recipe(**{**usual, **settings}, image_prompts=(text,))
        for text in ("one:0", "one:0.9", "one=0,0,1,0.7")
    ]
    asked.insert(0, replace(asked[0], image_prompts=None, ip_adapter=None))
    made = generate(components, asked, open_image=opened)
    plain, off, on, placed = (picture.latents for picture in made)
    assert torch.equal(plain, off)
    assert not torch.equal(plain, on)
    assert not torch.equal(plain, placed)


def test_a_batch_makes_the_pictures_of_single_runs(home: Path) -> None:
    components, adapter = tiny_sd1(), str(home / "models" / "base.safetensors")
    asked = [recipe(f"{name}:0.8", f"{name}=0,0,0.5,1", ip_adapter=adapter, seed=seed)
             for seed, name in enumerate(("one", "two", "one"))]  # fmt: skip
    together = generate(components, asked, batch_size=3, open_image=opened)
    alone = generate(components, asked, open_image=opened)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.latents, other.latents, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(alone[0].latents, alone[1].latents, rtol=1e-2)


def test_a_refiner_sees_no_picture(tmp_path: Path) -> None:
    base = tiny_sdxl()
    components = replace(base, refiner=replace(tiny_refiner(), vae=base.vae))
    adapter = save_image_adapter(base, tmp_path / "models" / "base.safetensors")
    wanted = recipe("one", "two=0,0,0.5,1", ip_adapter=str(adapter), steps=4, refiner="it",
                    refiner_start=0.5)  # fmt: skip
    (picture,) = generate(components, [wanted], open_image=opened)
    assert picture.latents.isfinite().all()
