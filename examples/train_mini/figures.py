"""Make the pictures of the README and the model card: what the embedded model draws, and how each
idea of diffusion shows in it.

python examples/train_mini/figures.py --model sdloop/mini --out examples/gallery
"""

import argparse
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from making import Settings, make, make_mixed
from PIL import Image, ImageDraw, ImageFont
from words import PROMPTS

import sdloop
from sdloop.models.components.load import Components

Labelled = tuple[str, Image.Image]
"""A label and the picture above it."""

SEED, ZOOM, GAP, LINE = 4, 1, 8, 18
STYLED = (
    "a flat cartoon of a red house in the snow",
    "a watercolour of a red house in the snow",
    "a pencil sketch of a red house in the snow",
    "pixel art of a red house in the snow",
)
GUIDED = ("a green frog on stilts in a park", "a blue parrot wearing a hat on the beach")
GUIDANCE_SCALES = (1.0, 2.0, 4.0, 7.5, 12.0)
STEPPED, STEPS = "a red house in the city at night", (1, 2, 5, 10, 25, 50)
SEEDED, SEEDS = "a leopard in a forest", range(8)
MIXED, MIXED_SEEDS = ("a rabbit", "a frog"), range(6)
WIDE, TALL = "three orange cats on the beach", "a giraffe on stilts in a park"


def label(text: str, width: int, lines: int) -> Image.Image:
    """A strip of this width with the text in the middle, broken into ``lines`` at most."""
    font = ImageFont.load_default(12)
    letters = max(1, int(width / font.getlength("n")))
    rows = textwrap.wrap(text, letters, max_lines=lines, placeholder=" …")
    strip = Image.new("RGB", (width, lines * LINE), "white")
    draw = ImageDraw.Draw(strip)
    draw.multiline_text(
        (width / 2, 2), "\n".join(rows), fill=(60, 60, 60), font=font, anchor="ma", align="center"
    )
    return strip


def lay_out(pictures: Sequence[Labelled], columns: int, *, lines: int = 1) -> Image.Image:
    """Rows of pictures on white, each pixel ``ZOOM`` pixels wide, with their labels underneath.

    Pictures may differ in size; each stands at the foot of a cell that takes the largest.
    """
    width = max(image.width for _, image in pictures) * ZOOM
    height = max(image.height for _, image in pictures) * ZOOM
    across, down = width + GAP, height + lines * LINE + GAP
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), "white")
    for place, (text, image) in enumerate(pictures):
        left, top = GAP + place % columns * across, GAP + place // columns * down
        large = image.resize((image.width * ZOOM, image.height * ZOOM), Image.Resampling.NEAREST)
        sheet.paste(large, (left + (width - large.width) // 2, top + height - large.height))
        sheet.paste(label(text, width, lines), (left, top + height))
    return sheet


def pictures_of(
    components: Components, prompts: Sequence[str], seeds: Sequence[int], settings: Settings
) -> list[Image.Image]:
    """One picture for each prompt with the seed at its place."""
    recipes = [settings.recipe(*pair) for pair in zip(prompts, seeds, strict=True)]
    return make(components, recipes, settings.batch_size)


def prompts(components: Components, settings: Settings) -> Image.Image:
    """The ten prompts to try."""
    images = pictures_of(components, PROMPTS, [SEED] * len(PROMPTS), settings)
    return lay_out(list(zip(PROMPTS, images, strict=True)), columns=5, lines=3)


def styles(components: Components, settings: Settings) -> Image.Image:
    """One scene in the four styles, from one noise."""
    images = pictures_of(components, STYLED, [SEED] * len(STYLED), settings)
    return lay_out(list(zip(STYLED, images, strict=True)), columns=4, lines=3)


def guidance(components: Components, settings: Settings) -> Image.Image:
    """Two prompts over the guidance scales, a row for each."""
    columns = [
        pictures_of(components, GUIDED, [SEED] * 2, replace(settings, guidance_scale=scale))
        for scale in GUIDANCE_SCALES
    ]
    cells = [
        (f"guidance {scale:g}", column[row])
        for row in range(len(GUIDED))
        for scale, column in zip(GUIDANCE_SCALES, columns, strict=True)
    ]
    return lay_out(cells, columns=len(GUIDANCE_SCALES))


def steps(components: Components, settings: Settings) -> Image.Image:
    """One prompt over the numbers of steps."""
    cells = []
    for count in STEPS:
        image = pictures_of(components, [STEPPED], [SEED], replace(settings, steps=count))[0]
        cells.append((f"{count} step{'s' * (count > 1)}", image))
    return lay_out(cells, columns=len(STEPS))


def seeds(components: Components, settings: Settings) -> Image.Image:
    """One prompt with eight seeds."""
    images = pictures_of(components, [SEEDED] * len(SEEDS), SEEDS, settings)
    cells = [(f"seed {seed}", image) for seed, image in zip(SEEDS, images, strict=True)]
    return lay_out(cells, columns=4)


def mixtures(components: Components, settings: Settings) -> Image.Image:
    """Two prompts and what lies half way between them, a column for each seed."""
    labels = {0.0: MIXED[0], 0.5: "half and half", 1.0: MIXED[1]}
    cells = [
        (text, image)
        for share, text in labels.items()
        for image in make_mixed(components, MIXED, share, MIXED_SEEDS, settings)
    ]
    return lay_out(cells, columns=len(MIXED_SEEDS))


def sizes(components: Components, settings: Settings) -> Image.Image:
    """Pictures half as wide, or as high, again as the model's own."""
    width, height = components.native_size
    wide = replace(settings, size=(width * 3 // 2, height))
    tall = replace(settings, size=(width, height * 3 // 2))
    cells = [
        (f"{image.width}x{image.height}: {text}", image)
        for size, text in ((wide, WIDE), (tall, TALL))
        for image in pictures_of(components, [text] * 2, [SEED, SEED + 1], size)
    ]
    return lay_out(cells, columns=4, lines=2)


FIGURES: dict[str, Callable[[Components, Settings], Image.Image]] = {
    "prompts": prompts,
    "styles": styles,
    "guidance": guidance,
    "steps": steps,
    "seeds": seeds,
    "mix": mixtures,
    "sizes": sizes,
}
"""Each is written to ``mini-NAME.png``."""


def main(argv: list[str] | None = None) -> None:
    """Parse, make the figures, and print their names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="whatever sdloop takes for a model")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--only", choices=FIGURES, action="append", help="some of them")
    parser.add_argument("--steps", type=int, default=25, help="where they are not the subject")
    args = parser.parse_args(argv)
    components = sdloop.load_components(args.model)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only or FIGURES:
        file = args.out / f"mini-{name}.png"
        FIGURES[name](components, Settings(steps=args.steps)).save(file, optimize=True)
        print(file)


if __name__ == "__main__":
    main()
