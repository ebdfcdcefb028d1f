"""The command line as users run it: as a separate process, with pipes and signals."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.forked import Nursery

from sdloop.metadata.picture import read_record

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "huggingface_hub")


def heavy_imports(arguments: Sequence[str]) -> list[str]:
    """Which heavy packages a command imported."""
    code = (
        "import json, sys\n"
        "from sdloop.cli import app\n"
        f"try: app({list(arguments)!r})\n"
        "except SystemExit: pass\n"
        f"print(json.dumps([name for name in {HEAVY} if name in sys.modules]), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["txt2img", "--help"],
        ["config", "--help"],
        ["models", "--help"],
        ["models", "mini"],
        ["config", "show"],
        ["txt2img", "a cat", "--stpes", "4"],
    ],
)
def test_what_needs_no_model_imports_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_imports(arguments) == []


def test_neither_does_refusing_a_size_or_a_dry_run(tiny_model: Path) -> None:
    arguments = ["txt2img", "a cat", "-m", str(tiny_model)]
    assert heavy_imports([*arguments, "--dry-run"]) == []
    assert heavy_imports([*arguments, "-W", "33"]) == []


def test_help_is_there_at_once() -> None:
    started = time.perf_counter()
    command = [sys.executable, "-m", "sdloop", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert time.perf_counter() - started < 3  # 0.2 s on an idle machine
    assert done.returncode == 0
    assert "txt2img" in done.stdout


@pytest.mark.parametrize(
    "command", [[], ["txt2img"], ["show"], ["models"], ["config"], ["config", "set"]]
)
def test_every_help_has_an_example(command: list[str], nursery: Nursery) -> None:
    assert "Example" in nursery.sdloop(*command, "--help").stdout


def test_the_version_names_what_it_stands_on(nursery: Nursery) -> None:
    lines = nursery.sdloop("--version").stdout.splitlines()
    assert {"python", "torch", "diffusers", "transformers"} <= {line.split()[0] for line in lines}


@pytest.mark.parametrize(
    "words, expected",
    [
        ("sdloop txt2img x --scheduler dpmpp-2m", ["dpmpp-2m", "dpmpp-2m-sde"]),
        ("sdloop txt2img x --sigmas ka", ["karras"]),
        ("sdloop txt2img x --dtype b", ["bf16"]),
        ("sdloop txt2img x --format ", ["png", "jpg", "webp"]),
        ("sdloop config set ste", ["steps"]),
        ("sdloop tx", ["txt2img"]),
        ("sdloop inspect s", ["steps", "schedule"]),
        ("sdloop txt2img x --ste", ["--steps"]),
        ("sdloop txt2img x --help", ["--help", "--help-all"]),
    ],
)
def test_the_shell_completes(words: str, expected: list[str], nursery: Nursery) -> None:
    done = nursery.sdloop(
        _SDLOOP_COMPLETE="complete_bash",
        COMP_WORDS=words,
        COMP_CWORD=str(len(words.split(" ")) - 1),
    )
    assert sorted(done.stdout.split()) == sorted(expected)


def test_results_alone_are_on_stdout(tiny_model: Path, nursery: Nursery) -> None:
    done = nursery.sdloop("txt2img", "a cat", "-m", str(tiny_model), "--dry-run")
    assert json.loads(done.stdout)["prompt"] == "a cat"
    assert done.stderr.startswith("sdloop: seed ")


def test_debug_shows_where_an_error_comes_from(nursery: Nursery) -> None:
    arguments = ["txt2img", "a cat", "--steps", "0"]
    assert "Traceback" not in nursery.sdloop(*arguments).stderr
    assert "Traceback" in nursery.sdloop("--debug", *arguments).stderr
    assert "Traceback" in nursery.sdloop(*arguments, SDLOOP_DEBUG="1").stderr


def test_a_full_stdout_is_an_error(tiny_model: Path) -> None:
    arguments = ["txt2img", "a cat", "-m", str(tiny_model), "--seed", "4", "--dry-run"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sdloop", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == (
        "sdloop: error: cannot write to standard output: No space left on device\n"
    )


def test_closed_streams_do_no_harm(tiny_model: Path) -> None:
    command = f"{sys.executable} -m sdloop txt2img x -m {tiny_model} --seed 4 --dry-run"
    assert subprocess.run(f"{command} 2>&-", shell=True, capture_output=True).stdout
    assert subprocess.run(f"{command} >&-", shell=True, capture_output=True).stderr == b""


def test_a_reader_that_has_seen_enough_ends_the_work(
    nursery: Nursery, tiny_model: Path, tmp_path: Path
) -> None:
    process = nursery.open(*cats(tiny_model, tmp_path), "--seed", "1..500", "--steps", "5")
    first = process.stdout.readline().strip()
    process.stdout.close()
    done = process.end()
    assert (done.returncode, done.stderr) == (141, "")
    assert read_record(Path(first)).recipe is not None
    assert len(list(tmp_path.iterdir())) < 500


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_finished(
    nursery: Nursery, tiny_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = nursery.open(*cats(tiny_model, tmp_path), "--seed", "1..500", "--steps", "10")
    told = [process.stdout.readline().strip() for _ in range(2)]
    process.send_signal(number)
    started = time.perf_counter()
    done = process.end()
    assert done.returncode == 130
    assert time.perf_counter() - started < 10
    assert done.stderr == "sdloop: interrupted; the pictures that were finished are kept\n"
    told += done.stdout.split()
    assert {str(path) for path in tmp_path.iterdir()} >= set(told)
    for path in tmp_path.iterdir():
        assert read_record(path).recipe is not None
    assert len(told) < 500


def cats(model: Path, folder: Path) -> list[str]:
    return ["txt2img", "a cat", "-m", str(model), "--outdir", str(folder)]
