"""Finding and recognising models, and refusing other files, without importing torch."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from helpers.crossings import INPAINTING
from helpers.tiny import (
    save_diffusers_folder,
    tiny_inpaint,
    tiny_sd1,
    tiny_sd2,
    tiny_sdxl,
    tiny_upscaler,
    write_json,
)
from helpers.weights import assert_same_weights
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import load_file

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.addresses import local_path
from sdloop.models.checkpoint.advice import Advice
from sdloop.models.checkpoint.find import LAYOUTS, find_checkpoint
from sdloop.models.checkpoint.folder import read_json
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.legacy import settled_scheduler
from sdloop.models.checkpoint.tokenizer import load_tokenizer
from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS
from sdloop.schedulers.schedule import make_scheduler


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of each family; copied, never changed."""
    root = tmp_path_factory.mktemp("models")
    for name, tiny in (("sd1", tiny_sd1), ("sd2", tiny_sd2), ("sdxl", tiny_sdxl)):
        save_diffusers_folder(tiny(), root / name)
        save_diffusers_folder(tiny_inpaint(name), root / f"{name}-inpainting")
    save_diffusers_folder(tiny_upscaler(), root / "upscaler")
    return root


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Callable[[str], Path]:
    def copied(family: str) -> Path:
        return Path(shutil.copytree(saved / family, tmp_path / family))

    return copied


CLASS_NAMES = sorted(
    {e.class_name for e in SCHEDULERS.values() if not e.knows & {"edm", "descent"}}
)


def edit(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text()) | values)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_tells_the_family_from_the_folder(saved: Path, family: str) -> None:
    found = find_checkpoint(str(saved / family))
    assert found.family == family
    assert found.native_size == (32, 32)
    assert found.size_multiple == 2
    assert found.takes_sizes == (family == "sdxl")
    assert found.force_zeros_for_empty_prompt == (family == "sdxl")
    assert found.max_tokens == 77
    assert found.revision is None


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_tells_an_inpainting_model_from_an_ordinary_one(saved: Path, family: str) -> None:
    found = find_checkpoint(str(saved / f"{family}-inpainting"))
    assert (found.family, found.paints) == (family, True)
    assert not find_checkpoint(str(saved / family)).paints


def test_tells_an_upscaler_from_other_models(saved: Path, copy: Callable[[str], Path]) -> None:
    found = find_checkpoint(str(saved / "upscaler"))
    assert (found.family, found.max_noise_level, found.paints) == ("upscaler", 350, False)
    assert (found.size_multiple, found.native_size) == (4, (64, 64))
    assert (found.guidance_scale, found.prediction_type) == (9.0, "v_prediction")
    assert found.configs["low_res_scheduler"]["beta_schedule"] == "squaredcos_cap_v2"
    assert find_checkpoint(str(saved / "sd2")).max_noise_level is None
    folder = copy("upscaler")
    edit(folder / "model_index.json", max_noise_level=0)
    assert find_checkpoint(str(folder)).max_noise_level == 0


def test_what_decides_the_noise_of_an_upscaler_is_in_its_hashes(
    copy: Callable[[str], Path],
) -> None:
    folder = copy("upscaler")
    before = model_hashes(find_checkpoint(str(folder)))
    edit(folder / "low_res_scheduler/scheduler_config.json", beta_schedule="linear")
    after = model_hashes(find_checkpoint(str(folder)))
    assert {name for name in before if before[name] != after[name]} == {"configs"}


def test_upscalers_of_the_first_days_are_settled_as_diffusers_does(
    copy: Callable[[str], Path],
) -> None:
    """Their indices and VAEs say nothing of the noise level and the factor."""
    folder = copy("upscaler")
    for file, key in (
        ("model_index.json", "max_noise_level"),
        ("vae/config.json", "scaling_factor"),
    ):
        values = json.loads((folder / file).read_text())
        del values[key]
        write_json(folder / file, values)
    edit(folder / "scheduler/scheduler_config.json", steps_offset=0)
    found = find_checkpoint(str(folder))
    theirs = diffusers.StableDiffusionUpscalePipeline.from_pretrained(folder)
    assert found.max_noise_level == theirs.config.max_noise_level == 350
    assert found.configs["vae"]["scaling_factor"] == theirs.vae.config.scaling_factor == 0.08333
    assert found.scheduler_config["steps_offset"] == theirs.scheduler.config.steps_offset == 0


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("unet/config.json", {"in_channels": 4, "num_class_embeds": None}, "UNet with 7 channels"),
        ("model_index.json", {"low_res_scheduler": [None, None]}, "and a low_res_scheduler"),
        (
            "model_index.json",
            {"low_res_scheduler": ["diffusers", "EulerDiscreteScheduler"]},
            "whose low_res_scheduler is a EulerDiscreteScheduler",
        ),
        (
            "low_res_scheduler/scheduler_config.json",
            {"_class_name": "EulerDiscreteScheduler"},
            "low_res_scheduler of class EulerDiscreteScheduler",
        ),
        (
            "unet/config.json",
            {"addition_embed_type": "text_time"},
            "upscaler with SDXL's size conditioning",
        ),
        ("unet/config.json", {"num_class_embeds": None}, "num_class_embeds is None"),
        ("unet/config.json", {"num_class_embeds": 300}, "only support 0 to 299"),
        ("unet/config.json", {"class_embed_type": "timestep"}, "class_embed_type 'timestep'"),
        (
            "low_res_scheduler/scheduler_config.json",
            {"num_train_timesteps": 350},
            "max_noise_level of 350 in model_index.json, but its parts only support 0 to 349",
        ),
        ("model_index.json", {"max_noise_level": -1}, "max_noise_level of -1"),
        ("model_index.json", {"max_noise_level": "much"}, "max_noise_level of 'much'"),
    ],
    ids=str,
)
def test_refuses_what_is_no_whole_upscaler(
    copy: Callable[[str], Path], file: str, values: dict[str, Any], message: str
) -> None:
    folder = copy("upscaler")
    edit(folder / file, **values)
    with pytest.raises(ModelError, match=re.escape(message)):
        find_checkpoint(str(folder))


def test_an_upscaler_without_its_second_scheduler(copy: Callable[[str], Path]) -> None:
    folder = copy("upscaler")
    (folder / "low_res_scheduler/scheduler_config.json").unlink()
    message = "low_res_scheduler/scheduler_config.json is missing"
    with pytest.raises(ModelError, match=re.escape(message)):
        find_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("layout", "family", "side", "prediction"),
    [
        ("sd15", "sd1", 512, None),
        ("sd21", "sd2", 768, "v_prediction"),
        ("sd21-base", "sd2", 512, "epsilon"),
        ("sdxl", "sdxl", 1024, "epsilon"),
    ],
)
def test_layouts_are_of_their_family(
    layout: str, family: str, side: int, prediction: str | None, saved: Path, tmp_path: Path
) -> None:
    # A layout is a folder without weights and vocabularies: borrow them.
    shutil.copytree(LAYOUTS / layout, tmp_path / "model")
    shutil.copytree(saved / family, tmp_path / "model", dirs_exist_ok=True, ignore=_json_configs)
    found = find_checkpoint(str(tmp_path / "model"))
    assert (found.family, found.native_size) == (family, (side, side))
    assert found.scheduler_config.get("prediction_type") == prediction


def _json_configs(_: str, names: list[str]) -> list[str]:
    kept = ("model_index.json", "config.json", "scheduler_config.json")
    return [name for name in names if name in kept]


def test_finding_a_model_imports_nothing_heavy(saved: Path) -> None:
    code = (
        "import sys; from sdloop.models.checkpoint.find import find_checkpoint; "
        "from sdloop.models.checkpoint.hashes import model_hashes; "
        f"model_hashes(find_checkpoint({str(saved / 'sdxl')!r})); "
        "print([m for m in ('torch', 'numpy', 'diffusers', 'transformers', 'huggingface_hub') "
        "if m in sys.modules])"
    )
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_native_size_is_width_then_height(copy: Callable[[str], Path]) -> None:
    folder = copy("sd1")
    edit(folder / "unet/config.json", sample_size=[16, 24])
    assert find_checkpoint(str(folder)).native_size == (48, 32)


# What is refused, by which name.


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"in_channels": 7}, "an upscaler needs a UNet with 7 channels and a low_res_scheduler"),
        ({"in_channels": 6}, "another model"),
        ({"class_embed_type": "projection"}, "class_embed_type 'projection'"),
        ({"num_class_embeds": 1000}, "num_class_embeds 1000"),
        ({"encoder_hid_dim_type": "image_proj"}, "encoder_hid_dim_type 'image_proj'"),
        ({"addition_embed_type": "image"}, "addition_embed_type 'image'"),
        ({"addition_embed_type": "text_time"}, "UNet of one family and text encoders of another"),
        ({"cross_attention_dim": 48}, "cross_attention_dim is 48, but the text encoders give 32"),
        ({"sample_size": None}, "an invalid sample_size: None"),
        ({"sample_size": [8, 8, 8]}, "an invalid sample_size: [8, 8, 8]"),
    ],
)
def test_refuses_other_unets_by_name(
    copy: Callable[[str], Path], values: dict[str, Any], message: str
) -> None:
    folder = copy("sd1")
    edit(folder / "unet/config.json", **values)
    with pytest.raises(ModelError, match=re.escape(message)):
        find_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"_class_name": "StableDiffusion3Pipeline", "text_encoder_3": ["transformers", "T5"]},
            "StableDiffusion3Pipeline with a text_encoder_3",
        ),
        (
            {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]},
            "FluxPipeline with a transformer",
        ),
        ({"unet": ["os", "system"]}, "whose unet is a system"),
        ({"unet": [None, None]}, "without unet"),
        ({"text_encoder": ["transformers", "RobertaModel"]}, "text_encoder is a RobertaModel"),
    ],
)
def test_refuses_other_pipelines_by_name(
    copy: Callable[[str], Path], values: dict[str, Any], message: str
) -> None:
    folder = copy("sd1")
    edit(folder / "model_index.json", **values)
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        find_checkpoint(str(folder))
    assert "sdloop runs Stable Diffusion 1.x, 2.x and SDXL base" in str(caught.value)


def test_a_class_that_comes_with_the_file_that_defines_it(copy: Callable[[str], Path]) -> None:
    """Repositories with code of their own name the file too; the code is not run."""
    folder = copy("sd1")
    before = find_checkpoint(str(folder))
    edit(folder / "model_index.json", _class_name=["my_pipeline", "MyPipeline"])
    for part, file in (("scheduler", "scheduler_config"), ("vae", "config"), ("unet", "config")):
        own = read_json(folder, f"{part}/{file}.json")["_class_name"]
        edit(folder / part / f"{file}.json", _class_name=[part, own])
    found = find_checkpoint(str(folder))
    assert found.scheduler_config == before.scheduler_config
    assert load_components(found, device="cpu").unet.config.in_channels == 4
    edit(folder / "model_index.json", prior=["diffusers", "PriorTransformer"])
    with pytest.raises(ModelError, match="is a MyPipeline with a prior"):
        find_checkpoint(str(folder))


def test_refuses_an_aesthetic_score_of_another_model_than_the_refiner(
    copy: Callable[[str], Path],
) -> None:
    folder = copy("sd1")
    edit(folder / "model_index.json", requires_aesthetics_score=True)
    with pytest.raises(ModelError, match="aesthetic score, and is not SDXL's refiner"):
        find_checkpoint(str(folder))


def test_refuses_another_vae(copy: Callable[[str], Path]) -> None:
    folder = copy("sd1")
    edit(folder / "vae/config.json", latent_channels=16)
    with pytest.raises(ModelError, match="16 latent channels"):
        find_checkpoint(str(folder))
    edit(folder / "vae/config.json", latent_channels=4, block_out_channels=[])
    with pytest.raises(ModelError, match=r"VAE with invalid block_out_channels: \[\]"):
        find_checkpoint(str(folder))


def test_a_folder_of_single_files(tmp_path: Path) -> None:
    (tmp_path / "v1-5.safetensors").touch()
    with pytest.raises(ModelError, match=r"did you mean .*/v1-5\.safetensors\?"):
        find_checkpoint(str(tmp_path))


def test_refuses_a_part_as_a_model(saved: Path) -> None:
    with pytest.raises(ModelError, match="is only UNet2DConditionModel"):
        find_checkpoint(str(saved / "sd1" / "unet"))


# Paths, hub ids and their settings.


@pytest.mark.parametrize("model", ["./nothing", "/nowhere/model", "~/nowhere-at-all", "a/b/c"])
def test_a_mistyped_folder_is_not_asked_of_the_hub(model: str) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        find_checkpoint(model)


@pytest.mark.parametrize("model", ["model.safetensors", "old.ckpt", "x/y.safetensors"])
def test_a_mistyped_file_is_not_asked_of_the_hub(model: str) -> None:
    with pytest.raises(ModelError, match=f"there is no file {model}"):
        find_checkpoint(model)


def test_the_home_of_nobody() -> None:
    with pytest.raises(ModelError, match="names the home folder of an unknown user"):
        local_path("~no-such-user-here/model")


def test_refuses_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"neither a folder nor a \.safetensors"):
        find_checkpoint(str(tmp_path / "model.gguf"))


def test_settings_that_would_be_ignored(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="revision is only for hub models"):
        find_checkpoint(str(saved / "sd1"), revision="main")
    with pytest.raises(SettingError, match="variant must be a word like fp16"):
        find_checkpoint(str(saved / "sd1"), variant="../x")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(SettingError, match="variant is only for folders"):
        find_checkpoint(str(tmp_path / "model.safetensors"), variant="fp16")


# Files that are not there, or not whole.


@pytest.mark.parametrize(
    "file",
    [
        "model_index.json",
        "unet/config.json",
        "scheduler/scheduler_config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
    ],
)
def test_says_which_file_is_missing(copy: Callable[[str], Path], file: str) -> None:
    folder = copy("sd1")
    (folder / file).unlink()
    expected = "tokenizer/vocab.json" if "tokenizer" in file else file
    with pytest.raises(ModelError, match=f"{expected}.* is missing"):
        find_checkpoint(str(folder))


def pickled(folder: Path, *parts: str, **extra: Any) -> None:
    """The weights of ``parts`` as the .bin files of old repositories."""
    for part in parts:
        old = next((folder / part).glob("*.safetensors"))
        name = old.stem.replace("model", "pytorch_model") if "text" in part else old.stem
        torch.save(load_file(old) | extra, old.with_name(f"{name}.bin"))
        old.unlink()


def test_a_folder_of_bin_files_is_read_as_tensors_with_a_warning(
    copy: Callable[[str], Path],
) -> None:
    folder = copy("sd1")
    before = load_components(str(folder), device="cpu")
    pickled(folder, "unet", "vae", "text_encoder")
    found = find_checkpoint(str(folder))
    assert {part: files[0].name for part, files in found.weights.items()} == {
        "unet": "diffusion_pytorch_model.bin",
        "vae": "diffusion_pytorch_model.bin",
        "text_encoder": "pytorch_model.bin",
    }
    with pytest.warns(UserWarning, match=r"\.bin is a pickle: only its tensors are read"):
        loaded = load_components(found, device="cpu")
    for part in ("unet", "vae", "text_encoder"):
        assert_same_weights(getattr(loaded, part), getattr(before, part))


def test_safetensors_win_over_bin_files(copy: Callable[[str], Path]) -> None:
    folder = copy("sd1")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.with_suffix(".bin").write_bytes(b"never read")
    assert find_checkpoint(str(folder)).weights["unet"] == (weights,)


def test_code_in_a_bin_file_never_runs(copy: Callable[[str], Path]) -> None:
    folder = copy("sd1")
    pickled(folder, "unet", code=Path("trace"))
    found = find_checkpoint(str(folder))
    with pytest.warns(UserWarning), pytest.raises(ModelError, match="holds more than tensors"):
        load_components(found, device="cpu")


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ("[]", "JSON object")])
def test_damaged_json(copy: Callable[[str], Path], text: str, message: str) -> None:
    folder = copy("sd1")
    (folder / "unet" / "config.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(folder))


def test_a_folder_in_the_place_of_a_file(copy: Callable[[str], Path]) -> None:
    config = copy("sd1") / "unet" / "config.json"
    config.unlink()
    config.mkdir()
    with pytest.raises(ModelError, match=r"config\.json cannot be read: Is a directory"):
        find_checkpoint(str(config.parent.parent))
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_header(config)


@pytest.mark.parametrize("cut", [4, 100, -1])
def test_a_file_cut_short(copy: Callable[[str], Path], cut: int) -> None:
    weights = copy("sd1") / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"vae/diffusion_pytorch_model\.safetensors.* truncated"):
        find_checkpoint(str(weights.parent.parent))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_model_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.safetensors"
    file.write_bytes(len(data).to_bytes(8, "little") + data)
    with pytest.raises(ModelError):
        find_checkpoint(str(file))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
ENTRY = st.fixed_dictionaries({"dtype": JSON, "shape": JSON, "data_offsets": JSON})
REAL_ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "Q4"]),
        "shape": st.lists(st.integers(-1, 4), max_size=3),
        "data_offsets": st.lists(st.integers(-4, 40), min_size=1, max_size=3),
    }
)


@given(JSON | st.dictionaries(st.text(max_size=9), ENTRY | REAL_ENTRY | JSON, max_size=3))
def test_any_header_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: object
) -> None:
    text = json.dumps(table).encode()
    file = tmp_path_factory.getbasetemp() / "header.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(40))
    with pytest.raises(ModelError):  # none of them holds a UNet
        find_checkpoint(str(file))


@given(
    st.sampled_from(["sd1", "upscaler"]),
    st.sampled_from(
        ["model_index", "unet", "vae", "text_encoder", "scheduler", "low_res_scheduler"]
    ),
    st.sampled_from(
        [
            "_class_name",
            "unet",
            "in_channels",
            "sample_size",
            "cross_attention_dim",
            "hidden_size",
            "latent_channels",
            "block_out_channels",
            "addition_embed_type",
            "_diffusers_version",
            "steps_offset",
            "clip_sample",
            "use_linear_projection",
            "max_position_embeddings",
            "force_zeros_for_empty_prompt",
            "_sdloop",
            "prediction_type",
            "num_class_embeds",
            "num_train_timesteps",
            "max_noise_level",
        ]
    ),
    JSON,
)
def test_any_value_in_a_config_is_taken_or_refused(
    saved: Path,
    tmp_path_factory: pytest.TempPathFactory,
    model: str,
    file: str,
    key: str,
    value: object,
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"forged-{model}"
    if not folder.exists():
        shutil.copytree(saved / model, folder)
    assume((folder / file).exists() or file == "model_index")
    names = {
        "model_index": "model_index.json",
        "scheduler": "scheduler/scheduler_config.json",
        "low_res_scheduler": "low_res_scheduler/scheduler_config.json",
    }
    config = folder / names.get(file, f"{file}/config.json")
    original = config.read_text()
    try:
        edit(config, **{key: value})
        found = find_checkpoint(str(folder))
        assert found.native_size > (0, 0) and found.max_tokens > 0
    except ModelError as error:
        assert "\n" not in str(error)
    finally:
        config.write_text(original)


# Variants and shards.


def test_a_variant_is_taken_where_there_is_one(tmp_path: Path) -> None:
    save_diffusers_folder(tiny_sd1(), tmp_path)
    save_diffusers_folder(tiny_sd1(1), tmp_path, variant="fp16")
    for file in (tmp_path / "vae").glob("*.fp16.safetensors"):
        file.unlink()
    found = find_checkpoint(str(tmp_path), variant="fp16")
    assert found.weights["unet"][0].name == "diffusion_pytorch_model.fp16.safetensors"
    assert found.weights["vae"][0].name == "diffusion_pytorch_model.safetensors"
    assert find_checkpoint(str(tmp_path)).weights["unet"][0].name.count(".") == 1


def test_a_variant_that_is_not_there(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=re.escape("no variant 'fp16' (it has none)")):
        find_checkpoint(str(saved / "sd1"), variant="fp16")


def test_a_variant_that_is_alone_is_taken_and_told(tmp_path: Path) -> None:
    save_diffusers_folder(tiny_sd1(), tmp_path, variant="fp16")
    with pytest.warns(UserWarning, match=f"{tmp_path} exists only as the variant 'fp16': using it"):
        found = find_checkpoint(str(tmp_path))
    assert (found.variant, found.weights["vae"][0].name) == (
        None,
        "diffusion_pytorch_model.fp16.safetensors",
    )
    tiny_sd1().vae.save_pretrained(tmp_path / "vae")
    with pytest.warns(UserWarning, match="has unet, text_encoder only as the variant 'fp16'"):
        found = find_checkpoint(str(tmp_path))
    assert found.weights["vae"][0].name == "diffusion_pytorch_model.safetensors"


def test_of_several_variants_one_must_be_chosen(tmp_path: Path) -> None:
    save_diffusers_folder(tiny_sd1(), tmp_path, variant="fp16")
    tiny_sd1().unet.save_pretrained(tmp_path / "unet", variant="ema")
    with pytest.raises(ModelError, match="choose a variant with --variant: ema, fp16"):
        find_checkpoint(str(tmp_path))


def test_a_safetensors_variant_is_better_than_a_pickle(tmp_path: Path) -> None:
    """As the inpainting UNet of SD 1.5 was published: plain as a pickle, fp16 as both."""
    save_diffusers_folder(tiny_sd1(), tmp_path)
    plain = tmp_path / "unet/diffusion_pytorch_model.safetensors"
    plain.rename(plain.with_name("diffusion_pytorch_model.fp16.safetensors"))
    for name in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin"):
        plain.with_name(name).write_bytes(b"never read")
    with pytest.warns(UserWarning, match="has unet only as the variant 'fp16'"):
        found = find_checkpoint(str(tmp_path))
    assert found.weights["unet"][0].name == "diffusion_pytorch_model.fp16.safetensors"


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    save_diffusers_folder(tiny_sd1(), tmp_path, shards="1MB")
    found = find_checkpoint(str(tmp_path))
    assert len(found.weights["unet"]) > 1
    found.weights["unet"][1].unlink()
    with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model-00002-of-.* is missing"):
        find_checkpoint(str(tmp_path))


# Nothing outside of the folder, but for the user's own links.


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "vae",
        "scheduler/scheduler_config.json",
        "text_encoder/model.safetensors",
        "tokenizer",
        "tokenizer/tokenizer.json",
    ],
)
def test_a_link_of_the_users_own_is_followed(
    saved: Path, copy: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    folder = copy("sd1")
    outside = tmp_path / "outside"
    (folder / name).rename(outside)
    (folder / name).symlink_to(outside)
    linked, whole = find_checkpoint(str(folder)), find_checkpoint(str(saved / "sd1"))
    assert (linked.configs, linked.family) == (whole.configs, whole.family)
    assert model_hashes(linked) == model_hashes(whole)
    load_tokenizer(linked, "tokenizer")


def test_two_models_that_share_a_text_encoder(copy: Callable[[str], Path], tmp_path: Path) -> None:
    folder = copy("sd1")
    shared = tmp_path / "shared"
    shared.mkdir()
    for part in ("text_encoder", "tokenizer"):
        (folder / part).rename(shared / part)
        (folder / part).symlink_to(Path("..", "shared", part))
    other = shutil.copytree(folder, tmp_path / "other", symlinks=True)
    made = [
        generate(load_components(str(one)), Recipe(prompt="a frog", seed=4, steps=1))[0]
        for one in (folder, other)
    ]
    assert made[0].image.tobytes() == made[1].image.tobytes()


def test_shards_that_lead_out(copy: Callable[[str], Path]) -> None:
    folder = copy("sd1")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(folder.parent / "x.safetensors")
    write_json(
        folder / "unet" / "diffusion_pytorch_model.safetensors.index.json",
        {"weight_map": {"a": "../../x.safetensors"}},
    )
    with pytest.raises(ModelError, match="points outside the model's folder"):
        find_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["../outside/unet", "/outside/unet", "unet/../../outside"])
def test_an_index_with_a_part_outside(copy: Callable[[str], Path], name: str) -> None:
    folder = copy("sd1")
    edit(folder / "model_index.json", **{name: ["diffusers", "UNet2DConditionModel"]})
    with pytest.raises(ModelError, match=re.escape(f"with a {name}")):
        find_checkpoint(str(folder))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "has no weight_map"),
        ({"weight_map": {"a": 1}}, "has no weight_map"),
        ({"weight_map": {"a": "config.json"}}, r"config\.json is not a \.safetensors file"),
    ],
)
def test_an_index_of_shards_that_lists_none(
    copy: Callable[[str], Path], index: dict[str, Any], message: str
) -> None:
    folder = copy("sd1")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    write_json(folder / "unet" / "diffusion_pytorch_model.safetensors.index.json", index)
    with pytest.raises(ModelError, match=message):
        find_checkpoint(str(folder))


# Another VAE.


def test_another_vae_folder_alone_or_within_a_model(saved: Path) -> None:
    model = str(saved / "sd1")
    for vae in (saved / "sd2" / "vae", saved / "sd2"):
        found = find_checkpoint(model, vae=str(vae))
        assert found.weights["vae"] == (saved / "sd2/vae/diffusion_pytorch_model.safetensors",)
        assert found.vae_path == vae


def test_a_vae_that_does_not_fit(saved: Path, copy: Callable[[str], Path]) -> None:
    with pytest.raises(
        ModelError, match=r"another family .* scaling_factor is 0\.13025, not 0\.18215"
    ):
        find_checkpoint(str(saved / "sd1"), vae=str(saved / "sdxl" / "vae"))
    other = copy("sd2") / "vae"
    edit(other / "config.json", block_out_channels=[32, 64, 64])
    with pytest.raises(ModelError, match="enlarges latents 4 times"):
        find_checkpoint(str(saved / "sd1"), vae=str(other))
    edit(other / "config.json", _class_name="AutoencoderTiny")
    with pytest.raises(ModelError, match="class AutoencoderTiny"):
        find_checkpoint(str(saved / "sd1"), vae=str(other))


# Hashes.


def test_model_hashes(saved: Path) -> None:
    hashes = model_hashes(find_checkpoint(str(saved / "sd1")))
    files = {name for name in hashes if "/" in name}
    assert files >= {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
    }
    for name in files:
        digest = hashlib.sha256((saved / "sd1" / name).read_bytes()).hexdigest()
        assert hashes[name] == digest


def test_a_setting_of_the_scheduler_changes_the_models_hashes(copy: Callable[[str], Path]) -> None:
    before = model_hashes(find_checkpoint(str(copy("sd1"))))
    folder = copy("sd2")
    config = folder / "scheduler/scheduler_config.json"
    first = model_hashes(find_checkpoint(str(folder)))
    edit(config, _diffusers_version="0.1.0")
    assert model_hashes(find_checkpoint(str(folder))) == first
    edit(config, beta_end=0.013)
    changed = model_hashes(find_checkpoint(str(folder)))
    assert {name for name in first if first[name] != changed[name]} == {"configs"}
    assert before["configs"] != first["configs"]


def test_the_guidance_scale_that_suits_a_model(copy: Callable[[str], Path]) -> None:
    sd1, sdxl = copy("sd1"), copy("sdxl")
    assert find_checkpoint(str(sd1)).guidance_scale == 7.5
    assert find_checkpoint(str(sdxl)).guidance_scale == 5.0
    edit(sd1 / "model_index.json", _sdloop={"guidance_scale": 3})
    assert find_checkpoint(str(sd1)).guidance_scale == 3.0


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([], "_sdloop must be an object, got []"),
        ({}, "_sdloop.guidance_scale must be a finite number, got None"),
        ({"guidance_scale": "3"}, "_sdloop.guidance_scale must be a finite number, got '3'"),
        ({"guidance_scale": -1}, "_sdloop.guidance_scale must be between 0 and 10000, got -1"),
        (
            {"guidance_scale": 2, "vocabulary": ["frog"]},
            "_sdloop.vocabulary must be lists of words by their kinds, got ['frog']",
        ),
        (
            {"guidance_scale": 2, "vocabulary": {"subjects": "frog"}},
            "_sdloop.vocabulary.subjects must be a list of texts, got 'frog'",
        ),
        (
            {"guidance_scale": 2, "vocabulary": {"counts": ["one", 2]}},
            "_sdloop.vocabulary.counts[1] must be text, got 2",
        ),
        (
            {"guidance_scale": 2, "prompts": "a frog"},
            "_sdloop.prompts must be a list of texts, got 'a frog'",
        ),
        (
            {"guidance_scale": 2, "prompts": [None]},
            "_sdloop.prompts[0] must be text, got None",
        ),
    ],
)
def test_advice_that_is_not_as_it_should_be(
    copy: Callable[[str], Path], said: object, message: str
) -> None:
    folder = copy("sd1")
    edit(folder / "model_index.json", _sdloop=said)
    with pytest.raises(ModelError) as caught:
        find_checkpoint(str(folder))
    assert str(caught.value) == f"{folder}: {message} (in model_index.json)"


def test_a_model_states_its_words_and_what_to_try(copy: Callable[[str], Path]) -> None:
    folder = copy("sd1")
    assert find_checkpoint(str(folder)).advice == Advice(guidance_scale=7.5)
    words = {"subjects": ["frog", "東京"], "colours": []}
    said = {"guidance_scale": 2, "vocabulary": words, "prompts": ["frogs"], "of tomorrow": 1}
    edit(folder / "model_index.json", _sdloop=said)
    assert find_checkpoint(str(folder)).advice == Advice(
        guidance_scale=2.0,
        vocabulary={"subjects": ("frog", "東京"), "colours": ()},
        prompts=("frogs",),
    )


# The rules of old checkpoints.


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old numpy in LMS and DPM2
@pytest.mark.parametrize("name", CLASS_NAMES)
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize(
    "config", [{}, {"steps_offset": 0, "clip_sample": True}, {"steps_offset": 1}]
)
def test_schedulers_are_settled_as_diffusers_does(
    name: str, family: str, config: dict[str, Any]
) -> None:
    given_config = {"_class_name": name, "num_train_timesteps": 10, **config}
    settled = settled_scheduler("m", given_config, family)
    kind = getattr(diffusers, name)
    theirs, ours = dict(kind.from_config(given_config).config), kind.from_config(settled).config
    if family == "sd1":  # StableDiffusionPipeline.__init__
        theirs |= {"steps_offset": 1} if theirs.get("steps_offset", 1) != 1 else {}
        theirs |= {"clip_sample": False} if theirs.get("clip_sample") is True else {}
    for key in {"steps_offset", "clip_sample"} & set(theirs):
        assert ours[key] == theirs[key]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old numpy in LMS and DPM2
@pytest.mark.parametrize("own", CLASS_NAMES)
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_another_scheduler_in_its_place_does_not_clip_latents(own: str, family: str) -> None:
    config = settled_scheduler("m", {"_class_name": own, "clip_sample": False}, family)
    for written in (config, settled_scheduler("m", {"_class_name": own}, family)):
        if family == "sdxl" and written is not config and own.startswith(("DDIM", "DDPM")):
            continue  # its own default, which diffusers leaves to it
        for name in ("ddim", "ddpm"):
            placed = make_scheduler(written, scheduler=name).config
            assert placed.clip_sample is False
            assert placed.steps_offset == (1 if family == "sd1" else 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # old numpy in LMS and DPM2
@pytest.mark.filterwarnings("ignore::FutureWarning")  # what the pipeline says of such configs
@pytest.mark.parametrize("name", CLASS_NAMES)
@pytest.mark.parametrize(
    "config",
    [{}, {"steps_offset": 0, "skip_prk_steps": False, "clip_sample": True}, {"clip_sample": False}],
)
def test_schedulers_of_inpainting_models_are_settled_as_diffusers_does(
    name: str, config: dict[str, Any]
) -> None:
    given_config = {"_class_name": name, "num_train_timesteps": 10, **config}
    kind = getattr(diffusers, name)
    parts = INPAINTING["sd1-inpainting"]()
    pipe = diffusers.StableDiffusionInpaintPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=kind.from_config(given_config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    theirs = dict(pipe.scheduler.config)
    ours = kind.from_config(settled_scheduler("m", given_config, "sd1", paints=True)).config
    for key in {"steps_offset", "clip_sample", "skip_prk_steps"} & set(theirs):
        assert ours[key] == theirs[key]


def test_flax_schedulers_are_known_by_their_other_name() -> None:
    settled = settled_scheduler("m", {"_class_name": "FlaxPNDMScheduler"}, "sd1")
    assert settled["_class_name"] == "PNDMScheduler"


def test_a_scheduler_without_a_class() -> None:
    with pytest.raises(ModelError, match="without a _class_name"):
        settled_scheduler("m", {}, "sd1")


@pytest.mark.parametrize(("version", "side"), [("0.2.2", 128), ("0.9.0", 32), ("0.42.1", 32)])
def test_sizes_of_old_unets(copy: Callable[[str], Path], version: str, side: int) -> None:
    folder = copy("sd1")
    edit(folder / "unet/config.json", _diffusers_version=version)
    assert find_checkpoint(str(folder)).native_size == (side, side)


def test_the_embedded_model_is_found() -> None:
    assert find_checkpoint("mini").family == "sd1"
