"""Guidance: formulas, guiders, perturbed attention and losses."""
