"""Run one subcommand in the test process, and check its results."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from sdloop.cli import app


@dataclass(frozen=True)
class Command:
    """``sdloop NAME``; what it makes takes ``steps`` each."""

    name: str
    steps: int = 2

    def run(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        return CliRunner().invoke(app, [self.name, *arguments], input=stdin)

    def make(self, *arguments: str, stdin: str | bytes | None = None) -> list[str]:
        """Make pictures; the lines on stdout."""
        result = self.run(*arguments, "--steps", str(self.steps), stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return result.stdout.splitlines()

    def plan(self, *arguments: str, stdin: str | bytes | None = None) -> list[dict[str, Any]]:
        result = self.run(*arguments, "--dry-run", stdin=stdin)
        assert result.exit_code == 0, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def refused(self, *arguments: str, code: int = 2, stdin: str | bytes | None = None) -> str:
        """The one line that a command is refused with, before anything was made."""
        before = _made()
        result = self.run(*arguments, stdin=stdin)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        assert _made() == before
        assert result.stderr.startswith("sdloop: error: ")
        assert result.stderr.count("\n") == 1
        return result.stderr.removeprefix("sdloop: error: ").rstrip("\n")


def _made() -> list[Path]:
    """What is in the folder, but for what Python keeps of a module that it imported."""
    return sorted(path for path in Path().iterdir() if path.name != "__pycache__")


def pixels(name: str | Path) -> bytes:
    with Image.open(name) as image:
        return image.tobytes()


def work_in(folder: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> Path:
    """Work in a new folder, with ``model`` as the user's own choice."""
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SDLOOP_MODEL", str(model))
    return folder
