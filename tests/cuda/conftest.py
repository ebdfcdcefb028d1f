"""A pretended CUDA device for every test of this folder: see ``helpers.pretended_cuda``."""

from collections.abc import Iterator

import pytest
from helpers.pretended_cuda import PretendedCuda


@pytest.fixture
def gpu() -> Iterator[PretendedCuda]:
    """Kept models of other tests are on the CPU, so tests here load their own."""
    with PretendedCuda() as device:
        yield device
