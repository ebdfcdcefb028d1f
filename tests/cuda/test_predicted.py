"""The predicted memory of whole runs, with all that they load, against the bytes they take."""

import gc
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.controls import save_adapter, save_control, save_union, tiny_union
from helpers.image_adapters import save_image_adapter
from helpers.loras import lora_pairs, save_kohya
from helpers.pretended_cuda import PretendedCuda
from helpers.pretended_cuda.memory import always_from
from helpers.tiny import (
    save_diffusers_folder,
    save_safety_checker,
    tiny_refiner,
    tiny_sd1,
    tiny_sd2,
    tiny_sdxl,
)

from sdloop.images.input.read import open_image
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.components.control import forget_controlnets
from sdloop.models.components.image_adapter import forget_image_adapters
from sdloop.models.components.load import load_components, without_numbers
from sdloop.models.components.safety import forget_safety_checker, with_safety_checker
from sdloop.models.memory_names import MEMORY
from sdloop.pipeline import memory as choosing
from sdloop.pipeline.generate import generate
from sdloop.pipeline.memory import memory_for, needs_for
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.recipe import Recipe

_MODELS = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
# Layer by layer, the largest three are taken for those of the largest activations: in tiny models,
# whose layers are as large as their activations, this is too much.
_MOST = {"full": 1.02, "low": 1.15, "lowest": 1.75}
_HOW = {"device": "cuda", "dtype": "bf16", "memory": "auto"}


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> Iterator[None]:
    yield
    forget_controlnets()
    forget_image_adapters()
    forget_safety_checker()


def saved(family: str) -> Checkpoint:
    """The model in the current folder, with a safety checker or a refiner."""
    folder = save_diffusers_folder(_MODELS[family](), Path(family))
    if family == "sdxl":
        refiner = save_diffusers_folder(tiny_refiner(), Path("refiner"))
        return find_checkpoint(str(folder), refiner=str(refiner))
    save_safety_checker(folder, threshold=1.1)
    return find_checkpoint(str(folder))


def steered(family: str) -> dict[str, Any]:
    """Settings that load one of each kind, and none of a large effect alone."""
    model = _MODELS[family]()
    return {
        "loras": [f"{save_kohya(lora_pairs(model), Path('lora.safetensors'))}:0.8"],
        "controls": [f"{save_control(model, Path('net'))}=sketch.png"],
        "t2i_adapters": [f"{save_adapter(model, Path('t2i'))}=sketch.png"],
        "ip_adapter": str(save_image_adapter(model, Path("ip/plus.safetensors"), "plus")),
        "image_prompts": ["sketch.png:0.8", "sketch.png=0,0,0.5,1"],
    }


def resolved(found: Checkpoint, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "steps": 2, "scheduler": "euler", "seed": 7}
    usual |= {"width": 32, "height": 32, "model": found.name, "refiner": found.names.refiner}
    return Resolver(open_image)(Recipe(**usual | settings)).recipe


def peak_of_run(gpu: PretendedCuda, found: Checkpoint, recipe: Recipe, memory: str) -> int:
    """The most bytes at the same time, from the prompt to the picture."""
    components = load_components(found, device="cuda", dtype="bf16", memory=memory)
    if found.family != "sdxl":
        components = with_safety_checker(components)
    gpu.memory.peak = gpu.memory.held
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generate(components, recipe)
    return gpu.memory.peak


@pytest.mark.parametrize("family", ["sd1", pytest.param("sd2", marks=pytest.mark.slow), "sdxl"])
def test_all_that_a_run_loads_is_predicted(gpu: PretendedCuda, files: Path, family: str) -> None:
    found = saved(family)
    recipe = resolved(found, **steered(family))
    sizes = without_numbers(found, torch.bfloat16, fp8=False)
    needs = needs_for(sizes, recipe, safety=found.family != "sdxl")
    plain = needs_for(sizes, resolved(found))
    for memory in MEMORY:
        assert needs.peak(memory) > plain.peak(memory)
        counted = peak_of_run(gpu, found, recipe, memory)
        assert 0.95 < needs.peak(memory) / counted < _MOST[memory], memory
        _forget()
    assert gpu.memory.held == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"losses": ["blue=9"], "loss_every": 1},
        {"losses": ["blue=9"], "loss_every": 1, "loss_mode": "exact"},
    ],
    ids=["cheap", "exact"],
)
def test_gradients_of_losses_are_predicted(
    gpu: PretendedCuda, files: Path, settings: dict[str, Any]
) -> None:
    found = saved("sd1")
    recipe = resolved(found, **settings)
    sizes = without_numbers(found, torch.bfloat16, fp8=False)
    needs, plain = needs_for(sizes, recipe), needs_for(sizes, resolved(found))
    assert needs.peak("full") > 1.05 * plain.peak("full")
    for memory in MEMORY:
        counted = peak_of_run(gpu, found, recipe, memory)
        assert 0.95 < needs.peak(memory) / counted < _MOST[memory], memory
        _forget()


def _forget() -> None:
    forget_controlnets()
    forget_image_adapters()
    forget_safety_checker()
    gc.collect()


def test_a_controlnet_decides_the_choice(
    gpu: PretendedCuda, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the model alone would fit; and the answer does not depend on what is loaded."""
    found = saved("sd1")
    plain = resolved(found)
    steered_ = resolved(found, controls=[f"{save_control(tiny_sd1(), Path('net'))}=sketch.png"])
    sizes = without_numbers(found, torch.bfloat16, fp8=False)
    gpu.memory.total = int(needs_for(sizes, plain).peak("full") * 1.15)
    assert memory_for(found, [plain], **_HOW) == "full"
    with pytest.warns(RuntimeWarning, match="GB are needed: memory low"):
        assert memory_for(found, [steered_], **_HOW) == "low"
    loaded = load_components(found, device="cuda", dtype="bf16", memory="full")
    assert memory_for(found, [plain], **_HOW) == "full"
    assert loaded.memory == "full"
    monkeypatch.setattr(choosing, "needs_for", None)  # it was predicted before
    with pytest.warns(RuntimeWarning, match="memory low"):
        assert memory_for(found, [replace(steered_, prompt="a dog")], **_HOW) == "low"


def test_the_largest_of_several_decides(gpu: PretendedCuda, files: Path) -> None:
    found = saved("sd1")
    small, large = resolved(found), resolved(found, width=64, height=64)
    sizes = without_numbers(found, torch.bfloat16, fp8=False)
    gpu.memory.total = int(needs_for(sizes, small).peak("full") * 1.15)
    assert memory_for(found, [small, replace(small, seed=8)], **_HOW) == "full"
    with pytest.warns(RuntimeWarning, match="GB are needed: memory low"):
        assert memory_for(found, [small, large, small], **_HOW) != "full"


def test_a_net_that_joins_two_pictures_counts_once(files: Path) -> None:
    found, union = saved("sdxl"), save_union(tiny_sdxl(), Path("union"))
    sizes = without_numbers(found, torch.bfloat16, fp8=False)
    plain, one, two = (
        needs_for(sizes, resolved(found, controls=[f"{union}#{mode}=sketch.png" for mode in modes]))
        for modes in ([], ["canny"], ["canny", "depth"])
    )
    tensors = tiny_union(tiny_sdxl()).state_dict().values()
    own = sum(tensor.numel() for tensor in tensors if tensor.is_floating_point()) * 2
    assert one.weights - plain.weights == pytest.approx(own, rel=0.01)
    assert two.weights == one.weights
    assert two.phases["step"].activations > one.phases["step"].activations


def test_a_safety_checker_comes_layer_by_layer(gpu: PretendedCuda, files: Path) -> None:
    found, flags = saved("sd1"), []
    for memory in ("full", "low"):
        components = load_components(found, device="cuda", dtype="bf16", memory=memory)
        before = gpu.memory.held
        components = with_safety_checker(components)
        assert (gpu.memory.held > before) is (memory == "full")
        flags += [one.flagged for one in generate(components, Recipe(**SMALL))]
        del components
        _forget()
    assert flags == [False] * 2


SMALL: dict[str, Any] = {"prompt": "a cat", "seed": 7, "steps": 1, "width": 16, "height": 16}


def test_without_memory_it_works_on_the_cpu(gpu: PretendedCuda, files: Path) -> None:
    checker: Any = with_safety_checker(
        load_components(saved("sd1"), device="cuda", dtype="bf16", memory="low")
    ).safety_checker
    image = open_image("sketch.png").image
    gpu.memory.fails = always_from(gpu.memory.operations, "torch")
    with pytest.warns(RuntimeWarning, match="safety checker: it works on the CPU"):
        assert checker.flags([image]) == [False]
    assert {one.device.type for one in checker.model.parameters()} == {"cpu"}


def test_a_worker_keeps_a_model_for_the_choice_that_it_made(
    gpu: PretendedCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cache is asked for what was chosen, and not for "auto"."""
    from sdloop.batch.command_settings import CommandSettings
    from sdloop.cli.make import model
    from sdloop.worker.inside import HOST, Host

    asked: list[Any] = []
    monkeypatch.setattr(choosing, "memory_for", lambda *_, **__: "low")
    token = HOST.set(Host(load=lambda load, *how: asked.append(how[1:]) or SimpleNamespace()))
    try:
        found: Any = SimpleNamespace()
        model.loaded(found, CommandSettings(device="cuda"), [Recipe(**SMALL)])
    finally:
        HOST.reset(token)
    assert asked == [("cuda", "auto", "low", "off")]
