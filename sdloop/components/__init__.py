"""A model's parts, loaded: the only room that reads weights."""

from sdloop.components.device import peak_memory, reset_peak_memory
from sdloop.components.load import Components, load_components

__all__ = ["Components", "load_components", "peak_memory", "reset_peak_memory"]
