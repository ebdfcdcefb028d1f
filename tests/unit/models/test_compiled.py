"""``--compile``: what runs compiled, what does not, and what it cannot be combined with.

Compiling takes long, so most tests only count what would run compiled.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.controls import save_control
from helpers.loras import lora_pairs, save_peft
from helpers.pictures import sketch
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl

import sdloop
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.grouping import WINDOW
from sdloop.batch.run import _Runner as Runner
from sdloop.batch.units import Task, missing
from sdloop.errors import SettingError
from sdloop.inspection.attention import recorded
from sdloop.latents.vae import decode_images
from sdloop.loop import Step
from sdloop.models.components import compiled
from sdloop.models.components.compiled import Compiled, check_compiler, compile_module
from sdloop.models.components.load import Components, load_components
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.picture import Picture
from sdloop.recipe.controls import Control
from sdloop.recipe.recipe import Recipe

CPU = torch.device("cpu")
MAKERS = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
BLOCK, UNET = "BasicTransformerBlock", "UNet2DConditionModel"
Calls = list[tuple[str, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The kind and the rows of each call that would run compiled; nothing is compiled."""
    found: Calls = []

    def compile(run: Any, *, fullgraph: bool, **options: Any) -> Callable[..., Any]:
        assert fullgraph and not options

        def called(given: torch.Tensor, *args: Any, **inputs: Any) -> Any:
            found.append((type(run.__self__).__name__, len(given)))
            return run(given, *args, **inputs)

        return called

    monkeypatch.setattr(torch, "compile", compile)
    return found


def recipe(seed: int = 7, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "steps": 2, "width": 32, "height": 32, "scheduler": "euler"}
    return Recipe(**{**usual, "seed": seed, **settings})


def compiling(components: Components, how: str) -> Components:
    compile_module(components.unet, how, CPU)
    return replace(components, compile=how)


def blocks_of(components: Components) -> int:
    return sum(type(part).__name__ == BLOCK for part in components.unet.modules())


def kinds(calls: Calls) -> dict[str, int]:
    return {kind: sum(one == kind for one, _ in calls) for kind, _ in calls}


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("how", ["regional", "whole"])
def test_the_unet_runs_compiled_in_each_step(family: str, how: str, calls: Calls) -> None:
    plain = generate(MAKERS[family](), recipe())[0]
    components = compiling(MAKERS[family](), how)
    made = generate(components, recipe())[0]
    wanted = {UNET: 2} if how == "whole" else {BLOCK: 2 * blocks_of(components)}
    assert kinds(calls) == wanted
    assert torch.equal(made.latents, plain.latents)
    assert (plain.made.get("compile"), made.made["compile"]) == (None, how)


def test_it_is_a_matter_of_the_command(calls: Calls) -> None:
    pictures = [generate(one, recipe())[0] for one in (tiny_sd1(), compiling(tiny_sd1(), "whole"))]
    assert pictures[0].recipe == pictures[1].recipe
    assert pictures[0].made.get("key") == pictures[1].made.get("key")


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"pag_scale": 2.0, "pag_layers": "mid"}, 2),
        ({"slg_scale": 2.0, "slg_layers": "mid"}, 2),
        ({"tile": 16}, 16),
    ],
    ids=["pag", "slg", "tiles"],
)
def test_weakened_copies_and_tiles_run_compiled(
    settings: dict[str, Any], more: int, calls: Calls
) -> None:
    made = generate(compiling(tiny_sd1(), "whole"), recipe(**settings))[0]
    assert kinds(calls) == {UNET: 2 + more}
    assert torch.equal(made.latents, generate(tiny_sd1(), recipe(**settings))[0].latents)


@pytest.mark.parametrize("how", ["regional", "whole"])
def test_a_lora_runs_compiled(how: str, calls: Calls, tmp_path: Path) -> None:
    components = compiling(tiny_sd1(), how)
    generate(components, recipe())
    without = kinds(calls)
    calls.clear()
    file = save_peft(lora_pairs(components), tmp_path / "style.safetensors")
    generate(components, recipe(loras=[f"{file}:0.8"]))
    assert kinds(calls) == without


@pytest.mark.parametrize("how", ["regional", "whole"])
def test_a_controlnet_runs_compiled_like_the_unet(how: str, calls: Calls, tmp_path: Path) -> None:
    components = tiny_sd1()
    net = save_control(components, tmp_path / "net")
    sketch(32, 32).save(tmp_path / "sketch.png")
    control = Control(model=str(net), image=str(tmp_path / "sketch.png"))
    generate(compiling(components, how), recipe(controls=(control,)))
    if how == "whole":
        assert kinds(calls) == {UNET: 2, "ControlNetModel": 2}
    else:
        assert kinds(calls)[BLOCK] > 2 * blocks_of(components)


def test_gradients_run_as_they_are(calls: Calls) -> None:
    """Those of compiled code are wrong in torch 2.13, and nothing says so."""
    settings = {"losses": ["symmetry=9"], "loss_every": 1}
    components = compiling(tiny_sd1(), "whole")
    generate(components, recipe(**settings, loss_mode="exact"))
    assert not calls
    cheap = generate(components, recipe(**settings, loss_mode="cheap"))[0]
    assert kinds(calls) == {UNET: 2}
    plain = generate(tiny_sd1(), recipe(**settings, loss_mode="cheap"))[0]
    assert torch.equal(cheap.latents, plain.latents)


def test_the_result_of_a_cuda_graph_is_kept_from_its_next_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buffer = torch.zeros(2)
    asked: list[dict[str, Any]] = []

    def graph(given: torch.Tensor) -> tuple[torch.Tensor]:
        return (buffer.copy_(given),)

    def compile(run: Any, **options: Any) -> Any:
        asked.append(options)
        return graph

    marks: list[None] = []
    monkeypatch.setattr(torch, "compile", compile)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(None))
    run = Compiled(graph, "whole", torch.device("cuda"))
    with torch.no_grad():
        one, two = run(torch.ones(2))[0], run(torch.full((2,), 2.0))[0]
    assert one.tolist() == [1, 1] and two.tolist() == [2, 2] and len(marks) == 2
    assert asked == [{"mode": "max-autotune", "fullgraph": True}]


@pytest.mark.parametrize(
    ("how", "device", "dtype", "last"),
    [
        ("whole", "cuda", torch.bfloat16, True),
        ("whole", "cuda", torch.float32, False),
        ("regional", "cuda", torch.bfloat16, False),
        ("whole", "cpu", torch.bfloat16, False),
    ],
)
def test_a_whole_unet_of_half_precision_has_its_channels_last_on_a_gpu(
    how: str, device: str, dtype: torch.dtype, last: bool
) -> None:
    unet = tiny_sd1().unet.to(dtype)
    before = unet.conv_in.weight.clone()
    compile_module(unet, how, torch.device(device))
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last) is last
    assert torch.equal(unet.conv_in.weight, before)


def test_recording_attention_runs_as_it_is() -> None:
    """Compiled code would not call what records."""
    compiled_graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled_graphs.append(graph)
        return graph.forward

    layer = Layer()
    layer.compile(backend=backend)
    with torch.no_grad(), recorded(layer, size=(1, 1), guided=False):
        layer(torch.ones(1, 2))
    assert not compiled_graphs


class Layer(torch.nn.Module):
    dtype = torch.float32

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return given * 2


def rows(calls: Calls) -> list[int]:
    return [count for _, count in calls]


def test_the_last_batch_is_padded(calls: Calls) -> None:
    """So that its smaller size is not compiled; its pictures are those of a full batch."""
    components = compiling(tiny_sd1(), "whole")
    four = generate(components, [recipe(seed) for seed in (1, 2, 3, 3)], batch_size=2)
    calls.clear()
    events = list(stream(components, [recipe(seed) for seed in (1, 2, 3)], batch_size=2))
    made = [event for event in events if isinstance(event, Picture)]
    assert rows(calls) == [4, 4, 4, 4]
    assert [one.recipe.seed for one in made] == [1, 2, 3]
    for one, other in zip(made, four[:3], strict=True):
        assert torch.equal(one.latents, other.latents)
    steps = [len(event.latents) for event in events if isinstance(event, Step)]
    assert steps == [2, 2, 1, 1]


def test_only_the_plan_decides_how_a_batch_of_it_is_padded() -> None:
    """Else a batch that is resumed would make other last bits."""

    def sizes(count: int, there: Iterable[str] = ()) -> list[int]:
        facts = SimpleNamespace(embeds_guidance=False)
        plan = [SimpleNamespace(recipe=recipe(), checkpoint=facts, key=str(number))
                for number in range(count)]  # fmt: skip
        found: Any = set(there)
        tasks = missing(plan, found, size_for=lambda _: 2)  # type: ignore[arg-type]
        return [one.rows for one in tasks if isinstance(one, Task)]

    assert [sizes(count) for count in (1, 2, 5)] == [[1], [2], [2, 2, 2]]
    assert sizes(5, {"0", "1", "2", "3"}) == [2]
    assert sizes(WINDOW + 1, {str(number) for number in range(WINDOW)}) == [2]


def test_nothing_is_padded_that_is_not_compiled_or_has_no_full_batch(calls: Calls) -> None:
    generate(compiling(tiny_sd1(), "whole"), [recipe(1)], batch_size=4)
    assert rows(calls) == [2, 2]
    calls.clear()
    wide = recipe(2, width=48)
    generate(compiling(tiny_sd1(), "whole"), [recipe(0), recipe(1), wide], batch_size=2)
    assert rows(calls) == [4, 4, 2, 2]


def test_what_a_consumer_writes_into_a_padded_step_counts(calls: Calls) -> None:
    components = compiling(tiny_sd1(), "whole")
    last: list[torch.Tensor] = []
    for event in stream(components, [recipe(seed) for seed in (1, 2, 3)], batch_size=2):
        if isinstance(event, Step) and len(event.latents) == 1:
            event.latents.zero_()
            last.append(event.denoised)
        elif isinstance(event, Picture) and event.recipe.seed == 3:
            assert not event.latents.any()
    assert len(last) == 2


def test_memory_that_runs_out_in_a_padded_batch_ends_the_padding(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    components = compiling(tiny_sd1(), "whole")
    forward, many = components.unet.forward, 4

    def short(given: torch.Tensor, *args: Any, **inputs: Any) -> Any:
        if len(calls) > 2 and len(given) == many:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(given, *args, **inputs)

    monkeypatch.setattr(components.unet, "forward", short)
    with pytest.warns(RuntimeWarning, match="a batch of 2: continuing with 1"):
        made = generate(components, [recipe(seed) for seed in (1, 2, 3)], batch_size=2)
    assert rows(calls) == [4, 4, 4, 2, 2]
    assert len(made) == 3


@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ({"compile": "all"}, "compile must be one of off, regional, whole"),
        ({"compile": "whole", "memory": "low"}, "compile whole needs all weights on the GPU"),
        ({"compile": "regional", "memory": "lowest"}, "memory is lowest: use full"),
        ({"compile": "whole", "dtype": "fp8"}, "cannot be combined with dtype fp8"),
        ({"compile": "whole", "device": "mps"}, "is for CUDA GPUs and CPUs, and device is mps"),
    ],
)
def test_what_cannot_go_together_is_refused(how: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        CommandSettings(**how)  # type: ignore[arg-type]


def test_a_model_is_loaded_to_be_compiled(tiny_model: Path, calls: Calls) -> None:
    components = load_components(str(tiny_model), device="cpu", compile="whole")
    generate(components, recipe())
    assert components.compile == "whole" and kinds(calls) == {UNET: 2}
    with pytest.raises(SettingError, match="compile whole cannot be combined with dtype fp8"):
        load_components(str(tiny_model), device="cpu", dtype="fp8", compile="whole")
    with pytest.raises(TypeError, match="compile must be given to load_components"):
        sdloop.generate(components, recipe(), compile="whole")  # type: ignore[call-overload]


def test_a_missing_compiler_is_told() -> None:
    from torch._inductor import config

    missing = config.patch({"cpp.cxx": ("no-such-compiler",)})  # monkeypatch would lose the value
    told = pytest.raises(SettingError, match="needs a C\\+\\+ compiler, and none is found: install")
    with missing, told:
        check_compiler()


def test_what_torch_cannot_compile_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: Any, inputs: Any) -> Any:
        raise NotImplementedError("no such operation\nand more")

    monkeypatch.setattr(compiled, "compiler_options", lambda *_: {"backend": backend})
    layer = compile_module(Layer(), "whole", CPU)
    with torch.no_grad(), pytest.raises(SettingError, match="compile whole does not work") as told:
        layer(torch.ones(1, 2))
    assert "no such operation" in str(told.value) and "\n" not in str(told.value)


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache folder for compiled code."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    torch._dynamo.reset()
    yield tmp_path / "sdloop" / "compiled"
    torch._dynamo.reset()


def test_a_batch_is_decoded_while_the_next_one_is_compiled(
    kernels: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch changes nn.Module for the whole process while it traces: the other thread's too."""
    flown, compiling, decoded = Event(), Event(), Event()
    fly, usual = Runner._fly, decode_images

    def backend(graph: Any, inputs: Any) -> Any:
        if flown.is_set() and not decoded.is_set():
            compiling.set()
            assert decoded.wait(60)
        return graph.forward

    def decode(*given: Any) -> Any:
        assert compiling.wait(60)
        images = usual(*given)
        decoded.set()
        return images

    batch = Command("batch")
    work_in(tmp_path / "work", monkeypatch, tiny_model)
    plan = ("a red house", "--seed", "7", "--sweep", "width=32,48")
    plain = [pixels(name) for name in batch.make(*plan, "--outdir", "plain")]
    monkeypatch.setattr(compiled, "compiler_options", lambda *_: {"backend": backend})
    monkeypatch.setattr(Runner, "_fly", lambda *given: (flown.set(), fly(*given)))
    monkeypatch.setattr("sdloop.pipeline.picture.decode_images", decode)
    made = batch.make(*plan, "--outdir", "compiled", "--compile", "regional")
    assert decoded.is_set()
    assert [pixels(name) for name in made] == plain


@pytest.mark.slow
@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("how", ["regional", "whole"])
def test_pictures_of_compiled_code_differ_by_a_level_at_most(
    family: str, how: str, kernels: Path
) -> None:
    settings = {"pag_scale": 2.0, "pag_layers": "mid"} if how == "regional" else {}
    plain = generate(MAKERS[family](), recipe(**settings))[0]
    made = generate(compiling(MAKERS[family](), how), recipe(**settings))[0]
    assert kernels.is_dir()
    assert not torch.equal(made.latents, plain.latents)
    one, other = (
        torch.frombuffer(bytearray(picture.image.tobytes()), dtype=torch.uint8).int()
        for picture in (plain, made)
    )
    assert (one - other).abs().max() <= 1
