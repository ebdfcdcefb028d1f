"""Small input pictures, computed from formulas."""

import numpy as np
from PIL import Image


def gradient(width: int = 48, height: int = 32) -> Image.Image:
    """Every pixel another colour: flips, crops and resizing all show."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=2).astype(np.uint8))


def sketch(width: int = 32, height: int = 24) -> Image.Image:
    """Something with large shapes, edges and a little noise in it."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    inside = (across - 0.4) ** 2 + (down - 0.5) ** 2 < 0.1
    levels = np.stack([across, down, np.where(inside, 1.0, 0.2)], axis=2) * 220
    levels += np.random.default_rng(0).uniform(0, 35, levels.shape)
    return Image.fromarray(levels.astype(np.uint8))
