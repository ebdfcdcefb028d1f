"""What is installed, without importing it."""

import contextlib
import platform

PACKAGES = (
    "sdloop",
    "torch",
    "diffusers",
    "transformers",
    "safetensors",
    "huggingface-hub",
    "pillow",
)


def installed() -> dict[str, str]:
    """The version of each package that is there."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
