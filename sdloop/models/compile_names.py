"""The choices of ``--compile``, and what they cannot be combined with; without torch."""

from sdloop.errors import SettingError
from sdloop.rules import check_choice

COMPILE = ("off", "regional", "whole")


def check_compile(compile: str, *, device: str, dtype: str, memory: str) -> None:
    """Raise ``SettingError`` for another name, and for what a compiled UNet cannot have.

    Compiled code has its weights in one place. fp8, and memory low and lowest, fetch those of each
    layer when it runs. ``device`` may be "auto", which is decided later, or a device's name.
    """
    check_choice("compile", compile, COMPILE)
    if compile == "off":
        return
    if device == "mps":
        raise SettingError(f"compile {compile} is for CUDA GPUs and CPUs, and device is mps")
    if dtype == "fp8":
        raise SettingError(f"compile {compile} cannot be combined with dtype fp8: use auto")
    if memory in ("low", "lowest"):
        raise SettingError(
            f"compile {compile} needs all weights on the GPU, and memory is {memory}: use full"
        )
