"""A model's parts, loaded: the only room that reads weights."""

from sdloop.components.load import Components, load_components

__all__ = ["Components", "load_components"]
