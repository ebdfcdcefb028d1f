"""Models from the hub: read offline from the cache, downloaded once, one-line errors."""

import _thread
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import huggingface_hub
import pytest
import torch
from helpers.fake_hub import COMMIT, forge_cache, serve, use_hub
from helpers.image_adapters import save_image_adapter, save_image_encoder
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sdxl, write_json
from helpers.vision import save_clipseg
from huggingface_hub import constants
from huggingface_hub.utils.sha import git_hash
from safetensors.torch import load_file, save_file

from sdloop.errors import ModelError
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.image_adapter import find_image_adapter
from sdloop.models.checkpoint.other_parts import read_part_folder
from sdloop.models.checkpoint.safety import safety_place
from sdloop.models.checkpoint.vision import find_vision
from sdloop.models.components.load import load_components

CLOSED = "http://127.0.0.1:9"
UNET, VAE = "unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(tiny_sd1(), tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def remote(model: Path, tmp_path: Path) -> Path:
    """The files of a repository, to be changed."""
    return Path(shutil.copytree(model, tmp_path / "remote"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that nobody answers for."""
    use_hub(CLOSED, tmp_path / "hub", monkeypatch)
    return tmp_path / "hub"


@pytest.fixture
def ask(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda address: use_hub(address, cache, monkeypatch)


def failing(*args: Any, **options: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        find_checkpoint(*args, **options)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 3
    return caught.value


def weights(asked: list[str]) -> list[str]:
    return sorted(name for name in asked if not name.endswith((".json", ".txt")))


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
    error = failing("org/none", variant="fp16")
    assert time.monotonic() - start < 5
    assert str(error) == (
        "org/none is not in the cache, and the hub cannot be reached: once online, run "
        "`hf download org/none --include '*.json' --include '*/merges.txt' "
        "--include 'text_encoder*/model.fp16.safetensors' "
        "--include 'unet/*_model.fp16.safetensors' --include 'vae/*_model.fp16.safetensors'`"
    )


def test_offline_is_offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = failing("org/none", revision="v2")
    assert "HF_HUB_OFFLINE is set: unset it and run `hf download org/none --include" in str(error)
    assert str(error).endswith(" --revision v2`")


def test_nothing_is_fetched_where_it_may_not_be(ask: Callable[[str], None], model: Path) -> None:
    with serve("org/none", model) as hub:
        ask(hub.address)
        error = failing("org/none", may_fetch=False)
        assert str(error).startswith("org/none is not in the cache; `hf download org/none --incl")
        error = failing("org/none/x.safetensors", revision="v2", may_fetch=False)
        command = "`hf download org/none x.safetensors --revision v2` downloads it"
        assert str(error) == f"org/none/x.safetensors is not in the cache; {command}"
        assert "org/vae is not in the cache" in str(
            failing(str(model), vae="org/vae", may_fetch=False)
        )
    assert hub.requests == []


@pytest.mark.parametrize("offline", [True, False])
def test_a_partial_download_is_noticed(
    cache: Path, model: Path, offline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    snapshot = forge_cache(cache, "org/tiny", model)
    (snapshot / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    error = failing("org/tiny")
    assert "vae/diffusion_pytorch_model.safetensors is missing" in str(error)
    assert "hf download org/tiny --include" in str(error)


def test_a_link_out_of_the_cache(cache: Path, model: Path, tmp_path: Path) -> None:
    snapshot = forge_cache(cache, "org/tiny", model)
    config = snapshot / "unet" / "config.json"
    shutil.copyfile(config, tmp_path / "elsewhere.json")
    config.unlink()
    config.symlink_to(tmp_path / "elsewhere.json")
    assert "points outside the model's folder" in str(failing("org/tiny"))


def test_what_is_no_hub_id(cache: Path) -> None:
    assert "neither a path that exists nor a hub id" in str(failing("a model?"))


# Downloads


def test_fetches_only_what_is_needed(remote: Path, ask: Callable[[str], None]) -> None:
    tiny_sd1(seed=1).unet.save_pretrained(remote / "unet", variant="fp16")
    shutil.copyfile(remote / f"{UNET}.safetensors", remote / f"{UNET}.bin")
    (remote / "v1.ckpt").write_bytes(b"large")
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        found = find_checkpoint("org/tiny")
        assert found.revision == COMMIT
        assert weights(hub.asked) == [
            TEXT,
            f"{UNET}.safetensors",
            f"{VAE}.safetensors",
        ]
        lists = [request.path for request in hub.requests if request.path.startswith("/api/m")]
        assert lists == ["/api/models/org/tiny/revision/main"]
        once = len(hub.asked)
        found = find_checkpoint("org/tiny", variant="fp16")
        assert weights(hub.asked[once:]) == [f"{UNET}.fp16.safetensors"]
        assert found.weights["unet"][0].name == "diffusion_pytorch_model.fp16.safetensors"
    ask(CLOSED)
    assert find_checkpoint("org/tiny").revision == COMMIT
    assert find_checkpoint("org/tiny", variant="fp16").weights == found.weights


def test_what_the_hubs_library_finds_in_the_cache(
    model: Path, ask: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files lie where it puts them itself, and are not downloaded again by it."""
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        find_checkpoint("org/tiny")
        once = len(hub.asked)
        found = huggingface_hub.hf_hub_download("org/tiny", TEXT)
        assert hub.asked[once:] == []
    assert load_file(found).keys() == load_file(model / TEXT).keys()
    assert Path(found).is_symlink() and not Path(found).readlink().is_absolute()


def test_a_variant_that_does_not_exist_costs_no_weights(
    remote: Path, ask: Callable[[str], None]
) -> None:
    tiny_sd1(seed=1).unet.save_pretrained(remote / "unet", variant="fp16", max_shard_size="1MB")
    tiny_sd1(seed=1).vae.save_pretrained(remote / "vae", variant="ema")
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        error = failing("org/tiny", variant="fp61")
    assert str(error) == "org/tiny has no variant 'fp61' (it has 'ema', 'fp16')"
    assert weights(hub.asked) == []


def only_fp16(remote: Path, *parts: str) -> None:
    for part in parts:
        for file in (remote / part).glob("*.safetensors"):
            file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))


def test_a_part_that_exists_only_as_a_variant(
    remote: Path, ask: Callable[[str], None], recwarn: pytest.WarningsRecorder
) -> None:
    """The inpainting UNet of SD 1.5: fp16, or a pickle."""
    only_fp16(remote, "unet")
    (remote / f"{UNET}.bin").write_bytes(b"never read")
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        found = find_checkpoint("org/tiny")
    assert weights(hub.asked) == [TEXT, f"{UNET}.fp16.safetensors", f"{VAE}.safetensors"]
    told = "org/tiny has unet only as the variant 'fp16': using it"
    assert [str(warning.message) for warning in recwarn] == [told]
    ask(CLOSED)  # the cache knows that there is nothing else
    again = find_checkpoint("org/tiny")
    assert (again.weights, again.variant) == (found.weights, None)


def test_a_variant_in_the_cache_does_not_stand_for_the_plain_weights(
    cache: Path, remote: Path, ask: Callable[[str], None]
) -> None:
    plain = Path(shutil.copytree(remote, remote.with_name("plain")))
    only_fp16(remote, "unet", "vae", "text_encoder")
    forge_cache(cache, "org/tiny", remote)
    assert "the variant 'fp16' exists (--variant fp16)" in str(failing("org/tiny"))
    with serve("org/tiny", plain) as hub:
        ask(hub.address)
        assert find_checkpoint("org/tiny").weights["unet"][0].name.count(".") == 1


def test_a_half_downloaded_variant_is_not_filled_up_with_plain_files(
    cache: Path, remote: Path, ask: Callable[[str], None]
) -> None:
    for part in ("unet", "text_encoder"):
        for file in (remote / part).glob("*.safetensors"):
            shutil.copyfile(file, file.with_name(f"{file.stem}.fp16.safetensors"))
    snapshot = forge_cache(cache, "org/tiny", remote)
    (snapshot / "text_encoder/model.fp16.safetensors").unlink()
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        found = find_checkpoint("org/tiny", variant="fp16")
        assert weights(hub.asked) == []  # its content is in the cache
        asked = len(hub.requests)
        again = find_checkpoint("org/tiny", variant="fp16")
    assert {part: files[0].name.count(".") for part, files in found.weights.items()} == {
        "unet": 2,
        "vae": 1,
        "text_encoder": 2,
    }
    assert (again.weights, len(hub.requests)) == (found.weights, asked)


def test_of_several_variants_on_the_hub_one_must_be_chosen(
    remote: Path, ask: Callable[[str], None]
) -> None:
    only_fp16(remote, "unet")
    shutil.copyfile(remote / f"{UNET}.fp16.safetensors", remote / f"{UNET}.ema.safetensors")
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        error = failing("org/tiny")
    assert str(error) == (
        "org/tiny has its unet only in the variants 'ema', 'fp16': choose one with --variant"
    )
    assert weights(hub.asked) == []


def test_bin_files_are_fetched_where_there_is_nothing_else(
    remote: Path, ask: Callable[[str], None]
) -> None:
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "pytorch_model")):
        old = next((remote / part).glob("*.safetensors"))
        torch.save(load_file(old), old.with_name(f"{name}.bin"))
        old.unlink()
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        found = find_checkpoint("org/tiny")
        assert weights(hub.asked) == [
            "text_encoder/pytorch_model.bin",
            f"{UNET}.bin",
            f"{VAE}.safetensors",
        ]
    ask(CLOSED)
    assert find_checkpoint("org/tiny").weights == found.weights


def test_a_variant_that_exists_only_as_pickles(remote: Path, ask: Callable[[str], None]) -> None:
    shutil.copyfile(remote / f"{UNET}.safetensors", remote / f"{UNET}.fp16.bin")
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        with pytest.raises(ModelError, match="is not a PyTorch checkpoint"):
            find_checkpoint("org/tiny", variant="fp16")
    assert weights(hub.asked) == [TEXT, f"{UNET}.fp16.bin", f"{VAE}.safetensors"]


def test_refuses_before_it_fetches_weights(remote: Path, ask: Callable[[str], None]) -> None:
    write_json(
        remote / "model_index.json",
        {"_class_name": "FluxPipeline", "transformer": ["diffusers", "FluxTransformer2DModel"]},
    )
    with serve("org/flux", remote) as hub:
        ask(hub.address)
        assert "org/flux is a FluxPipeline with a transformer" in str(failing("org/flux"))
    assert weights(hub.asked) == []


def test_a_repository_that_is_only_one_part(model: Path, ask: Callable[[str], None]) -> None:
    with serve("org/vae", model / "vae") as hub:
        ask(hub.address)
        assert "org/vae is only AutoencoderKL, not a whole model" in str(failing("org/vae"))
    assert hub.asked == ["config.json"]


# What the hub refuses


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("GatedRepo", "it is gated: accept its terms at https://huggingface.co/org/tiny"),
        ("RepoNotFound", "the hub has no such model, or it is private"),
        ("RevisionNotFound", "org/tiny has no revision 'v9' on the hub"),
    ],
)
def test_what_the_hub_refuses(
    model: Path, ask: Callable[[str], None], code: str, message: str
) -> None:
    with serve("org/tiny", model, error=code) as hub:
        ask(hub.address)
        assert message in str(failing("org/tiny", revision="v9"))


@pytest.mark.parametrize("path", ["/api/models/", f"/org/tiny/resolve/{COMMIT}/unet/"])
@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        (429, {"Retry-After": "300"}, "allows no more requests for now (429): try again in 300 s"),
        (429, {"RateLimit": '"api";r=0;t=55'}, "try again in 55 seconds"),
        (429, {}, "allows no more requests for now (429): try again later"),
        (403, {"X-Error-Code": "GatedRepo"}, "it is gated: accept its terms at https://hugg"),
        (403, {}, "the hub does not accept your login (403): `hf auth login`"),
        (503, {}, "the hub answered 503 Service Unavailable: try again later"),
    ],
)
def test_answers_that_are_errors_are_told_at_once(
    model: Path,
    ask: Callable[[str], None],
    path: str,
    status: int,
    headers: dict[str, str],
    message: str,
) -> None:
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        hub.refuse[path] = (status, headers)
        start = time.monotonic()
        error = str(failing("org/tiny"))
        assert time.monotonic() - start < 2  # no waiting for another try
    assert error.startswith("org/tiny is not in the cache, and ")
    assert message in error


# Interrupted downloads


def test_a_download_that_breaks_off_is_continued(model: Path, ask: Callable[[str], None]) -> None:
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        hub.cut[f"{UNET}.safetensors"] = 1000
        found = find_checkpoint("org/tiny")
    tries = [request for request in hub.requests if f"{UNET}.s" in request.path]
    assert [request.range for request in tries if request.method == "GET"] == [None, "bytes=1000-"]
    assert found.weights["unet"][0].read_bytes() == (model / f"{UNET}.safetensors").read_bytes()


def arrived(cache: Path, data: bytes, count: int) -> Path:
    """The file that has the beginning of ``data``, as soon as so many bytes of it are there."""
    name = f"{hashlib.sha256(data).hexdigest()}.incomplete"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for part in cache.rglob(name):
            if part.stat().st_size >= count:
                return part
        time.sleep(0.01)
    raise AssertionError(f"{name} did not arrive")


def press_ctrl_c(cache: Path, data: bytes, count: int) -> None:
    """In the main thread, when so many bytes of ``data`` have been downloaded."""

    def wait() -> None:
        arrived(cache, data, count)
        _thread.interrupt_main()

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize("ranges", [True, False])
def test_ctrl_c_ends_a_download_at_once_and_the_next_start_continues_it(
    model: Path, ask: Callable[[str], None], cache: Path, ranges: bool
) -> None:
    data = (model / f"{UNET}.safetensors").read_bytes()
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        hub.ranges = ranges
        hub.stall[f"{UNET}.safetensors"] = 100_000
        press_ctrl_c(cache, data, 100_000)
        with (
            pytest.raises(KeyboardInterrupt),
            pytest.warns(
                UserWarning, match="org/tiny is not all here: the next start continues its download"
            ),
        ):
            find_checkpoint("org/tiny")
        assert not hub.go.is_set()  # the server is still waiting
        part = arrived(cache, data, 100_000)
        assert part.read_bytes() == data[:100_000]
        hub.go.set()
        hub.requests.clear()
        found = find_checkpoint("org/tiny")
    asked = [request.range for request in hub.requests if f"{UNET}.s" in request.path]
    assert asked == [None, "bytes=100000-"]  # HEAD, then GET
    assert found.weights["unet"][0].read_bytes() == data
    assert not part.exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_command(model: Path, tmp_path: Path) -> None:
    data = (model / f"{UNET}.safetensors").read_bytes()
    arguments = ["txt2img", "a frog", "--seed", "4", "--steps", "1", "--model", "org/tiny"]
    command = [sys.executable, "-m", "sdloop", *arguments, "-o", str(tmp_path / "a.png")]
    with serve("org/tiny", model) as hub:
        hub.stall[f"{UNET}.safetensors"] = 100_000
        own = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
        options: dict[str, Any] = {"env": {**os.environ, **own}, "text": True}
        started = subprocess.Popen(command, **options, stderr=subprocess.PIPE)
        part = arrived(tmp_path / "hf", data, 100_000)
        started.send_signal(signal.SIGINT)
        _, told = started.communicate(timeout=30)
        assert not hub.go.is_set()  # the server is still waiting
        assert started.returncode == 130
        assert told.splitlines()[0] == (
            "sdloop: warning: org/tiny is not all here: the next start continues its download"
        )
        assert part.read_bytes() == data[:100_000]
        hub.go.set()
        hub.requests.clear()
        again = subprocess.run(command, **options, capture_output=True, timeout=120)
    assert (again.returncode, again.stderr) == (0, "")
    ranges = [request.range for request in hub.requests if f"{UNET}.s" in request.path]
    assert ranges == [None, "bytes=100000-"]


def test_a_part_of_something_else_is_not_taken_for_the_file(
    model: Path, ask: Callable[[str], None], cache: Path
) -> None:
    data = (model / f"{VAE}.safetensors").read_bytes()
    part = cache / "models--org--tiny/blobs" / f"{hashlib.sha256(data).hexdigest()}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"wrong")
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        assert "was damaged during the download: its sha256 is" in str(failing("org/tiny"))
        assert find_checkpoint("org/tiny").revision == COMMIT
        part.write_bytes(data + b"more")  # longer than the file
        Path(find_checkpoint("org/tiny").weights["vae"][0]).resolve().unlink()
        assert find_checkpoint("org/tiny").weights["vae"][0].read_bytes() == data


def test_a_small_file_is_checked_against_gits_hash(
    model: Path, ask: Callable[[str], None], cache: Path
) -> None:
    digest = git_hash((model / "unet/config.json").read_bytes())
    part = cache / "models--org--tiny/blobs" / f"{digest}.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"wrong")
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        told = str(failing("org/tiny"))
        assert (
            "unet/config.json of org/tiny was damaged during the download: its git hash is" in told
        )
        assert find_checkpoint("org/tiny").revision == COMMIT


def test_a_disk_without_room(
    model: Path, ask: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(model)._replace(free=10)
    with serve("org/tiny", model) as hub:
        ask(hub.address)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
        assert re.search(
            r"of org/tiny needs 0\.0 GB, but .* has only 0\.0 GB left", str(failing("org/tiny"))
        )
    assert hub.asked == []


def test_a_disk_that_fails(
    model: Path, ask: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with serve("org/tiny", model) as hub:
        ask(hub.address)
        monkeypatch.setattr(Path, "replace", fail)
        assert "the download failed: [Errno 28] No space left on device" in str(failing("org/tiny"))


# VAEs


@pytest.mark.parametrize("part", ["vae", "unet"])
def test_a_part_of_the_hub(model: Path, ask: Callable[[str], None], part: str) -> None:
    """As a repository of its own, or within a model's."""
    for repository, folder in (("org/part", model / part), ("org/model", model)):
        with serve(repository, folder) as hub:
            ask(hub.address)
            found = find_checkpoint(str(model), **{part: repository})
        assert [file.name for file in found.weights[part]] == [
            "diffusion_pytorch_model.safetensors"
        ]
        assert sum(name.endswith(".safetensors") for name in hub.asked) == 1
        ask(CLOSED)
        assert find_checkpoint(str(model), **{part: repository}).weights == found.weights


def test_a_safety_checker_is_fetched_only_when_it_is_asked_for(
    remote: Path, ask: Callable[[str], None]
) -> None:
    write_json(remote / "safety_checker" / "config.json", {})
    save_file({"concept_embeds": torch.ones(17)}, remote / "safety_checker" / "model.safetensors")
    index = json.loads((remote / "model_index.json").read_text(encoding="utf-8"))
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (remote / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    with serve("org/tiny", remote) as hub:
        ask(hub.address)
        found = find_checkpoint("org/tiny")
        assert "safety_checker/model.safetensors" not in hub.asked
        place = safety_place(found)
        assert "safety_checker/model.safetensors" in hub.asked
    _, files = read_part_folder(place)
    assert files == (found.path / "safety_checker" / "model.safetensors",)
    ask(CLOSED)
    assert safety_place(found).path == found.path


def test_a_segmenter_of_the_hub(ask: Callable[[str], None], tmp_path: Path) -> None:
    """With its vocabulary, and without the pickle of the same weights."""
    folder = save_clipseg(tmp_path / "seg")
    (folder / "pytorch_model.bin").write_bytes(b"not read")
    with serve("org/seg", folder) as hub:
        ask(hub.address)
        found = find_vision("segmenter", "org/seg")
    assert weights(hub.asked) == ["model.safetensors"] and "merges.txt" in hub.asked
    assert find_vision("segmenter", str(folder)).sha256 == found.sha256
    ask(CLOSED)
    assert find_vision("segmenter", "org/seg", may_fetch=False) == found
    with pytest.raises(ModelError, match="org/none is not in the cache"):
        find_vision("segmenter", "org/none", may_fetch=False)


def test_an_image_adapter_of_the_hub(ask: Callable[[str], None], tmp_path: Path) -> None:
    """Of two encoders only the one that suits is downloaded; then no network is needed."""
    remote, name = tmp_path / "remote", "sdxl_models/ip-adapter_sdxl_vit-h.safetensors"
    save_image_adapter(tiny_sdxl(), remote / name)
    (remote / "models").mkdir()
    (remote / "sdxl_models" / "image_encoder").rename(remote / "models" / "image_encoder")
    save_image_encoder(remote / "sdxl_models" / "image_encoder", embedding=48)
    with serve("org/adapters", remote) as hub:
        ask(hub.address)
        found = find_image_adapter(f"org/adapters/{name}")
        assert weights(hub.asked) == ["models/image_encoder/model.safetensors", name]
    ask(CLOSED)
    again = find_image_adapter(f"org/adapters/{name}", may_fetch=False)
    assert (again.sha256, again.encoder.sha256) == (found.sha256, found.encoder.sha256)
    encoder = "org/adapters/models/image_encoder"
    named = find_image_adapter(f"org/adapters/{name}", encoder, may_fetch=False)
    assert named.encoder.files == found.encoder.files


def test_a_vae_of_the_hub_in_a_variant(
    model: Path, remote: Path, ask: Callable[[str], None], tmp_path: Path
) -> None:
    shutil.copyfile(remote / f"{VAE}.safetensors", remote / f"{VAE}.fp16.safetensors")
    fp16 = Path(shutil.copytree(model, tmp_path / "model"))
    only_fp16(fp16, "unet")
    with serve("org/vae", remote / "vae") as hub:
        ask(hub.address)
        found = find_checkpoint(str(fp16), variant="fp16", vae="org/vae")
        assert found.weights["vae"][0].name == "diffusion_pytorch_model.fp16.safetensors"
        assert weights(hub.asked) == ["diffusion_pytorch_model.fp16.safetensors"]
    (remote / f"{VAE}.safetensors").unlink()
    with serve("org/only", remote / "vae") as hub:
        ask(hub.address)
        told = "the VAE org/only exists only as the variant 'fp16': using it"
        with pytest.warns(UserWarning, match=told):
            find_checkpoint(str(model), vae="org/only")


def test_a_vae_of_the_hub_that_is_a_pickle(
    model: Path, remote: Path, ask: Callable[[str], None]
) -> None:
    file = remote / f"{VAE}.safetensors"
    torch.save(load_file(file), remote / f"{VAE}.bin")
    file.unlink()
    with serve("org/vae", remote / "vae") as hub:
        ask(hub.address)
        found = find_checkpoint(str(model), vae="org/vae")
    assert [file.name for file in found.weights["vae"]] == ["diffusion_pytorch_model.bin"]


def test_no_vae_in_a_repository(model: Path, ask: Callable[[str], None]) -> None:
    with serve("org/text", model / "tokenizer") as hub:
        ask(hub.address)
        assert "org/text holds no vae in diffusers' layout, and no single file" in str(
            failing(str(model), vae="org/text")
        )
