"""What is installed, without importing it."""

import platform

# Those whose versions can change a picture, and those that this program's own behaviour is of.
PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "huggingface-hub", "pillow")


def versions() -> str:
    """A line per package: name and version."""
    lines = [f"sdloop {version_of('sdloop')}", f"python {platform.python_version()}"]
    return "\n".join([*lines, *(f"{name} {version_of(name)}" for name in PACKAGES)])


def version_of(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
