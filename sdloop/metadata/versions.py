"""Find the versions of installed packages without importing them."""

import contextlib
import functools
import platform
from collections.abc import Mapping

PACKAGES = (
    "sdloop",
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "safetensors",
    "huggingface-hub",
    "pillow",
)


@functools.cache
def installed() -> Mapping[str, str]:
    """The version of Python and of each installed package in ``PACKAGES``."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
