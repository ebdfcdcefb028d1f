"""A worker forgets the caller's own modules after a call, but not installed packages."""

import importlib
import sys
from pathlib import Path

import pytest

from sdloop.cli.server.stage import _forget_modules


@pytest.mark.parametrize(
    ("folder", "stays"),
    [("site-packages", True), ("dist-packages", True), ("scripts", False)],
)
def test_installed_packages_stay_wherever_they_are(
    folder: str, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "brought_along.py").touch()
    monkeypatch.syspath_prepend(tmp_path / folder)
    importlib.import_module("brought_along")
    try:
        _forget_modules({"brought_along"})
        assert ("brought_along" in sys.modules) is stays
    finally:
        sys.modules.pop("brought_along", None)
