"""Load a model's parts: the only package that reads weights."""
