"""How well pictures follow the outlines that a ControlNet is given.

    python examples/train_mini/measure_control.py --model sdloop/mini --control sdloop/mini_edges
    python examples/train_mini/measure_control.py --wordless

Outlines and prompts are those of scenes that were never trained on; with ``--wordless`` the prompts
are empty. F1 compares the edges of a picture with the lines of its map: pixels count as found if
they are at most two pixels off. It is measured with the ControlNet, without it, and for the drawn
scenes themselves, which is as good as can be.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from captions import plainly
from drawing import draw_scene
from making import Settings, make
from numpy.typing import NDArray
from outlines import Mask, draw_outlines
from PIL import Image, ImageFilter
from questions import PROMPTS
from scenes import STYLES, Scene, sample_scene

import sdloop

EDGE = 14
"""Of 255 grey levels, the difference per pixel from which there is an edge."""

NEAR = 2
"""How many pixels an edge may be off."""


def edges(image: Image.Image) -> Mask:
    """Where the grey of a picture changes quickly, after a blur that leaves no grain."""
    grey = image.convert("L").filter(ImageFilter.GaussianBlur(0.7))
    down, across = np.gradient(np.asarray(grey, dtype=np.float32))
    return np.hypot(down, across) > EDGE


def widened(lines: Mask) -> Mask:
    """All pixels within ``NEAR`` of a line."""
    height, width = lines.shape
    around, wide = np.pad(lines, NEAR), np.zeros_like(lines)
    for y in range(-NEAR, NEAR + 1):
        for x in range(-NEAR, NEAR + 1):
            if x * x + y * y <= NEAR * NEAR:
                wide |= around[NEAR + y : NEAR + y + height, NEAR + x : NEAR + x + width]
    return wide


def f1(found: Mask, lines: Mask) -> float:
    """The harmonic mean of the share of ``found`` that is near lines, and the share of lines that
    have something found near.

    >>> square = np.zeros((16, 16), dtype=bool)
    >>> square[4:8, 4:8] = True
    >>> f1(square, square), f1(np.roll(square, 2, axis=0), square), f1(~square, square) < 0.5
    (1.0, 1.0, True)
    >>> f1(np.roll(square, 8, axis=0), square)
    0.0
    """
    if not found.any() or not lines.any():
        return 0.0
    right, seen = (found & widened(lines)).sum(), (lines & widened(found)).sum()
    precision, recall = right / found.sum(), seen / lines.sum()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def recipes_of(
    prompts: Sequence[str], maps: Sequence[Path], control: str, settings: Settings
) -> list[sdloop.Recipe]:
    """The n-th has the seed n and follows the n-th map."""
    recipes = []
    for seed, (prompt, file) in enumerate(zip(prompts, maps, strict=True)):
        recipe = settings.recipe(prompt, seed)
        recipes.append(replace(recipe, controls=({"model": control, "image": str(file)},)))
    return recipes


def write_maps(maps: Sequence[Mask], folder: Path) -> list[Path]:
    """White lines on black, a file for each."""
    files = [folder / f"{number}.png" for number in range(len(maps))]
    for file, lines in zip(files, maps, strict=True):
        Image.fromarray(lines.astype(np.uint8) * 255).save(file)
    return files


def scores(images: Sequence[Image.Image], maps: Sequence[Mask]) -> NDArray[np.float64]:
    """The F1 of each picture."""
    return np.array([f1(edges(image), lines) for image, lines in zip(images, maps, strict=True)])


def measure(args: argparse.Namespace) -> dict[str, NDArray[np.float64]]:
    """The F1 of each scene: drawn, with the ControlNet, and without."""
    components = sdloop.load_components(args.model)
    size, settings = components.native_size, Settings(steps=args.steps)
    maps = [draw_outlines(scene, size)[args.alone] for scene in args.scenes]
    prompts = ["" if args.wordless else plainly(scene) for scene in args.scenes]
    with tempfile.TemporaryDirectory() as folder:
        files = write_maps(maps, Path(folder))
        recipes = recipes_of(prompts, files, args.control, settings)
        followed = make(components, recipes, args.batch_size)
    plain = make(components, [replace(one, controls=()) for one in recipes], args.batch_size)
    drawn = [draw_scene(scene, size) for scene in args.scenes]
    if args.sheet:
        save_sheet([*zip(maps, drawn, followed, plain, strict=True)][:12], args.sheet)
    return {
        "drawn": scores(drawn, maps),
        "followed": scores(followed, maps),
        "without": scores(plain, maps),
    }


def save_sheet(
    rows: Sequence[tuple[Mask, Image.Image, Image.Image, Image.Image]], file: Path
) -> None:
    """A column for each scene: its map, the scene, and the pictures with and without the map."""
    width, height = rows[0][1].size
    sheet = Image.new("RGB", (width * len(rows), height * 4))
    for place, (lines, *images) in enumerate(rows):
        for row, image in enumerate([Image.fromarray(lines), *images]):
            sheet.paste(image.convert("RGB"), (place * width, row * height))
    sheet.save(file)


def print_table(scenes: Sequence[Scene], found: dict[str, NDArray[np.float64]]) -> None:
    """Means, of all and of each style."""
    print(f"{'':12}" + "".join(f"{name:>10}" for name in found))
    for style in ("all", *STYLES):
        places = [n for n, scene in enumerate(scenes) if style in ("all", scene.style)]
        if places:
            means = "".join(f"{values[places].mean():10.3f}" for values in found.values())
            print(f"{style:12}{means}  of {len(places)}")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags, and the scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default="mini", help="whatever sdloop takes for a model")
    add("--control", default="edges", help="whatever sdloop takes for a ControlNet")
    add("--prompts", type=int, default=100, help="how many held-out scenes [%(default)s]")
    add("--steps", type=int, default=25)
    add("--batch-size", type=int, default=16)
    add("--setting", help="of these scenes alone, as plain")
    add("--wordless", action="store_true", help="the prompts are empty: all is in the lines")
    add("--alone", action="store_true", help="follow the subjects' outlines, without a backdrop")
    add("--sheet", type=Path, help="save the first twelve as a picture")
    args = parser.parse_args(argv)
    scenes = map(sample_scene, range(PROMPTS, PROMPTS + 20 * args.prompts))
    fitting = [one for one in scenes if args.setting in (None, one.setting)]
    args.scenes = fitting[: args.prompts]
    return args


if __name__ == "__main__":
    args = parse()
    print_table(args.scenes, measure(args))
