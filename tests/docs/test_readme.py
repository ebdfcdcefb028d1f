"""The README is a contract: every command in it is run here, every link leads somewhere.

Its two installing commands are run by ``.ci/run``, in fresh clones.
"""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.fake_hub import forge_cache
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sdxl
from PIL import Image
from typer.testing import CliRunner

from sdloop import loop
from sdloop.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


INSTALLING = [line for block in blocks("sh") for line in block.splitlines() if "venv" in line]
SESSIONS = [block for block in blocks("sh") if "venv" not in block]
HUB = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": (tiny_sd1, None),
    "stabilityai/stable-diffusion-xl-base-1.0": (tiny_sdxl, "fp16"),
}


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the README's commands find around them: a clone, and a cache with models in it."""
    for name in ("configs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name)
    command = tmp_path / "bin" / "sdloop"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sdloop "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    for model, (make, variant) in HUB.items():
        folder = save_diffusers_folder(make(), tmp_path / "made" / model, variant=variant)
        forge_cache(tmp_path / "hub", model, folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def run(line: str) -> str:
    """What a line of the README prints; one that needs no shell is run here, to save its start."""
    if re.search(r"[|;$<>*]", line):
        result = subprocess.run(["bash", "-euc", line], capture_output=True, text=True)
        assert result.returncode == 0, f"{line}: {result.stderr}"
        return result.stdout
    command, *arguments = shlex.split(line)
    assert command == "sdloop"
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, f"{line}: {outcome.stderr}"
    return outcome.stdout


@pytest.mark.parametrize("session", SESSIONS, ids=lambda block: block.split('"')[0].strip()[:40])
def test_every_command_runs(session: str, workshop: Path) -> None:
    if "lora" in session:
        pytest.importorskip("peft", reason="pip install 'sdloop[lora]'")
    for line in session.splitlines():
        out = run(line)
        for path in re.findall(r"^\S+\.png$", out, flags=re.MULTILINE):
            with Image.open(workshop / path) as picture:
                assert picture.width >= 32


def test_the_card_of_the_embedded_model_is_what_is_printed() -> None:
    (shown,) = re.findall(r"^```\n(mini\n.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert run("sdloop models mini") == shown


def test_the_tokens_of_a_prompt_are_what_is_printed() -> None:
    (shown,) = re.findall(r"^```\n(a \(red:.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert run(f'sdloop tokens "{shown.splitlines()[0]}"') == shown


def test_there_are_two_installing_commands_and_ci_runs_them() -> None:
    assert len(INSTALLING) == 2
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command, ending in zip(INSTALLING, ("sdloop txt2img", "pytest"), strict=True):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints")
        assert ending in command
        assert ending in script


def test_the_python_runs(workshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [block for block in blocks("python") if "import sdloop" in block]
    exec(compile(code, "README.md", "exec"), {})
    assert (workshop / "frogs.png").is_file()
    assert len(capsys.readouterr().out.splitlines()) == 25


def loop_of(source: str) -> str:
    """The ``for`` loop in ``source``, its own ``yield`` left out, whatever its line breaks."""
    (body,) = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.For)]
    assert isinstance(body.body[-1], ast.Expr)
    del body.body[-1]
    return ast.unparse(body)


def test_the_loop_is_the_loop() -> None:
    (shown,) = [block for block in blocks("python") if "yield Step" in block]
    assert len(shown.splitlines()) <= 24  # a screen
    assert loop_of(shown) == loop_of(Path(str(loop.__file__)).read_text(encoding="utf-8"))


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) >= 8
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_tree_names_every_room() -> None:
    (tree,) = re.findall(r"^```\n(sdloop/\n.*?)^```", README, re.M | re.S)
    rooms = [p.name for p in (ROOT / "sdloop").iterdir() if not p.name.startswith("__")]
    for room in rooms:
        assert re.search(rf"\b{re.escape(room)}\b", tree), f"{room} is not in the README's tree"
