"""Strength with the embedded model: low values keep a sketch's outlines, high values do not."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from measure_control import edges, f1
from PIL import Image

import sdloop

SKETCH = str(Path(__file__).parents[2] / "examples" / "sketch" / "rabbit.png")
STRENGTHS = (0.1, 0.3, 0.5, 0.7, 0.95)
SEEDS = range(4)


@pytest.mark.slow
def test_the_layout_of_a_sketch_is_kept_and_then_it_is_gone() -> None:
    """F1 of outlines, for the prompt asks for other colours and for a park on empty paper: a
    structural similarity takes both for a lost layout."""
    components = sdloop.load_components(device="cpu")
    size = components.native_size
    with Image.open(SKETCH) as sketch:
        lines = edges(sketch.resize(size))

    def share_kept(**settings: object) -> float:
        """Averaged over the seeds."""
        recipes = [
            sdloop.Recipe(prompt="a brown rabbit in a park", seed=seed, **settings)  # type: ignore[arg-type]
            for seed in SEEDS
        ]
        made = sdloop.generate(components, recipes, batch_size=len(recipes))
        return float(np.mean([f1(edges(one.image), lines) for one in made]))

    kept = [share_kept(image=SKETCH, strength=strength) for strength in STRENGTHS]
    without = share_kept(width=size[0], height=size[1])
    shares = [(one - without) / (1 - without) for one in kept]
    print(", ".join(f"{s:g}: {k:.3f}" for s, k in zip(STRENGTHS, shares, strict=True)))
    assert all(more > less for more, less in pairwise(shares)), shares
    assert shares[STRENGTHS.index(0.3)] > 0.5
    # The pose stays even here: some of the picture is left under the noise of the first step.
    assert shares[STRENGTHS.index(0.95)] < 0.4
