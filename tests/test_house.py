"""The plan of the house: imports point one way, and the light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sdloop

ROOT = Path(sdloop.__file__).parent

# Each room may import only from the rooms before it.
ROOMS = [
    "errors",
    "worker",
    "rules",
    "prompt",
    "scheduler_names",
    "defaults",
    "strength",
    "inputs",
    "passes",
    "losses",
    "learned",
    "sheet",
    "compare",
    "recipe",
    "mixture",
    "batches",
    "measures",
    "latents",
    "guidance",
    "prediction",
    "descent",
    "schedule",
    "levels",
    "guiders",
    "checkpoint",
    "components",
    "clip",
    "conditioning",
    "kit",
    "mask",
    "windows",
    "perturbed",
    "image",
    "steering",
    "loop",
    "looking",
    "beside",
    "start",
    "outpaint",
    "stages",
    "sampled",
    "png",
    "ranking",
    "pick",
    "moving",
    "conductor",
    "animate",
    "inversion",
    "inspection",
    "batch",
    "cli",
    "serve",
]
LIGHT = [
    *("errors", "worker", "rules", "prompt", "scheduler_names", "defaults", "strength", "inputs"),
    *("passes", "losses", "sheet", "compare", "learned", "recipe", "mixture", "batches"),
    *("checkpoint", "png", "ranking", "pick", "moving", "batch", "cli"),
]
HEAVY = ["torch", "diffusers", "transformers", "accelerate", "numpy"]


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, functions and type checks included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where an arrow points"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


PUBLIC = {f"sdloop.{name}" for name in sdloop.__all__}

SOURCES = [path for path in sorted(ROOT.rglob("*.py")) if path.parent != ROOT or
           path.name not in ("__init__.py", "__main__.py")]  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_arrows_point_one_way(path: Path) -> None:
    here = room(path)
    assert here in ROOMS, f"{here} has no place in the plan: add it to ROOMS"
    for name in imports(path):
        parts = name.split(".")
        assert name not in PUBLIC, f"{here} imports {name}: through the front door no arrow is seen"
        if parts[0] == "sdloop" and len(parts) > 1 and parts[1] != here and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) < ROOMS.index(here), f"{here} imports {parts[1]}"


@pytest.mark.parametrize("name", LIGHT)
def test_light_rooms_bring_nothing_heavy(name: str) -> None:
    code = f"import sys, sdloop.{name}; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_the_public_names_are_there() -> None:
    for name in sdloop.__all__:
        assert getattr(sdloop, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'pictures'"):
        _ = sdloop.pictures
