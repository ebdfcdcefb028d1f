"""Models from the hub: read offline from the cache, downloaded once, one-line errors."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import huggingface_hub
import pytest
import torch
from helpers.fake_hub import COMMIT, forge_cache, serve
from helpers.tiny import save_diffusers_folder, tiny_sd1, write_json
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from sdloop.errors import ModelError
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.components.load import load_components

CLOSED = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(tiny_sd1(), tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that nobody answers for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    return tmp_path / "hub"


def failing(*args: Any, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        find_checkpoint(*args, **options)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_cached_model_needs_no_network(cache: Path, model: Path) -> None:
    snapshot = forge_cache(cache, "org/tiny", model)
    found = find_checkpoint("org/tiny")
    assert (found.name, found.path, found.revision) == ("org/tiny", snapshot, COMMIT)
    assert load_components(found, device="cpu").dtype is not None
    assert find_checkpoint("org/tiny", revision=COMMIT).path == snapshot


def test_hashes_of_a_cached_model_are_its_blobs_names(
    cache: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = model_hashes(find_checkpoint(str(model)))
    forge_cache(cache, "org/tiny", model)
    read = []

    def watched(opened: BinaryIO, name: str) -> Any:
        read.append(Path(opened.name).name)
        return hashlib.sha256(opened.read())

    monkeypatch.setattr("hashlib.file_digest", watched)
    assert model_hashes(find_checkpoint("org/tiny")) == expected
    assert not [name for name in read if name.endswith(".safetensors")]


def test_a_model_that_cannot_be_reached_is_told_at_once(cache: Path) -> None:
    start = time.monotonic()
    error = failing("org/none")
    assert time.monotonic() - start < 5
    assert str(error) == (
        "org/none is not in the cache, and the hub cannot be reached: once online, run "
        "`hf download org/none`"
    )


def test_offline_is_offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = failing("org/none", revision="v2")
    assert "HF_HUB_OFFLINE is set" in str(error)
    assert "`hf download org/none --revision v2`" in str(error)


def test_nothing_is_fetched_where_it_may_not_be(cache: Path, model: Path) -> None:
    with serve("org/none", model) as (address, asked):
        constants.ENDPOINT = address  # the fixture puts it back
        error = failing("org/none", may_fetch=False)
        assert str(error) == "org/none is not in the cache; `hf download org/none` downloads it"
        assert "org/vae is not in the cache" in str(
            failing(str(model), vae="org/vae", may_fetch=False)
        )
    assert asked == []


@pytest.mark.parametrize("offline", [True, False])
def test_a_partial_download_is_noticed(
    cache: Path, model: Path, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    snapshot = forge_cache(cache, "org/tiny", model)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    error = failing("org/tiny")
    assert "vae/diffusion_pytorch_model.safetensors is missing" in str(error)
    assert "hf download org/tiny" in str(error)


def test_a_link_out_of_the_cache(cache: Path, model: Path, tmp_path: Path) -> None:
    snapshot = forge_cache(cache, "org/tiny", model)
    config = snapshot / "unet" / "config.json"
    shutil.copyfile(config, tmp_path / "elsewhere.json")
    config.unlink()
    config.symlink_to(tmp_path / "elsewhere.json")
    assert "points outside the model's folder" in str(failing("org/tiny"))


def test_what_is_no_hub_id(cache: Path) -> None:
    assert "neither a path that exists nor a hub id" in str(failing("a model?"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def answers_at(address: str) -> None:
        files = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)

    return answers_at


def test_fetches_only_what_is_needed(
    cache: Path, model: Path, hub: Callable[[str], None], tmp_path: Path
) -> None:
    remote = Path(shutil.copytree(model, tmp_path / "remote"))
    weights = remote / "unet" / "diffusion_pytorch_model.safetensors"
    tiny_sd1(seed=1).unet.save_pretrained(remote / "unet", variant="fp16")
    shutil.copyfile(weights, weights.with_suffix(".bin"))
    (remote / "v1.ckpt").write_bytes(b"large")
    with serve("org/tiny", remote) as (address, asked):
        hub(address)
        found = find_checkpoint("org/tiny")
        assert found.revision == COMMIT
        assert sorted(name for name in asked if not name.endswith(".json")) == [
            "text_encoder/model.safetensors",
            "unet/diffusion_pytorch_model.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
        ]
        once = len(asked)
        found = find_checkpoint("org/tiny", variant="fp16")
        fetched = [name for name in asked[once:] if not name.endswith(".json")]
        assert fetched == ["unet/diffusion_pytorch_model.fp16.safetensors"]
        assert found.weights["unet"][0].name == "diffusion_pytorch_model.fp16.safetensors"
    hub(CLOSED)
    assert find_checkpoint("org/tiny").revision == COMMIT
    assert find_checkpoint("org/tiny", variant="fp16").revision == COMMIT


def test_a_variant_that_does_not_exist_costs_no_weights(
    cache: Path, model: Path, hub: Callable[[str], None], tmp_path: Path
) -> None:
    remote = Path(shutil.copytree(model, tmp_path / "remote"))
    tiny_sd1(seed=1).unet.save_pretrained(remote / "unet", variant="fp16", max_shard_size="1MB")
    tiny_sd1(seed=1).vae.save_pretrained(remote / "vae", variant="ema")
    with serve("org/tiny", remote) as (address, asked):
        hub(address)
        error = failing("org/tiny", variant="fp61")
    assert str(error) == "org/tiny has no variant 'fp61' (it has 'ema', 'fp16')"
    assert not any(name.endswith((".safetensors", ".bin")) for name in asked)


def test_bin_files_are_fetched_where_there_is_nothing_else(
    cache: Path, model: Path, hub: Callable[[str], None], tmp_path: Path
) -> None:
    remote = Path(shutil.copytree(model, tmp_path / "remote"))
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "pytorch_model")):
        old = next((remote / part).glob("*.safetensors"))
        torch.save(load_file(old), old.with_name(f"{name}.bin"))
        old.unlink()
    with serve("org/tiny", remote) as (address, asked):
        hub(address)
        found = find_checkpoint("org/tiny")
        assert sorted(name for name in asked if not name.endswith(".json")) == [
            "text_encoder/pytorch_model.bin",
            "unet/diffusion_pytorch_model.bin",
            "vae/diffusion_pytorch_model.safetensors",
        ]
    hub(CLOSED)
    assert find_checkpoint("org/tiny").weights == found.weights


def test_refuses_before_it_fetches_weights(
    cache: Path, model: Path, hub: Callable[[str], None], tmp_path: Path
) -> None:
    remote = Path(shutil.copytree(model, tmp_path / "remote"))
    write_json(
        remote / "model_index.json",
        {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]},
    )
    with serve("org/flux", remote) as (address, asked):
        hub(address)
        assert "org/flux is a FluxPipeline with a transformer" in str(failing("org/flux"))
    assert not any(name.endswith(".safetensors") for name in asked)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("GatedRepo", "it is gated: accept its terms at https://huggingface.co/org/tiny"),
        ("RepoNotFound", "the hub has no such model, or it is private"),
        ("RevisionNotFound", "org/tiny has no revision 'v9' on the hub"),
    ],
)
def test_what_the_hub_refuses(
    cache: Path, model: Path, hub: Callable[[str], None], code: str, message: str
) -> None:
    with serve("org/tiny", model, error=code) as (address, _):
        hub(address)
        assert re.search(re.escape(message), str(failing("org/tiny", revision="v9")))


def test_a_disk_without_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill_up(*args: Any, local_files_only: bool = False, **options: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fill_up)
    assert "the download failed: [Errno 28] No space left on device" in str(failing("org/tiny"))


@pytest.mark.parametrize("part", ["vae", "unet"])
def test_a_part_of_the_hub(cache: Path, model: Path, hub: Callable[[str], None], part: str) -> None:
    """As a repository of its own, or within a model's."""
    for repository, folder in (("org/part", model / part), ("org/model", model)):
        with serve(repository, folder) as (address, asked):
            hub(address)
            found = find_checkpoint(str(model), **{part: repository})
        assert [file.name for file in found.weights[part]] == [
            "diffusion_pytorch_model.safetensors"
        ]
        assert sum(name.endswith(".safetensors") for name in asked) == 1
        hub(CLOSED)
        assert find_checkpoint(str(model), **{part: repository}).weights == found.weights
