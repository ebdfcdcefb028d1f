"""Loading: every tensor has the right name, device and dtype, or there is a one-line error."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import (
    save_diffusers_folder,
    tiny_sd1,
    tiny_tokenizer,
    tiny_upscaler,
    write_json,
)
from helpers.weights import PARTS, TINY, assert_same_weights
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTokenizer

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.find import VOCABULARY, find_checkpoint
from sdloop.models.components.device import pick_device, pick_dtype
from sdloop.models.components.load import Components, load_components

FOLDERS = TINY | {"upscaler": tiny_upscaler}  # the upscaler is none of single files


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for name, tiny in FOLDERS.items():
        save_diffusers_folder(tiny(), root / name)
    return root


@pytest.fixture
def sd1(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(saved / "sd1", tmp_path / "sd1"))


def load(model: Path | str, **options: Any) -> Components:
    return load_components(str(model), device="cpu", **options)


@pytest.mark.parametrize("family", list(FOLDERS))
def test_loads_what_the_libraries_load(saved: Path, family: str) -> None:
    loaded = load(saved / family)
    for part, kind in PARTS.items():
        if not (saved / family / part).exists():
            assert getattr(loaded, part) is None
            continue
        ours = getattr(loaded, part)
        theirs = kind.from_pretrained(saved / family / part)
        assert_same_weights(ours, theirs)
        assert not ours.training
        ignored = {"_name_or_path", "dtype"}
        assert {
            k: v
            for k, v in dict(
                ours.config.to_dict() if hasattr(ours.config, "to_dict") else ours.config
            ).items()
            if k not in ignored
        } == {
            k: v
            for k, v in dict(
                theirs.config.to_dict() if hasattr(theirs.config, "to_dict") else theirs.config
            ).items()
            if k not in ignored
        }
        for (name, mine), (_, other) in zip(
            ours.named_buffers(), theirs.named_buffers(), strict=True
        ):
            assert torch.equal(mine, other), name


KNOWN = (
    *("native_size", "size_multiple", "takes_sizes", "paints", "max_tokens", "text_layers"),
    *("guidance_scale", "scheduler_config", "max_noise_level"),
)


@pytest.mark.parametrize("family", list(FOLDERS))
def test_knows_the_same_as_its_checkpoint(saved: Path, family: str) -> None:
    found = find_checkpoint(str(saved / family))
    loaded = load_components(found, device="cpu")
    for name in KNOWN:
        assert getattr(loaded, name) == getattr(found, name)
    assert loaded.paints == family.endswith("-inpainting")
    assert loaded.force_zeros_for_empty_prompt == family.startswith("sdxl")
    assert loaded.checkpoint is found
    assert loaded.vae_factor == (4 if family == "upscaler" else 2)
    by_hand = FOLDERS[family]()
    assert by_hand.guidance_scale == found.guidance_scale
    assert by_hand.low_res_scheduler_config == loaded.low_res_scheduler_config


def test_the_upscalers_vae_is_not_run_in_half_precision(sd1: Path, saved: Path) -> None:
    """It overflows, and its config, like all old ones, says nothing of that."""
    folder = Path(shutil.copytree(saved / "upscaler", sd1.with_name("upscaler")))
    values = json.loads((folder / "vae/config.json").read_text())
    del values["force_upcast"]
    write_json(folder / "vae/config.json", values)
    loaded = load(folder, dtype="fp16")
    assert (loaded.unet.dtype, loaded.vae.dtype) == (torch.float16, torch.float32)


def test_tokenizers_pad_as_the_family_does(saved: Path) -> None:
    sd2, xl = load(saved / "sd2"), load(saved / "sdxl")
    assert (sd2.tokenizer.pad_token, xl.tokenizer.pad_token) == ("!", "<|endoftext|>")
    assert xl.tokenizer_2 is not None and xl.tokenizer_2.pad_token == "!"


def test_the_vocabulary_is_clips() -> None:
    tokenizer = CLIPTokenizer.from_pretrained(VOCABULARY)
    assert len(tokenizer) == 49408
    ids = [49406, 320, 1125, 539, 320, 2368, 49407]
    assert tokenizer("a photo of a cat").input_ids == ids
    assert tokenizer.model_max_length == 77


def test_sharded_and_variant_weights_are_the_same(tmp_path: Path) -> None:
    components = tiny_sd1()
    save_diffusers_folder(components, tmp_path / "shards", shards="1MB")
    save_diffusers_folder(components, tmp_path / "variant", variant="fp16")
    save_diffusers_folder(components, tmp_path / "both", variant="fp16", shards="1MB")
    loads = (
        load(tmp_path / "shards"),
        *(load(tmp_path / n, variant="fp16") for n in ("variant", "both")),
    )
    for loaded in loads:
        for part in PARTS:
            assert_same_weights(getattr(loaded, part), getattr(components, part))


# Names that real files have and today's libraries do not write.


def test_attention_names_of_old_vaes(sd1: Path) -> None:
    weights = sd1 / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(weights)
    for name in [name for name in tensors if ".attentions." in name]:
        renamed = name
        for new, before in old.items():
            renamed = renamed.replace(f".{new}.", f".{before}.")
        tensors[renamed] = tensors.pop(name)
    save_file(tensors, weights)
    assert any(".proj_attn." in name for name in tensors)
    assert_same_weights(load(sd1).vae, tiny_sd1().vae)


def test_names_of_old_text_encoders(sd1: Path) -> None:
    weights = sd1 / "text_encoder" / "model.safetensors"
    tensors = {
        f"text_model.{n.removeprefix('text_model.')}": t for n, t in load_file(weights).items()
    }
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, weights)
    assert_same_weights(load(sd1).text_encoder, tiny_sd1().text_encoder)


# Damaged weights.


def damage(model: Path, part: str, change: Callable[[dict[str, Tensor]], object]) -> str:
    """Change the tensors of a part's file, and return how loading fails."""
    (file,) = (model / part).glob("*.safetensors")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    with pytest.raises(ModelError) as caught:
        load(model)
    message = str(caught.value)
    assert part in message and str(file) in message and "\n" not in message
    return message


FIRST = {
    "unet": "conv_in.weight",
    "vae": "decoder.conv_in.weight",
    "text_encoder": "final_layer_norm.weight",
}


@pytest.mark.parametrize(("part", "name"), FIRST.items())
def test_a_missing_tensor(sd1: Path, part: str, name: str) -> None:
    assert f"{name} is missing" in damage(sd1, part, lambda tensors: tensors.pop(name))


@pytest.mark.parametrize("part", FIRST)
def test_an_extra_tensor(sd1: Path, part: str) -> None:
    extra = {"more.weight": torch.zeros(1)}
    assert "more.weight is not expected" in damage(sd1, part, lambda t: t.update(extra))


@pytest.mark.parametrize(("part", "name"), FIRST.items())
def test_a_tensor_of_another_shape(sd1: Path, part: str, name: str) -> None:
    message = damage(sd1, part, lambda tensors: tensors.update({name: torch.zeros(3, 5)}))
    assert f"{name} has the shape (3, 5), but its config asks for" in message


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("part", "name"), FIRST.items())
def test_a_tensor_that_is_not_finite(sd1: Path, part: str, name: str, bad: float) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        tensors[name].view(-1)[-1] = bad

    assert f"{name} holds NaN or infinity" in damage(sd1, part, spoil)


def test_a_number_too_large_for_half_precision(sd1: Path) -> None:
    file = sd1 / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_in.weight"][0, 0, 0, 0] = 70000.0
    save_file(tensors, file)
    load(sd1, dtype="bf16")
    with pytest.raises(ModelError, match=r"conv_in\.weight holds NaN or infinity"):
        load(sd1, dtype="fp16")


def test_a_file_that_changes_after_it_was_found(sd1: Path) -> None:
    found = find_checkpoint(str(sd1))
    file = sd1 / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model\.\w+ cannot be read"):
        load_components(found, device="cpu")


def test_a_config_that_builds_nothing(sd1: Path) -> None:
    config = sd1 / "unet" / "config.json"
    values = json.loads(config.read_text())
    write_json(config, values | {"down_block_types": ["NoBlock", "NoBlock"]})
    with pytest.raises(ModelError, match="an invalid config for its unet"):
        load(sd1)


def test_a_config_that_contradicts_itself(sd1: Path) -> None:
    config = sd1 / "text_encoder" / "config.json"
    write_json(config, json.loads(config.read_text()) | {"num_attention_heads": 5})
    with pytest.raises(ModelError, match=r"an invalid config for its text_encoder: .* heads"):
        load(sd1)


def test_a_vocabulary_larger_than_its_encoder(sd1: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["another"])
    tokenizer.save_pretrained(sd1 / "tokenizer")
    with pytest.raises(ModelError, match="tokenizer has 1003 words, its encoder 1002"):
        load(sd1)


def test_a_vocabulary_that_cannot_be_read(sd1: Path) -> None:
    (sd1 / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer in .* cannot be read"):
        load(sd1)


# Device and precision.


@pytest.mark.parametrize(
    ("name", "dtype"), [("auto", "float32"), ("fp32", "float32"), ("bf16", "bfloat16")]
)
def test_precision(saved: Path, name: str, dtype: str) -> None:
    loaded = load(saved / "sdxl", dtype=name)
    for part in PARTS:
        assert getattr(loaded, part).dtype == getattr(torch, dtype)


def test_a_vae_that_overflows_is_kept_from_half_precision(saved: Path, sd1: Path) -> None:
    xl = load(saved / "sdxl", dtype="fp16")
    assert (xl.dtype, xl.vae.dtype) == (torch.float16, torch.float32)
    assert load(sd1, dtype="fp16").vae.dtype == torch.float16  # force_upcast is False there
    config = sd1 / "vae" / "config.json"
    values = json.loads(config.read_text())
    del values["force_upcast"]
    write_json(config, values)  # as in the published SD1 and SD2
    assert load(sd1, dtype="fp16").vae.dtype == torch.float16
    write_json(config, values | {"force_upcast": True})
    assert load(sd1, dtype="fp16").vae.dtype == torch.float32


def test_an_sdxl_vae_without_the_note_is_kept_as_well(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved / "sdxl", tmp_path / "sdxl"))
    values = json.loads((folder / "vae/config.json").read_text())
    del values["force_upcast"]
    write_json(folder / "vae/config.json", values)
    assert load(folder, dtype="fp16").vae.dtype == torch.float32


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "cpu:0", ""])
def test_a_device_that_is_not_there(name: str) -> None:
    with pytest.raises(SettingError, match=rf"device must be one of auto, .*cpu, got '{name}'"):
        pick_device(name)


def test_a_dtype_that_is_none() -> None:
    with pytest.raises(
        SettingError, match="dtype must be one of auto, fp16, bf16, tf32, fp32, fp8, got 'half'"
    ):
        pick_dtype("half", torch.device("cpu"))


def test_the_device_is_checked_before_the_model_is_looked_for() -> None:
    with pytest.raises(SettingError, match="device must be"):
        load_components("./nothing", device="cuda:99")


@pytest.mark.parametrize(
    ("device", "bf16", "dtype"),
    [
        ("cpu", True, "float32"),
        ("cuda", True, "bfloat16"),
        ("cuda", False, "float16"),
        ("mps", True, "float16"),
    ],
)
def test_automatic_precision(
    monkeypatch: pytest.MonkeyPatch, device: str, bf16: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert pick_dtype("auto", torch.device(device)) == getattr(torch, dtype)


def test_settings_of_a_checkpoint_that_was_found(saved: Path) -> None:
    with pytest.raises(SettingError, match="must be given to find_checkpoint"):
        load_components(find_checkpoint(str(saved / "sd1")), variant="fp16")


@pytest.mark.gpu
def test_loads_straight_to_the_gpu(saved: Path) -> None:
    loaded = load_components(str(saved / "sdxl"), device="cuda")
    for part in PARTS:
        tensors = (*getattr(loaded, part).parameters(), *getattr(loaded, part).buffers())
        assert {tensor.device for tensor in tensors} == {torch.device("cuda:0")}


# Another VAE, and the rest.


def test_another_vae(saved: Path, tmp_path: Path) -> None:
    other = tiny_sd1(seed=5)
    save_diffusers_folder(other, tmp_path)
    for vae in (tmp_path, tmp_path / "vae"):
        loaded = load(saved / "sd1", vae=str(vae))
        assert_same_weights(loaded.vae, other.vae)
        assert_same_weights(loaded.unet, tiny_sd1().unet)


def test_loading_says_nothing(
    saved: Path, sd1: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    config = sd1 / "unet" / "config.json"
    write_json(config, json.loads(config.read_text()) | {"not_in_diffusers": 1})
    for model in (saved / "sdxl", sd1):
        load(model)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_the_embedded_model_loads() -> None:
    assert load_components(device="cpu").checkpoint is not None
