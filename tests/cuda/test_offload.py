"""``--memory``: weights that wait on the CPU, and come to the device when they are needed."""

import gc
import warnings
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.controls import save_adapter, save_control, save_union
from helpers.image_adapters import save_image_adapter
from helpers.loras import lora_pairs, save_kohya
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.memory import always_from, once_at
from helpers.tiny import (
    save_diffusers_folder,
    tiny_depth,
    tiny_pix2pix,
    tiny_refiner,
    tiny_sd1,
    tiny_sd2,
    tiny_sdxl,
)

from sdloop.batch.run import _Runner
from sdloop.batch.units import Task
from sdloop.errors import OutOfMemory, SettingError
from sdloop.latents.vae import decode_images
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.adapters import _merge
from sdloop.models.components.control import forget_controlnets
from sdloop.models.components.device import PeakMemory
from sdloop.models.components.fit import pick_memory
from sdloop.models.components.fp8 import to_fp8, weight_of
from sdloop.models.components.image_adapter import forget_image_adapters
from sdloop.models.components.load import Components, load_components, without_numbers
from sdloop.models.components.lora_change import Change
from sdloop.models.components.offload import works_on
from sdloop.models.components.predict import needs_of
from sdloop.pipeline import hires
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

pytestmark = pytest.mark.usefixtures("files")

USUAL = {"prompt": "a cat", "steps": 2, "width": 16, "height": 16, "scheduler": "euler", "seed": 7}
_MODELS = {
    "sd1": tiny_sd1,
    "sd2": tiny_sd2,
    "sdxl": tiny_sdxl,
    "depth": tiny_depth,
    "pix2pix": lambda: tiny_pix2pix("sd1"),
    "refiner": tiny_refiner,
}
_QUICK = ("controlled",)
CUDA, CPU = torch.device("cuda:0"), torch.device("cpu")


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    where = tmp_path_factory.mktemp("models")
    return cache(lambda name: save_diffusers_folder(_MODELS[name](), where / name))


def loaded(folder: Path, memory: str, dtype: str = "bf16", **more: Any) -> Components:
    device = "cpu" if memory == "cpu" else "cuda"
    memory = "full" if memory == "cpu" else memory
    return load_components(str(folder), device=device, dtype=dtype, memory=memory, **more)


_IMAGE = {"image": "sketch.png", "strength": 0.9}
CASES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "txt2img": ("sdxl", {}),
    "batch": ("sd1", {"seeds": (7, 8), "scheduler": "euler-a"}),
    "img2img": ("sd2", _IMAGE),
    "inpaint": ("sd1", {**_IMAGE, "mask": "mask.png"}),
    "hires": ("sd2", {"hires": 1.5, "strength": 0.9}),
    "lora": ("sd1", {"loras": True}),
    "weakened": ("sd1", {"pag_scale": 2.0, "pag_layers": "mid"}),
    "reuse": ("sd1", {"reuse": 2, "pag_scale": 2.0, "pag_layers": "mid"}),
    "seamless": ("sd1", {"seamless": "xy", "loras": True, "controls": True}),
    "exact": ("sd1", {"losses": ["smooth=9"], "loss_mode": "exact", "loss_every": 1}),
    "cheap": ("sd2", {"losses": ["blue=9"]}),
    "refiner": ("sdxl", {"refiner": True, "refiner_start": 0.5}),
    "depth": ("depth", _IMAGE),
    "pix2pix": ("pix2pix", {"image": "sketch.png"}),
    "controlled": ("sd1", {"controls": True, "loras": True, "image_prompts": True}),
    "joined": ("sdxl", {"union": True}),
    "seeing": ("sdxl", {"image_prompts": True, "pag_scale": 2.0, "pag_layers": "mid"}),
    "adapted": ("sdxl", {"t2i_adapters": True}),
    "clip": ("sd1", {"losses": ["clip=a red sky:9"], "loss_every": 1, "width": 32, "height": 32}),
}


def pictures(
    folders: Any, name: str, settings: Mapping[str, Any], memory: str, dtype: str = "bf16"
) -> list[Any]:
    settings = dict(USUAL | dict(settings))
    seeds = settings.pop("seeds", (settings.pop("seed"),))
    more = {"refiner": str(folders("refiner"))} if settings.pop("refiner", False) else {}
    components = loaded(folders(name), memory, dtype, **more)
    if settings.pop("loras", False):
        file = save_kohya(lora_pairs(_MODELS[name]()), Path("lora.safetensors"))
        settings["loras"] = [f"{file}:0.8"]
    for field, save in (("controls", save_control), ("t2i_adapters", save_adapter)):
        if settings.pop(field, False):
            settings[field] = [f"{save(_MODELS[name](), Path(field))}=sketch.png"]
    if settings.pop("union", False):
        union = save_union(_MODELS[name](), Path("union"))
        settings["controls"] = [f"{union}#canny=sketch.png", f"{union}#depth=sketch.png"]
    if settings.pop("image_prompts", False):
        adapter = Path("models/plus.safetensors")
        settings["ip_adapter"] = str(save_image_adapter(_MODELS[name](), adapter, "plus"))
        settings["image_prompts"] = ["sketch.png:0.8", "sketch.png=0,0,0.5,1"]
    recipes = [Recipe(seed=seed, **settings) for seed in seeds]
    return generate(components, recipes, batch_size=2)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in _QUICK else pytest.mark.slow) for case in CASES
    ],
)  # fmt: skip
def test_the_pictures_are_those_of_the_cpu(gpu: PretendedCuda, folders: Any, case: str) -> None:
    """Where a tensor of another stream is used before it is there, the device refuses."""
    name, settings = CASES[case]
    expected = pictures(folders, name, settings, "cpu")
    for memory in ("low", "lowest") if case in _QUICK else ("full", "low", "lowest"):
        made = pictures(folders, name, settings, memory)
        for one, other in zip(expected, made, strict=True):
            assert torch.equal(one.latents, other.latents)
            assert one.image.tobytes() == other.image.tobytes()
        if memory == "full":
            # For the next call they stay where they are.
            forget_controlnets()
            forget_image_adapters()
        gc.collect()
        # Encoded prompts and pictures; no weights.
        assert case == "clip" or gpu.memory.held < 12_000


def test_each_choice_needs_less_memory(gpu: PretendedCuda, folders: Any) -> None:
    peaks = []
    for memory in ("full", "low", "lowest"):
        components = loaded(folders("sd1"), memory)
        assert works_on(components.unet) == works_on(components.vae) == CUDA
        waiting = CUDA if memory == "full" else CPU
        assert {p.device for p in components.unet.parameters()} == {waiting}
        peak = PeakMemory(CUDA)
        generate(components, Recipe(**USUAL))
        peaks.append(peak.read() or 0)
        assert {p.device for p in components.unet.parameters()} == {waiting}
    full, low, lowest = peaks
    unet = sum(p.nbytes for p in components.unet.parameters())
    assert full > low > unet > lowest


def test_the_vae_between_two_stages_has_the_memory_of_the_unet(
    gpu: PretendedCuda, folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would work in tiles where the whole picture fits, and make another one."""
    components, held = loaded(folders("sd1"), "low"), []
    usual = hires.decode_images
    monkeypatch.setattr(
        hires,
        "decode_images",
        lambda *given: held.append(len(components.unet._offload._kept.copies)) or usual(*given),
    )
    generate(components, Recipe(**USUAL, hires=1.5, strength=0.9))
    assert held == [0]


def test_weights_that_do_not_fit_are_told_in_words(gpu: PretendedCuda, folders: Any) -> None:
    folder = folders("sd1")
    gpu.memory.fails = always_from(gpu.memory.operations + 9, "cuda")
    with pytest.raises(OutOfMemory, match=r"weights of .*sd1; remedy: memory low or lowest"):
        loaded(folder, "full")
    gpu.memory.fails = None
    gc.collect()
    assert gpu.memory.held == 0


def test_weights_on_their_way_make_nobody_wait(gpu: PretendedCuda, folders: Any) -> None:
    """They are pinned, and the next layer's are under way while one computes."""
    components = loaded(folders("sd1"), "lowest")
    gpu.waits.clear()
    generate(components, Recipe(**USUAL))
    assert not [place for _, place in gpu.waits if "offload" in place]
    stream = components.unet._offload._ahead
    assert stream._next == {}  # forgotten when its pictures were decoded


def test_after_running_out_of_memory_the_weights_are_whole(
    gpu: PretendedCuda, folders: Any
) -> None:
    components = loaded(folders("sd1"), "lowest")
    expected = generate(components, Recipe(**USUAL))[0].image.tobytes()
    for number in (40, 400, 700):
        gpu.memory.fails = once_at(gpu.memory.operations + number, "torch")
        with pytest.raises(OutOfMemory), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            generate(components, Recipe(**USUAL))
            raise OutOfMemory("so late that the decoder could do without it")
        gpu.memory.fails = None
        assert {p.device for p in components.unet.parameters()} == {CPU}
    assert generate(components, Recipe(**USUAL))[0].image.tobytes() == expected


def test_a_vae_without_any_memory_works_on_the_cpu(gpu: PretendedCuda, folders: Any) -> None:
    components = loaded(folders("sd1"), "lowest", "fp32")
    picture = generate(components, Recipe(**USUAL))[0]
    gpu.memory.fails = always_from(gpu.memory.operations, "torch")
    with pytest.warns(RuntimeWarning, match="not enough memory to decode"):
        images = decode_images(components.vae, picture.latents[None])
    assert images[0].tobytes() == picture.image.tobytes()


def test_what_does_not_fit_is_chosen_and_told(gpu: PretendedCuda, folders: Any) -> None:
    folder = folders("sd1")
    found = find_checkpoint(str(folder))
    needs = needs_of(without_numbers(found, torch.bfloat16, fp8=False))
    pick = partial(pick_memory, model=found, device=CUDA, dtype=torch.bfloat16, needs=lambda: needs)
    for memory, room in (("full", 9.0), ("full", 1.2), ("low", 1.2), ("lowest", 0.5)):
        gpu.memory.total = int(needs.peak(memory) * room)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", RuntimeWarning)
            chosen = pick("auto")
        assert chosen == memory
        assert [f"memory {memory}" in str(one.message) for one in told] == (
            [] if memory == "full" else [True]
        )
    assert pick("full") == "full"


@pytest.mark.parametrize("memory", ["low", "lowest"])
def test_a_cpu_has_no_such_choice(memory: str) -> None:
    with pytest.raises(SettingError, match=f"memory {memory} is for CUDA GPUs, and device is cpu"):
        load_components("mini", device="cpu", memory=memory)
    with pytest.raises(SettingError, match="memory must be one of auto, full, low, lowest, got"):
        load_components("mini", device="cpu", memory="small")


def test_eight_bits_are_the_same_with_each_memory(gpu: PretendedCuda, folders: Any) -> None:
    settings = {"loras": True, "prompt": "a cat"}
    whole = pictures(folders, "sd1", settings, "cpu", dtype="bf16")[0]
    made = [pictures(folders, "sd1", settings, one, dtype="fp8")[0] for one in ("full", "lowest")]
    assert made[0].image.tobytes() == made[1].image.tobytes()
    difference = (made[0].latents - whole.latents).abs().mean() / whole.latents.abs().mean()
    assert 0 < difference < 0.2
    assert made[0].made["dtype"] == "float8_e4m3fn"


@pytest.mark.parametrize(("memory", "left"), [("full", 1), ("low", 0)])
def test_a_batch_is_decoded_beside_the_next_one_only_if_all_weights_fit(
    monkeypatch: pytest.MonkeyPatch, memory: str, left: int
) -> None:
    waits: list[int | None] = []
    model = SimpleNamespace(components=SimpleNamespace(memory=memory))
    monkeypatch.setattr(_Runner, "_loaded", lambda self, planned: model)
    monkeypatch.setattr(_Runner, "_landed", lambda self, leave: waits.append(leave) or iter(()))
    asked: list[int] = []
    monkeypatch.setattr(
        "sdloop.pipeline.sample.sampled", lambda *_, rows: asked.append(rows) or iter(())
    )
    runner = object.__new__(_Runner)
    runner._found, runner._tools = set(), SimpleNamespace(open_image=None)  # type: ignore[assignment]
    task = Task(batch=[SimpleNamespace(recipe=None)], wanted=[], rows=4)  # type: ignore[list-item]
    list(runner._make(task))
    assert waits == [left]
    assert asked == [4]  # what a compiled UNet pads to


def test_a_change_of_a_weight_of_eight_bits_is_not_rounded_to_them() -> None:
    layer = torch.nn.Linear(8, 4)
    to_fp8(torch.nn.ModuleDict({"inner": layer}))
    before, change = weight_of(layer), torch.full((4, 8), 1e-4)
    merged = Change(name="file", tensors={"diff": change}, alpha=None)
    _merge(layer, [(1.0, merged)], CPU)
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer.weight, before + change)
