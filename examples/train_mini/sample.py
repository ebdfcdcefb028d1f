"""A sheet of pictures of an exported model: its own prompts, each with the same seed.

python examples/train_mini/sample.py --model sdloop/mini --out sheet.png
"""

import argparse
import json
from pathlib import Path

from PIL import Image

import sdloop

SEED = 4
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


def main() -> None:
    """Parse, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the exported folder")
    parser.add_argument("--out", type=Path, required=True, help="the picture to write")
    parser.add_argument("--steps", type=int, default=25)
    args = parser.parse_args()
    sample_sheet(args.model, args.out, steps=args.steps, zoom=2)


if __name__ == "__main__":
    main()
