"""``--on ray``: the whole command, with one process that is this one, and with Ray's own."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import torch
from helpers.commands import Command, work_in
from helpers.controls import save_control
from helpers.image_adapters import save_image_adapter
from helpers.loras import lora_pairs, save_peft
from helpers.pictures import sketch
from helpers.pools import Here
from helpers.tiny import tiny_sd1
from PIL import Image
from safetensors.torch import save_file

import sdloop.cli.make.batch_run
from sdloop.batch.carried import carried_file, forget_copies, keep_copy
from sdloop.batch.pool import Job, Unit
from sdloop.cli.make import ray_pool, unit_runner
from sdloop.cli.make.unit_runner import UnitRunner
from sdloop.recipe.recipe import Recipe
from sdloop.spelling import COPIES, existing

BATCH = Command("batch")
PLAN = ("a {red|green} house", "--seed", "1..4", "--batch-size", "2", "--outdir")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    pool = type("Pool", (Here,), {})
    monkeypatch.setattr(sdloop.cli.make.batch_run, "RayPool", pool)
    return pool


def content(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}


def test_the_files_are_those_of_one_process(here: type[Here]) -> None:
    alone = BATCH.make(*PLAN, "alone")
    assert BATCH.make(*PLAN, "out", "--on", "ray") == [one.replace("alone", "out") for one in alone]
    assert content("out") == content("alone")
    asked = here.asked
    assert BATCH.make(*PLAN, "out", "--on", "ray") == []
    assert here.asked == asked
    Path(alone[0].replace("alone", "out")).unlink()
    lines = BATCH.make(*PLAN, "out", "--on", "ray", "--json", "--batch-size", "auto")
    assert [json.loads(line)["path"] for line in lines] == [alone[0].replace("alone", "out")]
    assert content("out") == content("alone")


def test_what_a_dead_process_had_written_is_there(here: type[Here]) -> None:
    """It was not reported, so it is given out again; the file that exists is left alone."""
    here.last = 3
    made = BATCH.run(*PLAN, "out", "--on", "ray", "--steps", "2")
    assert made.exit_code == 0, made.stderr
    assert len(content("out")) == 8
    assert "were there" in made.stderr
    assert content("out") == (BATCH.make(*PLAN, "alone") and content("alone"))


class Far(Here):
    """Its process is on a computer that has no folder called ``in``."""

    def start(self) -> UnitRunner:
        files, data = self._files([self._settings.demanding])
        with self._without_folder():
            return UnitRunner(self._settings, files, *data)

    def ask(
        self, process: UnitRunner, units: Sequence[Unit], *, seconds: float, stop: bool
    ) -> None:
        files, data = self._files([job for unit in units for job in unit.jobs])
        with self._without_folder():
            self._answers.append((process, process.step(units, seconds, stop, files, *data)))

    def _files(self, jobs: Sequence[Job]) -> tuple[list[tuple[str, str]], list[bytes]]:
        names = {name for job in jobs for name in job.files}
        carried = {name: found for name in sorted(names) if (found := carried_file(name))}
        self.carried.update(carried)
        files = [(name, called) for name, (called, _) in carried.items()]
        return files, [content for _, content in carried.values()]

    @contextmanager
    def _without_folder(self) -> Iterator[None]:
        Path("in").rename("away")
        try:
            yield
        finally:
            Path("away").rename("in")

    carried: ClassVar[set[str]] = set()


def test_the_files_that_recipes_name_are_carried(
    place: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LoRAs, embeddings and pictures of every use; the copies have their names. What is not carried
    is told of before the first picture."""
    monkeypatch.setattr(sdloop.cli.make.batch_run, "RayPool", Far)
    Path("in/styles").mkdir(parents=True)
    save_peft(lora_pairs(tiny_sd1()), place / "in" / "styles" / "ink.safetensors")
    save_file({"emb_params": torch.randn(1, 32)}, "in/frog.safetensors")
    save_image_adapter(tiny_sd1(), Path("models/ip.safetensors"))
    shutil.copy("models/ip.safetensors", "in")
    save_control(tiny_sd1(), Path("net"))
    for name in ("start", "edges", "shown", "wanted"):
        sketch(32, 32).save(f"in/{name}.png")
    Image.linear_gradient("L").save("in/mask.png")
    plan: list[dict[str, Any]] = [
        {"prompt": "a cat", "loras": [{"name": "in/styles/ink.safetensors", "scale": 1.0}]},
        {"prompt": "a frog", "embeddings": ["in/frog.safetensors"]},
        {"prompt": "a man", "replace_tokens": ["man=0.5*man+0.5*in/frog.safetensors"]},
        {"prompt": "a cat", "regions": ["a frog=in/mask.png"]},
        {"prompt": "a cat", "image": "in/start.png", "strength": 0.5, "mask": "in/mask.png"},
        {"prompt": "a cat", "controls": [{"model": "net", "image": "in/edges.png"}]},
        {"prompt": "a cat", "image_prompts": ["in/shown.png=in/mask.png"]}
        | {"ip_adapter": "models/ip.safetensors"},
        {"prompt": "a cat", "image_prompts": ["in/shown.png"]}
        | {"ip_adapter": "in/ip.safetensors", "image_encoder": "models/image_encoder"},
        {"prompt": "a cat", "losses": ["like=in/wanted.png,mask=in/mask.png:1"], "loss_every": 1},
    ]
    lines = (json.dumps(one | {"seed": seed}) + "\n" for seed, one in enumerate(plan))
    Path("plan.jsonl").write_text("".join(lines))
    flags = ("--from-file", "plan.jsonl", "--batch-size", "2", "--outdir")
    BATCH.make(*flags, "alone")
    chosen: list[Recipe] = []
    monkeypatch.setattr(
        unit_runner, "with_memory", lambda _, command, recipes: chosen.extend(recipes) or command
    )
    BATCH.make(*flags, "out", "--on", "ray")
    assert content("out") == content("alone") and len(content("out")) == len(plan)
    assert sorted(recipe.seed for recipe in chosen) == [0, 1, 5, 6, 7, 8]  # 1 stands for 2 to 4
    assert Far.carried == {str(path) for path in Path("in").rglob("*.*")}
    assert not COPIES
    monkeypatch.setenv("RAY_ADDRESS", "head:10001")
    told = BATCH.run(*flags, "out", "--on", "ray", "--steps", "2").stderr
    needed = f"{tiny_model}, net, models/ip.safetensors, models/image_encoder\n"
    assert f"needed on each at the same path: {needed}" in told


def test_a_model_that_is_not_there(
    place: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdloop.cli.make.batch_run, "RayPool", Far)
    monkeypatch.setenv("RAY_ADDRESS", "head:10001")
    shutil.copytree(tiny_model, "in/model")
    told = BATCH.run("a frog", "--seed", "4", "-m", "./in/model", "--outdir", "out", "--on", "ray")
    assert told.exit_code == 5
    first, *_, last = told.stderr.splitlines()
    assert first.endswith("needed on each at the same path: ./in/model")
    assert last.endswith("there is no folder in/model")
    assert not Path("out").exists()


def test_large_files_and_those_elsewhere_are_not_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small").write_bytes(b"abc")
    with Path("large").open("wb") as file:
        file.truncate(100 * 2**20 + 1)
    found = carried_file("./small")
    assert found is not None and found == (f"{sha256(b'abc').hexdigest()}/small", b"abc")
    elsewhere = ("large", ".", "owner/name", "https://civitai.com/models/1", "s3://frogs/4.png")
    assert not any(map(carried_file, elsewhere))


def test_copies_that_nobody_uses_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_copy("a", "1/a", b"old")
    forget_copies(but=())
    os.utime(existing(tmp_path / "sdloop/carried/1/a"), (0, 0))
    keep_copy("b", "2/b", b"new")
    assert existing(Path("b")).read_bytes() == b"new"
    assert [path.name for path in (tmp_path / "sdloop/carried").glob("*/*")] == ["b"]
    forget_copies(but=())


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--on", "head"), "on must be ray, or an address like ray://head:10001, got 'head'"),
        (("--on", "ray", "--gpus", "all"), "on cannot be combined with gpus, got ray and all"),
        (
            ("--on", "ray", "--device", "cuda:1"),
            "device must be auto, cuda or cpu with on, got cuda:1",
        ),
        (
            ("--rescan", "--redo"),
            "rescan cannot be combined with redo, which makes all pictures again",
        ),
    ],
)
def test_it_is_refused(place: Path, flags: tuple[str, ...], told: str) -> None:
    assert BATCH.refused(*PLAN, "out", *flags) == told


@pytest.mark.parametrize("error", [ConnectionError("it is gone"), RuntimeError("it is gone\n…")])
def test_a_lost_cluster(place: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    pytest.importorskip("ray", reason="Ray is in the extra sdloop[cluster]")
    node = {"Alive": True, "Resources": {"CPU": 1.0}}
    ray = Mock(nodes=lambda: [node, node])
    ray.wait.side_effect = error
    ray.kill.side_effect = [error, ValueError("there is nothing to kill after shutdown")]
    actors = iter([Mock(), Mock()])
    ray.remote()().options().remote.side_effect = lambda *settings: next(actors)
    monkeypatch.setattr(ray_pool, "connected", lambda where: (ray, True))
    told = BATCH.refused(*PLAN, "out", "--on", "ray", "--quiet", "--batch-size", "2", code=5)
    assert told == (
        "the Ray cluster does not answer any more (it is gone); run the same command again to make "
        "the rest"
    )


def test_a_ray_that_does_not_start(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="Ray is in the extra sdloop[cluster]")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", Mock(side_effect=Exception("it timed out\nWhy?")))
    told = BATCH.refused(*PLAN, "out", "--on", "ray")
    assert told == "on must name a Ray cluster that answers, got 'ray': it timed out"


def test_without_the_extra(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    told = "on needs Ray: pip install 'sdloop[cluster]'"
    assert BATCH.refused(*PLAN, "out", "--on", "ray") == told


@pytest.mark.parametrize(("gpus", "carried"), [(1.0, ["ink.safetensors"]), (0.0, [])])
def test_what_decides_memory_is_sent_to_gpus_at_the_start(
    place: Path, monkeypatch: pytest.MonkeyPatch, gpus: float, carried: list[str]
) -> None:
    """With its files. Without a GPU, it decides nothing."""
    pytest.importorskip("ray", reason="Ray is in the extra sdloop[cluster]")
    save_peft(lora_pairs(tiny_sd1()), place / "ink.safetensors")
    ray = Mock(nodes=lambda: [{"Alive": True, "Resources": {"CPU": 1.0, "GPU": gpus}}])
    ray.put.side_effect = lambda value: value
    ray.wait.side_effect = ConnectionError("it is gone")
    monkeypatch.setattr(ray_pool, "connected", lambda where: (ray, False))
    flags = ("--lora", "ink.safetensors", "--batch-size", "2", "--on", "ray")
    assert BATCH.run(*PLAN, "out", *flags).exit_code == 5
    settings, files, *data = ray.remote()().options().remote.call_args.args
    assert len(settings.demanding.lines) == len(files) == len(data) == len(carried)
    assert [name for name, _ in files] == carried
