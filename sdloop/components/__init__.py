"""A model's parts, loaded: the only room that reads weights."""

from sdloop.components.adapters import adapted, shell
from sdloop.components.device import peak_memory, reset_peak_memory
from sdloop.components.load import Components, load_components

__all__ = [
    "Components",
    "adapted",
    "load_components",
    "peak_memory",
    "reset_peak_memory",
    "shell",
]
