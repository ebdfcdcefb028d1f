"""Strength with the embedded model: low values keep a sketch's layout, high values do not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d

import sdloop
from sdloop.images.input.frame import framed
from sdloop.images.input.read import open_image
from sdloop.latents.vae import decode, encode, scale, to_images, to_pixels
from sdloop.recipe.resolve import resolve

SKETCH = str(Path(__file__).parents[2] / "examples" / "sketch" / "rabbit.png")
STRENGTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
SEEDS = range(8)


def structural_similarity(one: Image.Image, two: Image.Image) -> float:
    """SSIM of the greys in windows of 7x7: 1 for the same picture, 0 for no common structure.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural
    similarity", eq. 13.
    """
    greys = (np.asarray(image.convert("L"), np.float64) for image in (one, two))
    x, y = (torch.from_numpy(grey)[None, None] for grey in greys)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return avg_pool2d(values, 7, stride=1)

    (mx, my), (c1, c2) = (mean(x), mean(y)), ((0.01 * 255) ** 2, (0.03 * 255) ** 2)
    vx, vy, both = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    same = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    return float(same.mean())


def test_structural_similarity_is_what_it_is_called() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64), dtype=np.uint8)
    one, two = map(Image.fromarray, noise)
    sketch = Image.open(SKETCH)
    assert structural_similarity(sketch, sketch) == pytest.approx(1)
    assert abs(structural_similarity(one, two)) < 0.05
    paler = sketch.convert("L").point(lambda level: round(level * 0.9))
    assert 0.9 < structural_similarity(sketch, paler) < 1


@pytest.mark.slow
def test_the_layout_of_a_sketch_is_kept_and_then_it_is_gone() -> None:
    components = sdloop.load_components(device="cpu")
    recipe = sdloop.Recipe(prompt="a brown rabbit in a park", seed=0, image=SKETCH)
    picture = open_image(SKETCH)
    size = resolve(recipe, components, picture.facts).size
    sketch = framed(picture, size, resize="crop", background="white")

    def similarity(**settings: object) -> float:
        """Averaged over the seeds."""
        recipes = [
            sdloop.Recipe(prompt=recipe.prompt, seed=seed, **settings)  # type: ignore[arg-type]
            for seed in SEEDS
        ]
        made = sdloop.generate(components, recipes, batch_size=len(recipes))
        return float(np.mean([structural_similarity(one.image, sketch) for one in made]))

    kept = [similarity(image=SKETCH, strength=strength) for strength in STRENGTHS]
    print(", ".join(f"{s:g}: {k:.3f}" for s, k in zip(STRENGTHS, kept, strict=True)))
    assert kept == sorted(kept, reverse=True)
    without = similarity(width=size[0], height=size[1])
    # The most there can be is the sketch as the VAE alone gives it back.
    through_vae = decode(
        components.vae, scale(components.vae, encode(components.vae, to_pixels(sketch)).mean)
    )
    most = structural_similarity(to_images(through_vae)[0], sketch)
    share = [(one - without) / (most - without) for one in kept]
    print(f"without the sketch: {without:.3f}, through the VAE: {most:.3f}")
    assert share[STRENGTHS.index(0.3)] > 0.5
    assert abs(share[STRENGTHS.index(0.95)]) < 0.1
