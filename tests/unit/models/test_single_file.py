"""Single files in the LDM layout: every tensor has the right name, for all families, offline."""

import re
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, EDMEulerScheduler, UNet2DConditionModel
from helpers.ldm import ldm_tensors, ldm_vae, save_ldm_file
from helpers.parity import pipeline
from helpers.tiny import save_diffusers_folder, tiny_inpaint, tiny_sd1, tiny_sd2
from helpers.weights import PARTS, TINY, assert_same_weights
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from sdloop.errors import ModelError
from sdloop.models.checkpoint.find import LAYOUTS, VOCABULARY, find_checkpoint
from sdloop.models.checkpoint.folder import read_json
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.ldm import layout_of_file
from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("layouts")
    for name, tiny in TINY.items():
        save_diffusers_folder(tiny(), root / name)
    return root


def load(file: Path, layout: Path, **options: Any) -> Components:
    return load_components(find_checkpoint(str(file), layout=layout, **options), device="cpu")


@pytest.mark.parametrize("family", list(TINY))
def test_weights_arrive_bit_for_bit(layouts: Path, tmp_path: Path, family: str) -> None:
    components = TINY[family](seed=3)
    file = save_ldm_file(components, tmp_path / "model.safetensors")
    found = find_checkpoint(str(file), layout=layouts / family)
    assert (found.family, found.path) == (family.removesuffix("-inpainting"), file)
    loaded = load_components(found, device="cpu")
    for part in PARTS:
        assert_same_weights(getattr(loaded, part), getattr(components, part))
    assert loaded.scheduler_config.items() >= dict(components.scheduler_config).items()
    assert loaded.force_zeros_for_empty_prompt == components.force_zeros_for_empty_prompt
    assert {n for n in model_hashes(found) if "/" not in n} == {"model.safetensors", "configs"}


@pytest.mark.parametrize(("family", "layout"), [("sd1", "sd15"), ("sd2", "sd21"), ("sdxl", "sdxl")])
def test_the_family_is_told_from_the_names(tmp_path: Path, family: str, layout: str) -> None:
    found = find_checkpoint(str(save_ldm_file(TINY[family](), tmp_path / "m.safetensors")))
    assert found.family == family
    expected = read_json(LAYOUTS / layout, "unet/config.json")
    assert found.configs["unet"]["cross_attention_dim"] == expected["cross_attention_dim"]
    assert set(found.tokenizers.values()) == {VOCABULARY}
    assert len(found.tokenizers) == (2 if family == "sdxl" else 1)
    assert not found.paints


@pytest.mark.parametrize(
    ("family", "side", "steps_offset"), [("sd1", 512, 1), ("sd2", 512, 1), ("sdxl", 1024, 1)]
)
def test_inpainting_is_told_from_the_shapes(
    tmp_path: Path, family: str, side: int, steps_offset: int
) -> None:
    """Of Stable Diffusion 2 there is only the one that grew out of the base."""
    found = find_checkpoint(str(save_ldm_file(tiny_inpaint(family), tmp_path / "m.safetensors")))
    assert (found.family, found.paints) == (family, True)
    assert (found.prediction_type, found.native_size) == ("epsilon", (side, side))
    assert found.scheduler_config["steps_offset"] == steps_offset
    if family != "sdxl":
        assert found.scheduler_config["skip_prk_steps"] is True


def test_an_inpainting_file_that_declares_its_prediction(tmp_path: Path) -> None:
    file = tmp_path / "sd2.safetensors"
    notes = {"modelspec.prediction_type": "v"}
    save_file(ldm_tensors(tiny_inpaint("sd2")), file, metadata=notes)
    assert find_checkpoint(str(file)).prediction_type == "v_prediction"


# Stable Diffusion 2: the base model or 768-v.

BIAS = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def told(tmp_path: Path, notes: dict[str, str] | None = None, **tensors: Tensor) -> str:
    file = tmp_path / "sd2.safetensors"
    save_file(ldm_tensors(tiny_sd2()) | tensors, file, metadata=notes)
    return layout_of_file(read_header(file))


def test_base_or_768_by_what_the_writer_declares(tmp_path: Path) -> None:
    assert told(tmp_path, {"modelspec.prediction_type": "v"}) == "sd21"
    assert told(tmp_path, {"modelspec.prediction_type": "epsilon"}) == "sd21-base"


def test_base_or_768_by_the_training_step(tmp_path: Path) -> None:
    assert told(tmp_path) == "sd21"
    assert told(tmp_path, global_step=torch.tensor(875000)) == "sd21-base"
    assert told(tmp_path, global_step=torch.tensor(110000)) == "sd21"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_base_or_768_by_the_spread_of_a_bias(tmp_path: Path, dtype: torch.dtype) -> None:
    ones = torch.tensor([-1.0, 1.0] * 160)
    assert told(tmp_path, **{BIAS: (ones * 0.08).to(dtype)}) == "sd21-base"
    assert told(tmp_path, **{BIAS: (ones * 0.10).to(dtype)}) == "sd21"


def test_fine_tunes_of_sdxl_that_predict_velocity(layouts: Path, tmp_path: Path) -> None:
    marks = {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)}
    file = save_ldm_file(TINY["sdxl"](), tmp_path / "m.safetensors", **marks)
    config = load(file, layouts / "sdxl").scheduler_config
    assert config["prediction_type"] == "v_prediction"
    assert config["rescale_betas_zero_snr"] is True
    assert config["timestep_spacing"] == "trailing"


# What is refused, by which name.


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "Stable Diffusion 3"),
        (["joint_blocks.0.x_block.attn.qkv.weight"], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight"], "Flux"),
        (["conditioner.embedders.0.open_clip.model.ln_final.weight"], "Stable Video Diffusion"),
        (["edm_mean"], "Playground 2.5"),
        (["clip_txt_mapper.weight"], "Stable Cascade"),
        (["down_blocks.0.motion_modules.0.proj_in.weight"], "an AnimateDiff motion module"),
        (["control_model.time_embed.0.weight"], "a ControlNet"),
        (["lora_unet_down_blocks_0.lora_up.weight"], "a LoRA"),
        (["emb_params"], "a learned embedding"),
        (["down_blocks.0.resnets.0.conv1.weight"], "only a UNet (use it with --unet)"),
        (["text_model.final_layer_norm.weight"], "only a text encoder"),
        (["decoder.conv_in.weight"], "only a VAE (use it with --vae)"),
        (["something.else"], "no UNet in the LDM layout"),
        (["model.diffusion_model.out.0.weight"], "only a UNet (use it with --unet)"),
        (["model.diffusion_model.out.0.weight", "a.b"], "no text encoder of a known family"),
    ],
)
def test_refuses_other_files_by_name(tmp_path: Path, names: list[str], message: str) -> None:
    file = tmp_path / "model.safetensors"
    save_file({name: torch.zeros(1) for name in names}, file)
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        find_checkpoint(str(file))
    assert "sdloop runs Stable Diffusion 1.x, 2.x and SDXL base" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("input_blocks.0.0.weight", (32, 7, 3, 3), "an upscaler"),
        ("label_emb.weight", (32, 32), "num_class_embeds"),
        ("label_emb.0.0.weight", (32, 32), "Stable unCLIP"),
    ],
)
def test_refuses_other_unets_by_name(
    tmp_path: Path, name: str, shape: tuple[int, ...], message: str
) -> None:
    tensors = ldm_tensors(tiny_sd2()) | {f"model.diffusion_model.{name}": torch.zeros(shape)}
    save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(tmp_path / "m.safetensors"))


# Damaged files.

CONV = "model.diffusion_model.out.2.weight"
EMBEDS = {
    "sd1": "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    "sd2": "cond_stage_model.model.token_embedding.weight",
    "sdxl": "conditioner.embedders.1.model.token_embedding.weight",
}


def failure(
    layout: Path, tmp_path: Path, family: str, change: Callable[[dict[str, Tensor]], object]
) -> str:
    tensors = ldm_tensors(TINY[family]())
    change(tensors)
    file = tmp_path / "model.safetensors"
    save_file(tensors, file)
    with pytest.raises(ModelError) as caught:
        load(file, layout)
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("family", list(EMBEDS))
@pytest.mark.parametrize(
    ("name", "told"),
    [
        (CONV, "unet in .*: conv_out.weight is missing"),
        (
            "first_stage_model.decoder.conv_in.weight",
            "vae in .*: decoder.conv_in.weight is missing",
        ),
        ("text", "text_encoder.* in .*: .*embeddings.token_embedding.weight is missing"),
    ],
)
def test_a_missing_tensor(layouts: Path, tmp_path: Path, family: str, name: str, told: str) -> None:
    name = EMBEDS[family] if name == "text" else name
    message = failure(layouts / family, tmp_path, family, lambda tensors: tensors.pop(name))
    assert re.search(told, message)


def test_a_missing_embedding_of_the_sizes(layouts: Path, tmp_path: Path) -> None:
    name = "model.diffusion_model.label_emb.0.0.weight"
    message = failure(layouts / "sdxl", tmp_path, "sdxl", lambda tensors: tensors.pop(name))
    assert "unet in" in message and "label_emb.0.0.weight is missing" in message


@pytest.mark.parametrize("family", list(EMBEDS))
@pytest.mark.parametrize(
    "name",
    [
        "model.diffusion_model.more.weight",
        "model.diffusion_model.input_blocks.1.0.more.weight",
        "first_stage_model.decoder.more.weight",
        "text",
    ],
)
def test_an_extra_tensor(layouts: Path, tmp_path: Path, family: str, name: str) -> None:
    name = name if name != "text" else EMBEDS[family].replace("token_embedding", "more")
    extra = {name: torch.ones(1)}
    message = failure(layouts / family, tmp_path, family, lambda tensors: tensors.update(extra))
    assert "more.weight is not expected" in message


def test_another_shape_and_nan(layouts: Path, tmp_path: Path) -> None:
    for bad, told in (
        (torch.zeros(4, 32, 1, 1), "conv_out.weight has the shape (4, 32, 1, 1)"),
        (torch.full((4, 32, 3, 3), torch.nan), "conv_out.weight holds NaN"),
    ):
        change = {CONV: bad}
        message = failure(layouts / "sd1", tmp_path, "sd1", lambda t, c=change: t.update(c))
        assert told in message


@pytest.mark.parametrize("part", ["text_encoder", "vae"])
def test_a_file_without_a_part(layouts: Path, tmp_path: Path, part: str) -> None:
    starts = "first_stage_model." if part == "vae" else "conditioner.embedders.0."
    tensors = {n: t for n, t in ldm_tensors(TINY["sdxl"]()).items() if not n.startswith(starts)}
    save_file(tensors, tmp_path / "m.safetensors")
    hint = "holds no VAE: give one with --vae" if part == "vae" else f"holds no {part}"
    with pytest.raises(ModelError, match=hint):
        find_checkpoint(str(tmp_path / "m.safetensors"), layout=layouts / "sdxl")


# What real files have beside the model.


def test_the_last_layer_that_stable_diffusion_2_does_not_use(layouts: Path, tmp_path: Path) -> None:
    start = "cond_stage_model.model."
    unused = {
        f"{start}transformer.resblocks.23.ln_1.weight": torch.ones(32),
        f"{start}transformer.resblocks.23.attn.in_proj_weight": torch.ones(96, 32),
        f"{start}text_projection": torch.ones(32, 32),
    }
    file = save_ldm_file(tiny_sd2(), tmp_path / "m.safetensors", **unused)
    assert_same_weights(load(file, layouts / "sd2").text_encoder, tiny_sd2().text_encoder)


IDS = "text_model.embeddings.position_ids"


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("sd1", ["cond_stage_model.transformer.text_projection.weight"]),
        ("sd1", [f"cond_stage_model.transformer.{IDS}", "cond_stage_model.logit_scale"]),
        ("sd2", [f"cond_stage_model.model.transformer.{IDS}", "cond_stage_model.model.attn_mask"]),
        ("sdxl", ["conditioner.embedders.0.transformer.text_projection.weight"]),
        ("sdxl", [f"conditioner.embedders.1.model.transformer.{IDS}"]),
        ("sdxl", ["conditioner.embedders.0.logit_scale"]),
    ],
)
def test_harmless_tensors_are_dropped(
    layouts: Path, tmp_path: Path, family: str, names: list[str]
) -> None:
    """What ComfyUI and others save with a text encoder, and every loader drops."""
    extra = {name: torch.ones(1, 77) for name in names}
    file = save_ldm_file(TINY[family](), tmp_path / "m.safetensors", **extra)
    loaded = load(file, layouts / family)
    for part in PARTS:
        assert_same_weights(getattr(loaded, part), getattr(TINY[family](), part))


def test_the_projection_of_the_second_text_encoder_is_no_extra(
    layouts: Path, tmp_path: Path
) -> None:
    tensors = ldm_tensors(TINY["sdxl"]())
    del tensors["conditioner.embedders.1.model.text_projection"]
    save_file(tensors, tmp_path / "m.safetensors")
    with pytest.raises(ModelError, match=r"text_projection\.weight is missing"):
        load(tmp_path / "m.safetensors", layouts / "sdxl")


# SD-Turbo: Stable Diffusion 2 as the code of SDXL names it.


def in_sgm(**extra: Tensor) -> dict[str, Tensor]:
    old, new = "cond_stage_model.", "conditioner.embedders.0."
    tensors = ldm_tensors(tiny_sd2(seed=5)) | extra
    return {name.replace(old, new): tensor for name, tensor in tensors.items()}


def test_stable_diffusion_2_in_the_layout_of_sgm(layouts: Path, tmp_path: Path) -> None:
    layer = "cond_stage_model.model.transformer.resblocks.23."
    unused = {
        f"{layer}ln_1.weight": torch.ones(32),
        f"{layer}attn.in_proj_weight": torch.ones(96, 32),
        "cond_stage_model.model.text_projection": torch.ones(32, 32),
        "cond_stage_model.model.logit_scale": torch.tensor(4.6),
        "denoiser.sigmas": torch.ones(1000),
    }
    file = tmp_path / "sd_turbo.safetensors"
    save_file(in_sgm(**unused), file)
    found = find_checkpoint(str(file), layout=layouts / "sd2")
    assert found.family == "sd2"
    loaded = load_components(found, device="cpu")
    for part in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(loaded, part), getattr(tiny_sd2(seed=5), part))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("model.diffusion_model.label_emb.0.0.weight", (32, 32)),
        ("conditioner.embedders.0.model.ln_final.weight", (1280,)),
    ],
)
def test_a_refiner_is_none(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    save_file(in_sgm() | {name: torch.zeros(shape)}, tmp_path / "m.safetensors")
    assert find_checkpoint(str(tmp_path / "m.safetensors")).family == "refiner"


# CosXL: SDXL in EDM's terms.


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_cosxl_is_run_as_it_was_trained(layouts: Path, tmp_path: Path, ending: str) -> None:
    """As ComfyUI takes the file, and diffusers with the scheduler that was made for CosXL."""
    most, file = (90.0, 120.0)[ending == "ckpt"], tmp_path / f"cosxl.{ending}"
    marks = {"edm_vpred.sigma_max": torch.tensor(most), "edm_vpred.sigma_min": torch.tensor(0.002)}
    if ending == "ckpt":
        torch.save(ldm_tensors(TINY["sdxl"]()) | marks, file)
    else:
        save_ldm_file(TINY["sdxl"](), file, **marks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load(file, layouts / "sdxl")
    wanted = Recipe(prompt="a cat", seed=7, steps=3, width=32, height=32, guidance_scale=5)
    [picture] = generate(loaded, [wanted])
    pipe = pipeline(loaded, wanted, [7])
    pipe.scheduler = EDMEulerScheduler(
        sigma_min=loaded.scheduler_config["sigma_min"],
        sigma_max=most,
        sigma_data=1.0,
        prediction_type="v_prediction",
        sigma_schedule="exponential",
    )
    expected = pipe(
        prompt="a cat", num_inference_steps=3, width=32, height=32, guidance_scale=5,
        generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    assert torch.equal(picture.latents, expected[0])
    assert loaded.scheduler_config["sigma_min"] == pytest.approx(0.002)


# A VAE in a file of its own.


@pytest.mark.parametrize("names", ["bare", "prefixed", "diffusers"])
def test_a_single_file_vae(layouts: Path, tmp_path: Path, names: str) -> None:
    other = tiny_sd1(seed=7)
    tensors = {
        "bare": ldm_vae(other) | {"loss.logvar": torch.zeros(1)},
        "prefixed": {f"first_stage_model.{n}": t for n, t in ldm_vae(other).items()},
        "diffusers": other.vae.state_dict(),
    }[names]
    file = tmp_path / "vae.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    found = find_checkpoint(str(layouts / "sd1"), vae=str(file))
    loaded = load_components(found, device="cpu")
    assert_same_weights(loaded.vae, other.vae)
    assert_same_weights(loaded.unet, tiny_sd1().unet)
    assert "vae.safetensors" in model_hashes(found)


def test_a_single_file_without_a_vae_takes_another(layouts: Path, tmp_path: Path) -> None:
    tensors = {n: t for n, t in ldm_tensors(tiny_sd1()).items() if not n.startswith("first_")}
    save_file(tensors, tmp_path / "m.safetensors")
    loaded = load(tmp_path / "m.safetensors", layouts / "sd1", vae=str(layouts / "sd1"))
    assert_same_weights(loaded.vae, tiny_sd1().vae)


def test_what_is_no_vae(layouts: Path, tmp_path: Path) -> None:
    save_file({"some.weight": torch.ones(1)}, tmp_path / "vae.safetensors")
    with pytest.raises(ModelError, match="holds no VAE"):
        find_checkpoint(str(layouts / "sd1"), vae=str(tmp_path / "vae.safetensors"))


# Pickles.


@pytest.mark.parametrize("family", list(TINY))
def test_a_ckpt_is_read_as_tensors_with_a_warning(
    layouts: Path, tmp_path: Path, family: str
) -> None:
    components = TINY[family](seed=2)
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": ldm_tensors(components), "global_step": 840000}, file)
    found = find_checkpoint(str(file), layout=layouts / family)
    with pytest.warns(UserWarning, match=r"model\.ckpt is a pickle: only its tensors are read"):
        loaded = load_components(found, device="cpu")
    for part in PARTS:
        assert_same_weights(getattr(loaded, part), getattr(components, part))


def test_a_ckpt_tells_its_step(tmp_path: Path) -> None:
    for step, layout in ((875000, "sd21-base"), (140000, "sd21")):
        held = {"state_dict": ldm_tensors(tiny_sd2()), "global_step": step}
        torch.save(held, tmp_path / "m.ckpt")
        assert layout_of_file(read_header(tmp_path / "m.ckpt")) == layout


def test_the_names_and_shapes_in_a_ckpt(tmp_path: Path) -> None:
    tensors = {
        "scalar": torch.tensor(1),
        "line": torch.zeros(3),
        "square": torch.zeros(300, 2).half(),
        "kernel": torch.nn.Parameter(torch.zeros(2, 3, 4, 70000)),
        "shared": torch.zeros(2, 6)[:, :3],
    }
    torch.save({"epoch": 3, "state_dict": tensors}, tmp_path / "m.ckpt")
    header = read_header(tmp_path / "m.ckpt")
    assert header.tensors == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert header.notes["epoch"] == "3"


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_code_in_a_ckpt_never_runs(layouts: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.ckpt"
    torch.save({"state_dict": ldm_tensors(tiny_sd1()), "callbacks": Bomb(tmp_path / "trace")}, file)
    found = find_checkpoint(str(file), layout=layouts / "sd1")
    with warnings.catch_warnings(), pytest.raises(ModelError, match="holds more than tensors"):
        warnings.simplefilter("ignore")
        load_components(found, device="cpu")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("extra", ["lightning", "numpy"])
def test_objects_beside_the_tensors_of_a_ckpt(
    layouts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    """The published SD 1.5 has a class of Lightning among its callbacks, others numpy's numbers."""
    components, trace = tiny_sd1(seed=2), tmp_path / "trace"
    beside: dict[str, Any] = {"best": np.float64(0.1), "losses": np.ones(3)}
    with monkeypatch.context() as patch:
        if extra == "lightning":
            beside = {"callbacks": _callbacks(patch, trace)}
        held = {"epoch": 1, "state_dict": ldm_tensors(components), "global_step": 470000} | beside
        torch.save(held, tmp_path / "m.ckpt")
    found = find_checkpoint(str(tmp_path / "m.ckpt"), layout=layouts / "sd1")
    with pytest.warns(UserWarning, match="only its tensors are read"):
        loaded = load_components(found, device="cpu")
    for part in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(loaded, part), getattr(components, part))
    assert not trace.exists()


def _callbacks(patch: pytest.MonkeyPatch, trace: Path) -> dict[Any, Any]:
    """What Lightning saved of its callbacks, by a class that leaves a trace when it is used."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    for end in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
        patch.setitem(sys.modules, end, types.ModuleType(end))

    def touch(self: object, _: object) -> None:
        trace.touch()

    members = {"__module__": name, "__qualname__": "ModelCheckpoint", "__setstate__": touch}
    kind = type("ModelCheckpoint", (), members)
    patch.setattr(sys.modules[name], "ModelCheckpoint", kind, raising=False)
    itself = kind()
    itself.monitor = "val/loss_simple_ema"
    return {kind: {"best_model_score": torch.tensor(0.1), "itself": itself}}


def test_a_strange_class_in_a_ckpt_is_named_without_colours(layouts: Path, tmp_path: Path) -> None:
    held = {"state_dict": ldm_tensors(tiny_sd1()), "callbacks": Bomb(tmp_path / "trace")}
    torch.save(held, tmp_path / "m.ckpt")
    found = find_checkpoint(str(tmp_path / "m.ckpt"), layout=layouts / "sd1")
    with warnings.catch_warnings(), pytest.raises(ModelError, match="it names builtins") as caught:
        warnings.simplefilter("ignore")
        load_components(found, device="cpu")
    assert "\x1b" not in str(caught.value)


def test_a_refusal_of_torch_has_no_colours(layouts: Path, tmp_path: Path) -> None:
    """A dictionary of numpy's: nothing stands in for it, for torch gives it items."""
    file = tmp_path / "m.ckpt"
    kind = type("Items", (dict,), {"__module__": "numpy.items", "__qualname__": "Items"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numpy.items", types.ModuleType("numpy.items"))
        patch.setattr(sys.modules["numpy.items"], "Items", kind, raising=False)
        torch.save({"state_dict": ldm_tensors(tiny_sd1()), "best": kind(step=1)}, file)
    found = find_checkpoint(str(file), layout=layouts / "sd1")
    with warnings.catch_warnings(), pytest.raises(ModelError, match="holds more than") as caught:
        warnings.simplefilter("ignore")
        load_components(found, device="cpu")
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_torch_before_1_6(tmp_path: Path) -> None:
    """It is named, and the command in the message converts it."""
    file = tmp_path / "m.ckpt"
    old = {"state_dict": ldm_tensors(tiny_sd1())}
    torch.save(old, file, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"m\.ckpt is in the old format of torch") as caught:
        find_checkpoint(str(file))
    exec(str(caught.value).split('"')[1])
    assert find_checkpoint(str(tmp_path / "m-new.ckpt")).family == "sd1"


@pytest.mark.parametrize("data", [b"", b"PK\3\4", b"\x80\x02}q\x00."])
def test_what_is_no_ckpt(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "m.ckpt").write_bytes(data)
    with pytest.raises(ModelError, match="not a PyTorch checkpoint"):
        find_checkpoint(str(tmp_path / "m.ckpt"))


# The real thing, in size.


@pytest.mark.slow
def test_stable_diffusion_1_5_in_full_size(tmp_path: Path) -> None:
    """No layout is given, nothing is fetched, and three gigabytes arrive where they belong."""
    torch.manual_seed(0)
    parts = ("unet", "vae", "text_encoder")
    configs = {part: read_json(LAYOUTS / "sd15", f"{part}/config.json") for part in parts}
    with torch.device("meta"):
        original = {
            "unet": UNet2DConditionModel.from_config(configs["unet"]),
            "vae": AutoencoderKL.from_config(configs["vae"]),
            "text_encoder": CLIPTextModel(CLIPTextConfig.from_dict(configs["text_encoder"])),
        }
    for number, module in enumerate(original.values()):
        module.to_empty(device="cpu").half()
        for parameter in module.parameters():
            parameter.data.fill_(0.01 * number).view(-1)[:1] = parameter.numel() % 1000
    components = Components(tokenizer=None, scheduler_config={}, **original)
    file = save_ldm_file(components, tmp_path / "v1-5-pruned.safetensors")
    loaded = load_components(str(file), device="cpu", dtype="fp16")
    for part, module in original.items():
        assert_same_weights(getattr(loaded, part), module)
    assert loaded.native_size == (512, 512)
    assert loaded.tokenizer("a photo of a cat").input_ids[1:-1] == [320, 1125, 539, 320, 2368]
    assert len(load_file(file)) > 1000
