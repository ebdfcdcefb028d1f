"""Sheets of pictures of an exported model: its own prompts, each with the same seed.

python examples/train_mini/sample.py --model sdloop/mini --out examples/gallery
"""

import argparse
import json
from pathlib import Path

from PIL import Image

import sdloop

SEED = 4
GUIDANCE_SCALES = (1.0, 2.0, 4.0, 7.5)
GAP = 4


def own_prompts(model: Path) -> list[str]:
    """The prompts that an exported model says one should try."""
    index = json.loads((model / "model_index.json").read_text(encoding="utf-8"))
    return index["_sdloop"]["prompts"]


def lay_out(pictures: list[Image.Image], columns: int, zoom: int) -> Image.Image:
    """The pictures in rows on white, each pixel ``zoom`` pixels wide."""
    across, down = (side * zoom + GAP for side in pictures[0].size)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), "white")
    for place, picture in enumerate(pictures):
        corner = (GAP + place % columns * across, GAP + place // columns * down)
        sheet.paste(picture.resize((across - GAP, down - GAP), Image.Resampling.NEAREST), corner)
    return sheet


def sample_sheet(model: Path, file: Path, *, steps: int = 25, zoom: int = 1) -> None:
    """One picture of each of the model's prompts, all of one seed, five in a row."""
    components = sdloop.load_components(str(model))
    recipes = [
        sdloop.Recipe(prompt=prompt, seed=SEED, steps=steps) for prompt in own_prompts(model)
    ]
    pictures = sdloop.generate(components, recipes, batch_size=len(recipes))
    file.parent.mkdir(parents=True, exist_ok=True)
    lay_out([picture.image for picture in pictures], columns=5, zoom=zoom).save(file)


def guidance_sheet(model: Path, file: Path, *, steps: int = 25, zoom: int = 1) -> None:
    """The model's first prompt at several guidance scales, in a row."""
    components = sdloop.load_components(str(model))
    prompt = own_prompts(model)[0]
    recipes = [
        sdloop.Recipe(prompt=prompt, seed=SEED, steps=steps, guidance_scale=scale)
        for scale in GUIDANCE_SCALES
    ]
    pictures = sdloop.generate(components, recipes)
    file.parent.mkdir(parents=True, exist_ok=True)
    lay_out([picture.image for picture in pictures], columns=4, zoom=zoom).save(file)


def main() -> None:
    """Parse, sample, and write ``mini-prompts.png`` and ``mini-guidance.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the exported folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two pictures")
    parser.add_argument("--steps", type=int, default=25, help="[%(default)s]")
    args = parser.parse_args()
    sample_sheet(args.model, args.out / "mini-prompts.png", steps=args.steps, zoom=2)
    guidance_sheet(args.model, args.out / "mini-guidance.png", steps=args.steps, zoom=2)


if __name__ == "__main__":
    main()
