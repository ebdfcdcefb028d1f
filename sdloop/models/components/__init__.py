"""A model's parts, loaded: the only room that reads weights."""
