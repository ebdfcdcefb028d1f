"""``sdloop models``: the models on this machine, their kinds, and the flags that select them."""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.fake_hub import COMMIT, forge_cache
from helpers.ldm import ldm_tensors, save_ldm_file
from helpers.tiny import (
    save_diffusers_folder,
    tiny_inpaint,
    tiny_sd1,
    tiny_sdxl,
    tiny_upscaler,
    write_json,
)
from huggingface_hub import constants
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from sdloop.cli import app
from sdloop.cli.read.model_card import bytes_text
from sdloop.models.checkpoint.find import MINI, find_checkpoint
from sdloop.models.checkpoint.words import knows_a_word

OTHER = "f" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; whatever asked the network would fail."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture(scope="module")
def fp16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SDXL as it is often fetched: one variant and nothing else."""
    folder = tmp_path_factory.mktemp("models") / "fp16"
    return save_diffusers_folder(tiny_sdxl(), folder, variant="fp16")


def models(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["models", *map(str, arguments)])


def printed(*arguments: object) -> list[str]:
    result = models(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.splitlines()


def told(*arguments: object) -> dict[str, Any]:
    (line,) = printed(*arguments, "--json")
    return dict(json.loads(line))


def refused(*arguments: object, code: int = 3) -> str:
    """The one line that the command is refused with."""
    result = models(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("sdloop: error: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("sdloop: error: ").rstrip("\n")


def weights_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


# The list.


def test_the_embedded_model_is_always_there() -> None:
    result = models()
    assert result.exit_code == 0
    heading, row = result.stdout.splitlines()
    assert heading.split() == [
        *("model", "family", "native_size", "prediction_type", "bytes", "revision"),
    ]
    assert row.split()[:2] == ["mini", "sd1"]
    assert result.stderr == (
        "sdloop: details: `sdloop models MODEL`; use one: `sdloop txt2img PROMPT --model MODEL`\n"
    )


def test_what_the_cache_holds_is_listed_as_it_is_asked_for(
    cache: Path, tiny_model: Path, fp16: Path
) -> None:
    forge_cache(cache, "org/tiny", tiny_model)
    renamed(forge_cache(cache, "org/pinned", tiny_model))
    renamed(forge_cache(cache, "org/branch", tiny_model), ref="refs/pr/1")
    forge_cache(cache, "org/xl", fp16)
    small, large = bytes_text(weights_of(tiny_model)), bytes_text(weights_of(fp16))
    rows = [
        ("org/branch --revision refs/pr/1", "sd1", "32x32", "epsilon", small, "ffffffffff"),
        (f"org/pinned --revision {OTHER}", "sd1", "32x32", "epsilon", small, "ffffffffff"),
        ("org/tiny", "sd1", "32x32", "epsilon", small, "0123456789"),
        ("org/xl --variant fp16", "sdxl", "32x32", "epsilon", large, "0123456789"),
    ]
    heading, mini, *others = printed()
    assert [line.split("  ")[0] for line in (heading, mini)] == ["model", "mini"]
    assert [" ".join(line.split()) for line in others] == [" ".join(row) for row in rows]


def test_inpainting_models_are_told_apart(cache: Path, tmp_path: Path) -> None:
    folder = save_diffusers_folder(tiny_inpaint("sdxl"), tmp_path / "painting")
    forge_cache(cache, "org/painting", folder)
    assert "  sdxl inpainting  " in printed()[2]
    assert told("org/painting")["paints"] is True
    assert any(line.split() == ["family", "sdxl", "inpainting"] for line in printed(folder))


def test_an_upscaler_of_the_cache(cache: Path, tmp_path: Path) -> None:
    """The hub's layout: nothing but links to its blobs."""
    forge_cache(cache, "org/x4", save_diffusers_folder(tiny_upscaler(), tmp_path / "x4"))
    assert printed()[2].split()[:4] == ["org/x4", "upscaler", "64x64", "v_prediction"]
    assert (told("org/x4")["family"], told("org/x4")["paints"]) == ("upscaler", False)


def test_what_the_list_says_to_type_is_understood(
    cache: Path, tiny_model: Path, fp16: Path
) -> None:
    renamed(forge_cache(cache, "org/pinned", tiny_model))
    renamed(forge_cache(cache, "org/branch", tiny_model), ref="v2")
    forge_cache(cache, "org/xl", fp16)
    asked = [line.split("  ")[0] for line in printed()[1:]]
    assert len(asked) == 4
    for words in asked:
        assert printed(*shlex.split(words))[0] == words
        arguments = ["txt2img", "a frog", "--dry-run", "--model", *shlex.split(words)]
        assert CliRunner().invoke(app, arguments).exit_code == 0, words


def renamed(snapshot: Path, ref: str | None = None) -> None:
    """Another commit in the cache, which ``main`` knows nothing of."""
    snapshot.rename(snapshot.with_name(OTHER))
    refs = snapshot.parent.parent / "refs"
    (refs / "main").unlink()
    if ref is not None:
        (refs / ref).parent.mkdir(parents=True, exist_ok=True)
        (refs / ref).write_text(OTHER)


def test_what_cannot_run_is_not_listed(cache: Path, tiny_model: Path, tmp_path: Path) -> None:
    forge_cache(cache, "org/whole", tiny_model)
    for name in ("partial", "damaged", "flux"):
        forge_cache(cache, f"org/{name}", tiny_model)
    snapshots = {path.parent.parent.name: path for path in cache.glob("*/snapshots/*")}
    partial, damaged, flux = (
        snapshots[f"models--org--{name}"] for name in ("partial", "damaged", "flux")
    )
    (partial / "unet/diffusion_pytorch_model.safetensors").unlink()
    cut = (damaged / "vae/diffusion_pytorch_model.safetensors").resolve()
    cut.write_bytes(cut.read_bytes()[:-1])
    (flux / "model_index.json").unlink()
    (flux / "model_index.json").write_text('{"transformer": ["diffusers", "FluxTransformer"]}')
    (cache / "models--org--words/snapshots" / COMMIT).mkdir(parents=True)
    (cache / "datasets--org--words").mkdir()
    (cache / ".locks").mkdir()
    assert [line.split()[0] for line in printed()] == ["model", "mini", "org/whole"]
    assert [json.loads(line)["model"] for line in printed("--json")] == ["mini", "org/whole"]
    assert "is missing" in refused("org/partial")
    assert "is truncated" in refused("org/damaged")
    assert "with a transformer" in refused("org/flux")


def test_the_list_as_json_lines(cache: Path, fp16: Path) -> None:
    snapshot = forge_cache(cache, "org/xl", fp16)
    mini, xl = map(json.loads, printed("--json"))
    assert (mini["model"], mini["revision"], mini["path"]) == ("mini", None, str(MINI))
    assert xl == {
        "model": "org/xl",
        "revision": COMMIT,
        "variant": "fp16",
        "path": str(snapshot),
        "family": "sdxl",
        "paints": False,
        "sees_depth": False,
        "edits": False,
        "native_size": [32, 32],
        "prediction_type": "epsilon",
        "bytes": weights_of(fp16),
    }


def test_what_would_be_ignored_without_a_model_is_refused() -> None:
    message = "revision needs a model to be named, got 'v2' without one"
    assert refused("--revision", "v2", code=2) == message
    assert refused("--variant", "fp16", code=2).startswith("variant needs a model to be named")
    assert refused("--hash", code=2).startswith("hash needs a model to be named")


# One model.


def test_a_folder_that_says_nothing_of_its_words(tiny_model: Path) -> None:
    lines = printed(tiny_model)
    assert lines[:8] == [
        str(tiny_model),
        "  family           sd1",
        "  native_size      32x32; sides are multiples of 2",
        "  guidance_scale   7.5",
        "  scheduler        pndm",
        "  prediction_type  epsilon",
        "  text_encoders    CLIPTextModel, 2 layers of width 32",
        "  max_tokens       77, including start and end",
    ]
    assert lines[8].startswith("  parts            unet          ")
    assert [line.split()[0] for line in lines[9:]] == ["vae", "text_encoder"]


@pytest.mark.parametrize("half", [False, True])
def test_parts_are_what_the_modules_are(tmp_path: Path, half: bool) -> None:
    components = tiny_sdxl()
    parts = {
        name: getattr(components, name).to(torch.float16 if half else torch.float32)
        for name in ("unet", "vae", "text_encoder", "text_encoder_2")
    }
    save_diffusers_folder(components, tmp_path, shards="1MB")
    assert len(list((tmp_path / "unet").glob("*.safetensors"))) > 1
    expected = [(name, sum(p.numel() for p in part.parameters())) for name, part in parts.items()]
    assert told(tmp_path)["parts"] == [
        {
            "name": name,
            "parameters": count,
            "dtypes": ["fp16" if half else "fp32"],
            "bytes": count * (2 if half else 4),
        }
        for name, count in expected
    ]


def test_a_single_file_is_told_by_its_parts(tmp_path: Path) -> None:
    components = tiny_sdxl()
    file = save_ldm_file(components, tmp_path / "model.safetensors")
    facts = told(file)
    assert (facts["family"], facts["native_size"]) == ("sdxl", [1024, 1024])
    assert facts["bytes"] == file.stat().st_size
    counted = {part["name"]: part["parameters"] for part in facts["parts"]}
    assert list(counted) == ["unet", "vae", "text_encoder", "text_encoder_2"]
    for name in ("unet", "vae", "text_encoder"):
        assert counted[name] == sum(p.numel() for p in getattr(components, name).parameters())
    assert [text["class"] for text in facts["text_encoders"]] == [
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
    ]


def test_types_that_are_mixed_are_told_with_the_commonest_first(tmp_path: Path) -> None:
    tensors = ldm_tensors(tiny_sd1())
    half = {n: t.to(torch.bfloat16) for n, t in tensors.items() if not n.endswith("bias")}
    save_file(tensors | half, tmp_path / "m.safetensors")
    (unet, *_) = told(tmp_path / "m.safetensors")["parts"]
    assert unet["dtypes"] == ["bf16", "fp32"]
    assert "bf16+fp32" in models(tmp_path / "m.safetensors").stdout


def test_a_ckpt_tells_its_shapes_alone(tmp_path: Path) -> None:
    torch.save({"state_dict": ldm_tensors(tiny_sd1())}, tmp_path / "m.ckpt")
    (unet, *_) = told(tmp_path / "m.ckpt")["parts"]
    assert unet["parameters"] == sum(p.numel() for p in tiny_sd1().unet.parameters())
    assert (unet["dtypes"], unet["bytes"]) == ([], None)
    assert models(tmp_path / "m.ckpt").exit_code == 0


def test_hashes_are_those_that_pictures_record(tiny_model: Path) -> None:
    name = "vae/diffusion_pytorch_model.safetensors"
    digest = hashlib.sha256((tiny_model / name).read_bytes()).hexdigest()
    assert told(tiny_model, "--hash")["weights"][name] == digest
    (line,) = [line for line in printed(tiny_model, "--hash") if name in line]
    assert line.split()[-1] == digest[:10]
    assert "weights" not in told(tiny_model)


def test_a_model_of_the_cache_tells_its_commit(cache: Path, tiny_model: Path) -> None:
    forge_cache(cache, "org/tiny", tiny_model)
    assert printed("org/tiny")[:2] == ["org/tiny", f"  revision         {COMMIT}"]
    assert printed("org/tiny", "--revision", COMMIT)[0] == f"org/tiny --revision {COMMIT}"


# Its words, and what to try.


def stating(folder: Path, model: Path, **said: Any) -> Path:
    shutil.copytree(model, folder)
    index = json.loads((folder / "model_index.json").read_text())
    write_json(folder / "model_index.json", index | {"_sdloop": {"guidance_scale": 3} | said})
    return folder


def test_words_and_prompts_are_printed_to_be_pasted(tmp_path: Path, tiny_model: Path) -> None:
    many = [f"in place {number}" for number in range(20)]
    words = {"subjects": ["frog", "東京"], "places": many}
    prompts = ["a frog", 'a "frog" for $5', "frog's"]
    folder = stating(tmp_path / "my model", tiny_model, vocabulary=words, prompts=prompts)
    lines = printed(folder)
    assert "  guidance_scale   3" in lines
    listed = lines[lines.index("  Known words:") : lines.index("  Examples:")]
    assert listed[1] == "  subjects  frog, 東京"
    assert listed[2].startswith("  places    in place 0, in place 1, ")
    assert ", ".join(line.strip() for line in listed[2:-1]).count("in place") == 20
    assert max(map(len, listed)) <= 80
    assert lines[lines.index("  Examples:") + 1 :] == [
        f"  sdloop txt2img \"a frog\" --model '{folder}' --seed 4",
        f"  sdloop txt2img 'a \"frog\" for $5' --model '{folder}' --seed 4",
        f"  sdloop txt2img \"frog's\" --model '{folder}' --seed 4",
    ]
    assert [shlex.split(line)[2] for line in lines[-3:]] == prompts
    facts = told(folder)
    assert (facts["vocabulary"], facts["prompts"]) == (words, prompts)


def test_ten_prompts_of_the_embedded_model_are_commands_that_run(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    def commands() -> list[str]:
        return [line.strip() for line in printed("mini") if line.startswith("  sdloop txt2img")]

    assert len(commands()) == 10
    assert not any("--model" in command for command in commands())
    monkeypatch.setenv("SDLOOP_MODEL", str(tiny_model))  # a model that is not meant
    for command in commands():
        assert command.endswith(" --model mini --seed 4")
        result = CliRunner().invoke(app, [*shlex.split(command)[1:], "--dry-run"])
        assert json.loads(result.stdout)["model"] == "mini"
        assert "means nothing" not in result.stderr


def test_every_word_of_the_embedded_model_is_known_to_its_tokenizer() -> None:
    for words in find_checkpoint("mini").advice.vocabulary.values():
        for word in words:
            assert knows_a_word(find_checkpoint("mini"), word), word


def test_a_model_cannot_steer_the_terminal(tmp_path: Path, tiny_model: Path) -> None:
    words = {"\x1b[2J": ["\x9b31m"]}
    folder = stating(tmp_path / "m", tiny_model, vocabulary=words, prompts=["a\x1b]0;x\x07"])
    out = models(folder).stdout
    assert out.replace("\n", "").isprintable()
    assert "\\x1b[2J  \\x9b31m" in out


# What is refused.


def test_a_model_that_is_not_there(cache: Path) -> None:
    told = refused("org/none")
    assert told.startswith("org/none is not in the cache; `hf download org/none --include ")
    assert refused("./none") == "there is no folder none"
    assert refused("none.safetensors") == "there is no file none.safetensors"
    assert "neither a path that exists nor a hub id" in refused("a model?")


def test_a_model_that_is_not_readable(tmp_path: Path, tiny_model: Path) -> None:
    folder = stating(tmp_path / "m", tiny_model, prompts="a frog")
    assert refused(folder) == (
        f"{folder}: _sdloop.prompts must be a list of texts, got 'a frog' (in model_index.json)"
    )
    (folder / "model_index.json").write_text("{")
    assert "model_index.json is not valid JSON" in refused(folder)
    (tmp_path / "m.safetensors").write_bytes(b"no such file")
    assert "m.safetensors is not a safetensors file" in refused(tmp_path / "m.safetensors")
    assert "is a pickle" not in refused(tmp_path)


def test_settings_of_other_models_are_refused(tiny_model: Path) -> None:
    assert refused(tiny_model, "--revision", "v2", code=2).startswith("revision is only for hub")


# The process.


def test_a_process_of_its_own_is_quick_and_imports_nothing_heavy(
    cache: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge_cache(cache, "org/tiny", tiny_model)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    code = (
        "import sys\nfrom sdloop.cli import app\n"
        "try: app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print({'torch', 'diffusers', 'transformers', 'numpy', 'PIL'} & set(sys.modules))"
    )
    for arguments in (["models"], ["models", "mini"], ["models", "org/tiny", "--hash"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        *lines, imported = done.stdout.splitlines()
        assert imported == "set()"
        assert len(lines) > 2
    listed = subprocess.run(
        [sys.executable, "-m", "sdloop", "models"], capture_output=True, text=True, check=True
    )
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["model", "mini", "org/tiny"]
