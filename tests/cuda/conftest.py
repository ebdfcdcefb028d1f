"""A pretended CUDA device for every test of this folder: see ``helpers.pretended_cuda``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.pictures import sketch
from helpers.pretended_cuda import PretendedCuda
from PIL import Image


@pytest.fixture
def gpu() -> Iterator[PretendedCuda]:
    """Kept models of other tests are on the CPU, so tests here load their own."""
    with PretendedCuda() as device:
        yield device


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the test works in, with a picture and a mask of its middle."""
    monkeypatch.chdir(tmp_path)
    sketch(32, 32).save("sketch.png")
    mask = Image.new("L", (32, 32), 0)
    mask.paste(255, (8, 8, 24, 24))
    mask.save("mask.png")
    return tmp_path
