"""The choices of ``--memory``, and the devices that have them; without torch."""

from sdloop.errors import SettingError
from sdloop.rules import check_choice

MEMORY = ("full", "low", "lowest")
MEMORY_CHOICES = ("auto", *MEMORY)


def check_memory(memory: str, device: str) -> None:
    """Raise ``SettingError`` for another name, and for one without effect on ``device``.

    ``device`` may be "auto", which is decided later, or a type of device such as "cuda".
    """
    check_choice("memory", memory, MEMORY_CHOICES)
    if memory in ("low", "lowest") and not device.startswith(("auto", "cuda")):
        raise SettingError(f"memory {memory} is for CUDA GPUs, and device is {device}")
