"""README.md and docs/: every command runs, and every link has a target.

The commands of a page run in order, as a reader would type them, in a folder with ``examples`` and
``configs``. A command alone runs in this process, one within a line of the shell is a fork of a
process that has imported torch, and the page about the worker has a worker. The reader's own
settings, and ``briefly``, ask for fewer steps than the model and the page do. ``.ci/run`` runs the
two installation commands of the README.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from helpers.controls import save_control, save_union
from helpers.fake_hub import forge_cache
from helpers.forked import Nursery
from helpers.image_adapters import save_image_adapter
from helpers.tiny import (
    save_diffusers_folder,
    tiny_depth,
    tiny_pix2pix,
    tiny_refiner,
    tiny_sd1,
    tiny_sdxl,
)
from helpers.vision import save_clipseg
from PIL import Image
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.cli.terminal.commands import _imported

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
}
HUB = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (tiny_sd1, None),
    "stabilityai/stable-diffusion-xl-base-1.0": (tiny_sdxl, "fp16"),
    "stabilityai/stable-diffusion-xl-refiner-1.0": (tiny_refiner, "fp16"),
    "stabilityai/stable-diffusion-2-depth": (tiny_depth, None),
    "timbrooks/instruct-pix2pix": (partial(tiny_pix2pix, "sd1"), None),
}
# What a reader types in a block of "console" is not run here: it installs, takes hours, waits for a
# reader, or needs a large model.
CONSOLE = (
    *("python3 -m venv", ".venv/bin/", "python examples/train_mini/"),
    *("sdloop pick out", "sdloop upscale small.png"),
    'sdloop txt2img "a lighthouse" --model stabilityai/stable-diffusion-xl-base-1.0 --unet',
    "sdloop models stabilityai/stable-diffusion-xl-base-1.0 --unet",
    'sdloop txt2img "a lighthouse" --safety flag',
    'sdloop txt2img "a lighthouse" --hires 2 --upscaler',
)
SHELL_SYNTAX = re.compile(r"[|;$<>*&]")
# Pages with a low strength or a late start need more steps than the others.
STEPS = {
    "docs/commands/img2img.md": 12,
    "docs/commands/upscale.md": 10,
    "docs/commands/animate.md": 4,
}
FEW_STEPS = 3


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[str]:
    """What a reader of a page types, line by line, but for the two installing commands."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", "python3 -m venv"))]


# ``sdloop``: but for calls of a worker, a fork of a process that has imported torch.
PROGRAM = """#!/bin/sh
case " $* " in
    *" --worker always "* | " worker "*) exec {python} -m sdloop "$@" ;;
    *) exec {forked} "$@" ;;
esac
"""


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, nursery: Nursery
) -> Iterator[Mapping[str, str]]:
    """The environment of the commands: a home, and models in the hub's cache."""
    home = tmp_path_factory.mktemp("home")
    control = save_control(tiny_sd1(), home / "made" / "control")
    forge_cache(home / "hub", "lllyasviel/control_v11p_sd15_scribble", control)
    union = save_union(tiny_sdxl(), home / "made" / "union")
    forge_cache(home / "hub", "xinsir/controlnet-union-sdxl-1.0", union)
    adapter = home / "made" / "adapter"
    for name, kind in (("ip-adapter", "base"), ("ip-adapter-plus", "plus")):
        save_image_adapter(tiny_sd1(), adapter / "models" / f"{name}_sd15.safetensors", kind)
    forge_cache(home / "hub", "h94/IP-Adapter", adapter)
    segmenter = save_clipseg(home / "made" / "segmenter")
    forge_cache(home / "hub", "CIDAS/clipseg-rd64-refined", segmenter)
    for model, (make, variant) in HUB.items():
        folder = save_diffusers_folder(make(), home / "made" / model, variant=variant)
        forge_cache(home / "hub", model, folder)
    command = home / "bin" / "sdloop"
    command.parent.mkdir()
    python, forked = shlex.quote(sys.executable), shlex.join(nursery.command)
    command.write_text(PROGRAM.format(python=python, forked=forked))
    command.chmod(0o755)
    (home / "run").mkdir()
    foreign = ("SDLOOP_", "XDG_", "HF_HOME", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = kept | {
        "HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "PATH": os.pathsep.join(
            (str(command.parent), str(Path(sys.executable).parent), os.environ["PATH"])
        ),
        "PYTHONPATH": str(ROOT),
        "SDLOOP_KEEP_ALIVE": "30s",
        "SDLOOP_WORKER": "never",
        "XDG_RUNTIME_DIR": str(home / "run"),
    }
    yield environment
    subprocess.run([command, "worker", "stop"], env=environment, capture_output=True, check=False)


@pytest.fixture
def shell(
    machine: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    """The same for one page, in a folder and with settings of its own."""
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("train_mini"))
    environment = {**machine, "XDG_CONFIG_HOME": str(tmp_path / "config")}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", machine["HF_HUB_CACHE"])
    monkeypatch.setattr("sdloop.training.loss.LEVELS", 2)  # of noise, to measure a new word at
    monkeypatch.chdir(tmp_path)
    return environment


def run(line: str, environment: Mapping[str, str]) -> str:
    """What a command prints; one without syntax of the shell runs in this process."""
    words = [] if SHELL_SYNTAX.search(line) else shlex.split(line)
    if words[:1] == ["sdloop"] and "worker" not in words:
        outcome = CliRunner().invoke(app, words[1:])
        assert outcome.exit_code == 0, f"{line}: {outcome.stderr}"
        return outcome.stdout
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", line],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, f"{line}: {result.stderr}"
    return result.stdout


def briefly(line: str, steps: int) -> str:
    """A command with no more steps than these."""
    return re.sub(r"--steps (\d+)", lambda found: f"--steps {min(int(found[1]), steps)}", line)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if commands(text)])
def test_every_command_runs(page: str, shell: Mapping[str, str]) -> None:
    steps = STEPS.get(page, FEW_STEPS)
    settings = Path("config", "sdloop", "config.toml")
    settings.parent.mkdir(parents=True)
    settings.write_text(f"steps = {steps}\n")
    for line in commands(PAGES[page]):
        out = run(briefly(line, steps), shell)
        for path in re.findall(r"^\S+\.png$", out, flags=re.MULTILINE):
            with Image.open(path) as picture:
                assert picture.width >= 32, line


@pytest.mark.parametrize("page", PAGES)
def test_only_few_commands_are_not_run(page: str) -> None:
    for line in "".join(blocks(PAGES[page], "console")).splitlines():
        assert line.startswith(CONSOLE)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks(text, "python")])
def test_python_runs(page: str, shell: Mapping[str, str]) -> None:
    names: dict[str, object] = {}
    for code in blocks(PAGES[page], "python"):
        if "for t in" not in code:  # the loop in twelve lines: see test_readme.py
            exec(compile(code, page, "exec"), names)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if blocks(text, "text")])
def test_what_is_shown_is_what_is_printed(page: str, shell: Mapping[str, str]) -> None:
    """A block of text that begins with ``$ sdloop …`` is that command and what it prints."""
    for block in blocks(PAGES[page], "text"):
        if block.startswith("$ "):
            line, shown = block.split("\n", 1)
            assert run(line[2:], shell) == shown, line


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)[)#]", PAGES[page]):
        assert (ROOT / page).parent.joinpath(link).is_file(), link


def test_the_menu_has_every_page() -> None:
    menu = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(menu) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def flags() -> ModuleType:
    """The hook that writes the flag reference."""
    spec = importlib.util.spec_from_file_location("flags_hook", DOCS / "hooks" / "flags.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["flags_hook"] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_has_every_flag(flags: ModuleType) -> None:
    assert flags.MARKER in PAGES["docs/flags.md"]
    text = flags.reference()
    for name, command in flags.commands_of_sdloop():
        assert f"\n### {name}\n" in text
        for flag in flags.flags_of(command):
            assert f"`{flag.opts[0]}`" in text


def test_the_reference_leaves_the_commands_as_they_are(flags: ModuleType) -> None:
    _imported.cache_clear()  # no other test has used the commands before
    flags.reference()
    whole = CliRunner().invoke(app, ["inspect", "--help-all"])
    assert whole.exit_code == 0
    assert whole.stdout == CliRunner().invoke(app, ["inspect", "--help"]).stdout


# Flags of other programs, and those that every command has.
NOT_OURS = {"--config-settings", "--help", "--help-all", "--version", "--install-completion"}


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_that_is_named_exists(page: str, flags: ModuleType) -> None:
    known = {
        one for _, command in flags.commands_of_sdloop() for p in command.params for one in p.opts
    }
    quoted = re.findall(r"`[^`\n]+`", PAGES[page]) + commands(PAGES[page])
    foreign = re.compile(r"`?(pip|pytest|python|mkdocs|ray|tests/\S+) ")
    ours = [text for text in quoted if not foreign.match(text)]
    named = {flag for text in ours for flag in re.findall(r"(?<!\S)`?(--[a-z][\w-]+)", text)}
    assert {flag.strip("`") for flag in named} <= known | NOT_OURS


def test_every_command_has_a_page(flags: ModuleType) -> None:
    text = "".join(PAGES[page] for page in PAGES if page.startswith("docs/"))
    for name, _ in flags.commands_of_sdloop():
        assert f"sdloop {name}" in text, name
