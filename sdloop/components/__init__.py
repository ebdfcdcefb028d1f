"""A model's parts, loaded: the only room that reads weights."""

from sdloop.components.adapters import adapted
from sdloop.components.load import Components, load_components

__all__ = ["Components", "adapted", "load_components"]
