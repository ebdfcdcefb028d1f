"""The architecture: imports go in one direction only, and light packages do not import torch."""

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
    "spelling",
    "places",
    "images",
    "prompt",
    "schedulers",
    "recipe",
    "models",
    "latents",
    "conditioning",
    "guidance",
    "loop",
    "metadata",
    "animation",
    "pipeline",
    "gallery",
    "inspection",
    "training",
    "batch",
    "cli",
]
# Files, and all that are in these folders, that bring nothing heavy: --help, a mistyped flag, a
# picture's metadata and the worker's client must not wait for torch.
LIGHT = [
    *("errors", "worker", "rules", "spelling", "places", "images", "prompt", "recipe"),
    *("schedulers.names", "schedulers.supported", "schedulers.library_messages"),
    *("models.checkpoint", "metadata", "animation", "gallery", "inspection.ranking", "batch"),
    *("pipeline.resolve", "pipeline.model_names", "pipeline.demanding"),
    "cli",
]
# The last two are only for those who ask for a bucket or a cluster.
HEAVY = ["torch", "diffusers", "transformers", "accelerate", "numpy", "obstore", "ray"]


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


@pytest.mark.parametrize("here", sorted(set(map(room, SOURCES))))
def test_arrows_point_one_way(here: str) -> None:
    assert here in ROOMS, f"{here} has no place in the plan: add it to ROOMS"
    for path in (path for path in SOURCES if room(path) == here):
        for name in imports(path):
            parts = name.split(".")
            assert name not in PUBLIC, f"{path} imports {name}: that way no arrow is seen"
            if parts[0] == "sdloop" and len(parts) > 1 and parts[1] != here and parts[1] in ROOMS:
                assert ROOMS.index(parts[1]) < ROOMS.index(here), f"{path} imports {name}"


def test_the_files_of_recipe_import_each_other_one_way() -> None:
    """In functions and for type checks too: a file can be read when those below it were."""
    below = {module(path): {name.removeprefix("sdloop.") for name in imports(path)}
             for path in SOURCES if room(path) == "recipe"}  # fmt: skip
    read: list[str] = []
    while left := [name for name in sorted(below) if name not in read]:
        ready = [name for name in left if below[name] & set(below) <= set(read)]
        assert ready, f"these import each other in a circle: {left}"
        read += ready


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_light_files_bring_nothing_heavy() -> None:
    light = [name for name in map(module, SOURCES)
             if any(f"{name}.".startswith(f"{one}.") for one in LIGHT)]  # fmt: skip
    assert len(light) > 100
    code = f"""
import importlib, sys
for name in {light}:
    importlib.import_module(f"sdloop.{{name}}")
    for heavy in {HEAVY}:
        assert heavy not in sys.modules, f"{{name}} brings {{heavy}}"
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_public_names_are_there() -> None:
    for name in sdloop.__all__:
        assert getattr(sdloop, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'pictures'"):
        _ = sdloop.pictures


TESTS = Path(__file__).parent


def test_no_test_imports_another() -> None:
    """What two tests need is in tests/helpers, where its readers look for it."""
    for path in sorted(TESTS.rglob("*.py")):
        for name in imports(path):
            assert not any(part.startswith("test_") for part in name.split(".")), f"{path}: {name}"
