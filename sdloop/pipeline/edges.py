"""Maps of edges and lines that need no model: light on black, (height, width), uint8.

Each takes pixels (height, width, 3), uint8, and looks at each colour by itself, so that an edge
between two colours of the same brightness is found too.
"""

import numpy as np

LOW, HIGH = 100, 200  # Canny's thresholds, as ControlNet's authors set them
_TAN = 13573  # tan(22.5°) in units of 2^-15, as in OpenCV
_AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))


def canny(pixels: np.ndarray) -> np.ndarray:
    """Thin edges, black and white: bit for bit those of OpenCV's ``Canny`` with these thresholds.

    Source: Canny 1986; the rounding is OpenCV's, which ControlNets were trained with.
    """
    across, down = _strongest(*_sobel(pixels.astype(np.int64)))
    strength = np.abs(across) + np.abs(down)
    ridge = (strength > LOW) & _is_ridge(strength, across, down)
    return np.where(_connected(ridge & (strength > HIGH), ridge), 255, 0).astype(np.uint8)


def _sobel(levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slopes to the right and down, of each colour."""
    padded = np.pad(levels, ((1, 1), (1, 1), (0, 0)), mode="edge")
    columns = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return columns[:, 2:] - columns[:, :-2], rows[2:] - rows[:-2]


def _strongest(across: np.ndarray, down: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The slopes of the colour that changes most at each pixel; the first of equal ones."""
    most = (np.abs(across) + np.abs(down)).argmax(axis=2)[..., None]
    first, second = (np.take_along_axis(one, most, axis=2)[..., 0] for one in (across, down))
    return first, second


def _is_ridge(strength: np.ndarray, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Whether a pixel is the strongest one across its edge."""
    padded = np.pad(strength, 1)
    height, width = strength.shape

    def neighbour(right: int, below: int) -> np.ndarray:
        return padded[1 + below : 1 + below + height, 1 + right : 1 + right + width]

    slope, tangent = np.abs(down) << 15, np.abs(across) * _TAN
    upright = slope < tangent  # the edge is, so its neighbours are to the left and right
    level = slope > tangent + (np.abs(across) << 16)
    falling = (across ^ down) < 0
    one_way = (strength > neighbour(-1, -1)) & (strength > neighbour(1, 1))
    other_way = (strength > neighbour(1, -1)) & (strength > neighbour(-1, 1))
    return np.select(
        [upright, level, falling],
        [
            (strength > neighbour(-1, 0)) & (strength >= neighbour(1, 0)),
            (strength > neighbour(0, -1)) & (strength >= neighbour(0, 1)),
            other_way,
        ],
        one_way,
    )


def _connected(sure: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """``sure`` pixels, and ``possible`` ones that a chain of others leads to."""
    found, left = np.pad(sure, 1), np.pad(possible & ~sure, 1)
    places = np.argwhere(found)
    while len(places):
        near = (places[:, None] + np.array(_AROUND)).reshape(-1, 2)
        places = np.unique(near[left[tuple(near.T)]], axis=0)
        found[tuple(places.T)], left[tuple(places.T)] = True, False
    return found[1:-1, 1:-1]


def soft_edges(pixels: np.ndarray) -> np.ndarray:
    """Broad soft edges: the slopes of the blurred picture, the steepest ones white.

    The blur follows the size, so that a picture has the same edges at every size. It is no HED:
    that is a network which knows what the outline of a thing is, and this sees any change.
    """
    blurred = _blurred(pixels, max(1.0, min(pixels.shape[:2]) / 256))
    strength = np.hypot(*_sobel(blurred)).max(axis=2)
    white = max(float(np.quantile(strength, 0.98)), 8.0)  # nothing white in a picture without edges
    levels: np.ndarray = np.clip(strength * (255 / white), 0, 255).round().astype(np.uint8)
    return levels


def line_art(pixels: np.ndarray) -> np.ndarray:
    """Lines that are darker than what is around them, in white: for drawings and scans.

    Source: the "standard lineart" of sd-webui-controlnet and controlnet_aux. It needs no model,
    and finds few lines in photos.
    """
    darker = (_blurred(pixels, 6.0) - pixels).min(axis=2).clip(0, 255)
    lines = darker[darker > 8]
    usual = max(16.0, float(np.median(lines))) if lines.size else 16.0
    levels: np.ndarray = np.clip(darker * (127 / usual), 0, 255).astype(np.uint8)
    return levels


def _blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    """``pixels`` as float32, blurred by a Gaussian of the standard deviation ``sigma``."""
    reach = round(4 * sigma)
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(np.float32)
    blurred = pixels.astype(np.float32)
    for _ in ("columns", "rows"):
        padded = np.pad(blurred, ((reach, reach), (0, 0), (0, 0)), mode="reflect")
        shifted = (padded[place : place + len(blurred)] for place in range(len(weights)))
        blurred = sum(weight * part for weight, part in zip(weights, shifted, strict=True))
        blurred = blurred.swapaxes(0, 1)
    return blurred
