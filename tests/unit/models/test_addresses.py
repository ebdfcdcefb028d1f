"""Models, VAEs, LoRAs and embeddings by their addresses: one file of the hub, or of Civitai."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.fake_hub import COMMIT, Civitai, serve, serving, use_hub
from helpers.ldm import save_ldm_file
from helpers.loras import lora_pairs, save_peft
from helpers.tiny import save_diffusers_folder, tiny_sd1
from huggingface_hub import constants
from safetensors.torch import save_file

from sdloop.errors import ModelError, SettingError
from sdloop.metadata.read import read
from sdloop.models.checkpoint.addresses import CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.cache import cached_checkpoints
from sdloop.models.checkpoint.embedding import find_embedding
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hash_cache import cache_folder
from sdloop.models.checkpoint.lora import find_lora
from sdloop.models.checkpoint.value import ModelNames

CLOSED = "http://127.0.0.1:9"
HUB = "https://huggingface.co/org/singles"
CIVITAI = "https://civitai.com/api/download/models/128713"


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Configs by which a tiny single file is read as if it had the size of SD 1.5."""
    root = tmp_path_factory.mktemp("layouts")
    save_diffusers_folder(tiny_sd1(), root / "sd15")
    return root


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of single files."""
    folder = tmp_path_factory.mktemp("singles")
    save_ldm_file(tiny_sd1(seed=3), folder / "tiny.safetensors")
    (folder / "pruned").mkdir()
    shutil.copyfile(folder / "tiny.safetensors", folder / "pruned/small.safetensors")
    (folder / "README.md").write_text("tiny")
    return folder


@pytest.fixture(autouse=True)
def tiny_layouts(layouts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.models.checkpoint.find.LAYOUTS", layouts)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda address: use_hub(address, tmp_path / "hub", monkeypatch)


def failing(*args: Any, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        find_checkpoint(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What a name means


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("org/tiny", HubAddress(model="org/tiny")),
        ("org/tiny/a.safetensors", HubAddress(model="org/tiny", file="a.safetensors")),
        ("org/tiny/sub/a.ckpt", HubAddress(model="org/tiny", file="sub/a.ckpt")),
        ("https://huggingface.co/org/tiny", HubAddress(model="org/tiny")),
        ("https://huggingface.co/org/tiny/", HubAddress(model="org/tiny")),
        ("https://hf.co/org/tiny/tree/v2", HubAddress(model="org/tiny", revision="v2")),
        (
            "https://huggingface.co/org/tiny/blob/main/a%20b.safetensors",
            HubAddress(model="org/tiny", file="a b.safetensors"),
        ),
        (
            "https://huggingface.co/org/tiny/resolve/refs%2Fpr%2F1/sub/a.safetensors?download=true",
            HubAddress(model="org/tiny", file="sub/a.safetensors", revision="refs/pr/1"),
        ),
        (CIVITAI, CivitaiAddress(version="128713")),
        (
            f"{CIVITAI}?type=Model&format=SafeTensor",
            CivitaiAddress(version="128713", choices={"type": "Model", "format": "SafeTensor"}),
        ),
        (
            "https://civitai.com/models/4384/dreamshaper?modelVersionId=128713",
            CivitaiAddress(version="128713"),
        ),
    ],
)
def test_what_a_name_means(name: str, address: object) -> None:
    assert address_of(name) == address


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{CIVITAI}?token=s3cret", "was given with ?token=…, which may be secret"),
        (f"{CIVITAI}?type=Model&X-Sig=s3cret", "with ?X-Sig=…, which may be secret"),
        (f"{HUB}/resolve/main/a.safetensors?token=s3cret", "with ?token=…, which may be secret"),
        ("https://me:s3cret@huggingface.co/org/tiny", "with a user's name, which may be secret"),
        ("https://a.b/x.safetensors?key=s3cret", "https://a.b/x.safetensors is on an unknown s"),
        ("https://civitai.com/models/4384", "does not say which version of a model"),
        ("https://civitai.com/models/4384?modelVersionId=x", "does not say which version"),
        (f"{HUB}/blob/main/a.txt", r"must be the address of a model or of a file (.safetensors"),
        (f"{HUB}/resolve/main/../../x.safetensors", "must be the address of a model or of a file"),
        ("https://huggingface.co/org", "must be the address of a model or of a file"),
        ("https://[x/y", "a model's web address is malformed"),
    ],
)
def test_addresses_that_are_refused(name: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        address_of(name)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_what_looks_like_a_path_is_no_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "org/tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("org/tiny/a.safetensors", "./a/b/c.safetensors", "~/a/b.ckpt", "a/../b/c.ckpt"):
        with pytest.raises(ModelError, match="there is no file"):
            address_of(name)
    (tmp_path / "org/tiny/a.safetensors").touch()
    assert address_of("org/tiny/a.safetensors") == Path("org/tiny/a.safetensors")


# One file of a repository


def test_only_the_named_file_is_fetched(singles: Path, ask: Callable[[str], None]) -> None:
    with serve("org/singles", singles) as hub:
        ask(hub.address)
        found = find_checkpoint("org/singles/pruned/small.safetensors")
    assert hub.asked == ["pruned/small.safetensors"]
    assert (found.family, found.revision, found.names) == (
        "sd1",
        COMMIT,
        ModelNames(model="org/singles/pruned/small.safetensors"),
    )
    ask(CLOSED)
    assert find_checkpoint("org/singles/pruned/small.safetensors").path == found.path
    error = failing("org/singles/tiny.safetensors")
    command = "hf download org/singles tiny.safetensors"
    assert error.endswith(f"and the hub cannot be reached: once online, run `{command}`")


def test_a_revision_in_an_address(singles: Path, ask: Callable[[str], None]) -> None:
    with serve("org/singles", singles) as hub:
        ask(hub.address)
        found = find_checkpoint(f"{HUB}/blob/v2/tiny.safetensors")
        assert hub.requests[0].path.endswith("/api/models/org/singles/revision/v2")
        assert found.names[1] is None  # the address says it already
        with pytest.raises(SettingError, match=r"that of the address .*, 'v2', got 'main'"):
            find_checkpoint(f"{HUB}/blob/v2/tiny.safetensors", revision="main")
    assert find_checkpoint("org/singles/tiny.safetensors", revision="v2").path == found.path


def test_a_repository_lists_its_single_files(
    singles: Path, tiny_model: Path, ask: Callable[[str], None]
) -> None:
    files = "--model org/singles/pruned/small.safetensors, --model org/singles/tiny.safetensors"
    with serve("org/singles", singles) as hub:
        ask(hub.address)
        told = failing("org/singles")
        assert told == f"org/singles has no model_index.json; its single files are {files}"
        told = failing("org/singles/none.safetensors")
        assert told.startswith("org/singles has no file none.safetensors on the hub; its single f")
        told = failing("org/singles", revision="v2")
        assert "--model org/singles/tiny.safetensors --revision v2" in told
        told = failing(str(tiny_model), vae="org/singles")
        assert "org/singles holds no vae in diffusers' layout; its single files are --vae " in told
    assert hub.asked == []


def test_what_would_be_ignored(singles: Path) -> None:
    with pytest.raises(SettingError, match="variant is only for folders"):
        find_checkpoint("org/singles/tiny.safetensors", variant="fp16")
    with pytest.raises(SettingError, match="revision is only for hub models"):
        find_checkpoint(CIVITAI, revision="v2")


def test_a_vae_and_a_lora_by_their_addresses(
    singles: Path, tiny_model: Path, ask: Callable[[str], None], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(singles, tmp_path / "remote"))
    save_peft(lora_pairs(tiny_sd1()), folder / "ink.safetensors")
    with serve("org/singles", folder) as hub:
        ask(hub.address)
        found = find_checkpoint(str(tiny_model), vae=f"{HUB}/resolve/main/tiny.safetensors")
        assert found.vae_path == found.weights["vae"][0]
        name = f"{HUB}/blob/main/ink.safetensors"
        lora = find_lora(name)
        assert (lora.name, lora.path.name) == (name, "ink.safetensors")
        assert find_lora("org/singles/ink.safetensors").sha256 == lora.sha256
    assert hub.asked == ["tiny.safetensors", "ink.safetensors"]


def test_a_picture_of_a_single_file_is_made_again_offline(
    singles: Path,
    tiny_model: Path,
    ask: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work_in(tmp_path / "work", monkeypatch, tiny_model)
    name = f"{HUB}/blob/main/tiny.safetensors"
    with serve("org/singles", singles) as hub:
        ask(hub.address)
        Command("txt2img").make("a frog", "--seed", "4", "--model", name, "-o", "a.png")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert read("a.png").recipe.model == name
    Command("rerun").run("a.png", "-o", "b.png")
    assert pixels("b.png") == pixels("a.png")


def test_an_embedding_by_its_address_is_recorded_and_made_again_offline(
    tiny_model: Path,
    civitai: Civitai,
    ask: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "remote"
    folder.mkdir()
    save_file({"<frog>": torch.full((1, 32), 0.5)}, folder / "frog.safetensors")
    file = {"name": "bird.pt", "type": "Model", "hashes": {}}
    torch.save({"string_to_param": {"*": torch.full((2, 32), 0.1)}}, tmp_path / "bird.pt")
    civitai.versions["128713"] = [file]
    civitai.files["bird.pt"] = (tmp_path / "bird.pt").read_bytes()
    work_in(tmp_path / "work", monkeypatch, tiny_model)
    address, hub_file = f"{HUB}/blob/main/frog.safetensors", "org/singles/frog.safetensors"
    prompt = ("a <frog> and a bird", "--seed", "4")
    with serve("org/singles", folder) as hub:
        ask(hub.address)
        first = ("--embedding", address, "--embedding", CIVITAI)
        Command("txt2img").make(*prompt, *first, "-o", "a.png")
        again = ("--embedding", f"{hub_file}:<frog>", "--embedding", f"{CIVITAI}:bird")
        Command("txt2img").make(*prompt, *again, "-o", "b.png")
        plain = Command("txt2img").run(*prompt, "-o", "c.png")
    assert plain.exit_code == 0
    assert hub.asked == ["frog.safetensors"]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    recipe = read("a.png").recipe
    assert recipe.embeddings == (f"{address}:<frog>", f"{CIVITAI}:bird")
    assert recipe.embeddings_sha256 == read("b.png").recipe.embeddings_sha256
    Command("rerun").run("a.png", "-o", "d.png")
    assert pixels("a.png") == pixels("b.png") == pixels("d.png") != pixels("c.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{HUB}/frog.pt", "must be the address of a model or of a file"),
        ("https://huggingface.co/org/frog.pt", "embeddings must be the address of one file"),
        ("https://a.b/frog.pt", "is on an unknown server"),
    ],
)
def test_addresses_that_are_of_no_embedding(name: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        find_embedding(name)


# Civitai


def test_single_files_that_were_downloaded_are_listed(
    civitai: Civitai, singles: Path, ask: Callable[[str], None], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(singles, tmp_path / "remote"))
    save_peft(lora_pairs(tiny_sd1()), folder / "ink.safetensors")
    chosen = f"{CIVITAI}?type=Model&format=SafeTensor"
    with serve("org/singles", folder) as hub:
        ask(hub.address)
        find_checkpoint("org/singles/pruned/small.safetensors", revision="v2")
        find_lora("org/singles/ink.safetensors")
    for name in (CIVITAI, chosen):
        find_checkpoint(name)
    (cache_folder() / "civitai/128713/dream.safetensors.incomplete").touch()
    listed = [(found.name, revision) for found, revision in cached_checkpoints()]
    assert listed == [
        ("org/singles/pruned/small.safetensors", None),  # v2 is the commit of main, too
        (CIVITAI, None),
        (f"{CIVITAI}?format=SafeTensor&type=Model", None),
    ]
    assert find_checkpoint(listed[2][0]).path == find_checkpoint(chosen).path


@pytest.fixture
def civitai(singles: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Civitai]:
    data = (singles / "tiny.safetensors").read_bytes()
    full = {
        "name": "dream_full.ckpt",
        "type": "Model",
        "metadata": {"format": "PickleTensor", "size": "full", "fp": "fp32"},
        "hashes": {},
    }
    pruned = {
        "name": "dream.safetensors",
        "type": "Model",
        "primary": True,
        "metadata": {"format": "SafeTensor", "size": "pruned", "fp": "fp16"},
        "hashes": {"SHA256": hashlib.sha256(data).hexdigest().upper()},
    }
    server = Civitai(versions={"128713": [pruned, full]}, files={"dream.safetensors": data})
    with serving(server):
        monkeypatch.setattr("sdloop.models.checkpoint.civitai.SERVER", server.address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("CIVITAI_API_TOKEN", raising=False)
        yield server


def test_a_file_of_civitai(civitai: Civitai, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_checkpoint(f"{CIVITAI}?type=Model&format=SafeTensor")
    home = cache_folder() / "civitai" / "128713-format=SafeTensor-type=Model"
    assert found.path == home / "dream.safetensors"
    assert found.name == f"{CIVITAI}?type=Model&format=SafeTensor"
    paths = [request.path.partition("?")[0] for request in civitai.requests]
    assert paths == [
        "/api/v1/model-versions/128713",
        "/api/download/models/128713",
        "/store/dream.safetensors",
    ]
    assert civitai.requests[1].path.endswith("?type=Model&format=SafeTensor")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_checkpoint(found.name).path == found.path
    assert "HF_HUB_OFFLINE is set" in failing(CIVITAI)
    assert "is not in the cache; a command that makes" in failing(CIVITAI, may_fetch=False)


def test_the_key_goes_to_civitai_alone(
    civitai: Civitai, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Path
) -> None:
    civitai.key = "s3cret"
    assert "gives this file only to its users: set CIVITAI_API_TOKEN" in failing(CIVITAI)
    monkeypatch.setenv("CIVITAI_API_TOKEN", "wr0ng")
    assert failing(CIVITAI) == "Civitai does not accept the key in CIVITAI_API_TOKEN for this file"
    monkeypatch.setenv("CIVITAI_API_TOKEN", "s3cret")
    civitai.requests.clear()
    work_in(tmp_path / "work", monkeypatch, tiny_model)
    Command("txt2img").make("a frog", "--seed", "4", "--model", CIVITAI, "-o", "a.png")
    keys = {request.host.partition(":")[0]: request.key for request in civitai.requests}
    assert keys == {"127.0.0.1": "Bearer s3cret", "localhost": None}
    assert b"s3cret" not in Path("a.png").read_bytes()
    assert b"signature" not in Path("a.png").read_bytes()
    assert read("a.png").recipe.model == CIVITAI


def test_an_interrupted_file_of_civitai_is_continued(civitai: Civitai, singles: Path) -> None:
    civitai.cut["/store/dream.safetensors?signature=abc"] = 5000
    found = find_checkpoint(CIVITAI)
    ranges = [request.range for request in civitai.requests if "/store/" in request.path]
    assert ranges == [None, "bytes=5000-"]
    data = (singles / "tiny.safetensors").read_bytes()
    assert found.path.read_bytes() == data
    # All of it was here already, but for its name.
    found.path.rename(found.path.with_name("dream.safetensors.incomplete"))
    assert find_checkpoint(CIVITAI).path.read_bytes() == data


def test_a_file_of_civitai_that_is_another_one(civitai: Civitai) -> None:
    civitai.versions["128713"][0]["hashes"]["SHA256"] = "0" * 64
    assert "dream.safetensors of Civitai was damaged during the download" in failing(CIVITAI)
    assert list((cache_folder() / "civitai/128713").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "status", "headers", "message"),
    [
        ("/api/v1/", 404, {}, "no download: Civitai answered 404 Not Found"),
        ("/api/download/", 429, {"Retry-After": "60"}, "no more requests for now (429): try again"),
        ("/api/download/", 200, {"Content-Type": "text/html"}, "set CIVITAI_API_TOKEN to a key"),
        ("/store/", 403, {}, "no download: Civitai answered 403 Forbidden"),
        ("/api/v1/", 200, {}, "Civitai describes version 128713 in an unknown way"),
    ],
)
def test_what_civitai_refuses(
    civitai: Civitai, path: str, status: int, headers: dict[str, str], message: str
) -> None:
    civitai.refuse[path] = (status, headers)
    start = time.monotonic()
    assert message in failing(CIVITAI)
    assert time.monotonic() - start < 2


def test_a_file_of_civitai_with_a_name_that_leads_elsewhere(civitai: Civitai) -> None:
    for name in ("../x.safetensors", "a.zip"):
        civitai.versions["128713"][0]["name"] = name
        assert f"version 128713 of Civitai is {name!r}, which is not a model" in failing(CIVITAI)


def test_civitai_that_cannot_be_reached(civitai: Civitai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.models.checkpoint.civitai.SERVER", CLOSED)
    assert "Civitai cannot be reached, or the connection broke" in failing(CIVITAI)
