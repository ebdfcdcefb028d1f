"""Look at an exported folder: eight prompts in a grid, and one prompt over four guidance scales.

python examples/train_mini/sample.py --model sdloop/mini --out examples/gallery
"""

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

PROMPTS = (
    "frogs on stilts",
    "a red house at night",
    "a brown rabbit in a park",
    "a green frog on stilts on a stage",
    "an orange cat on a beach",
    "two blue robots",
    "a purple snake in the snow",
    "a yellow fish on a plain background",
)
GUIDANCE_PROMPT = "a brown rabbit in a park"
GUIDANCE_SCALES = (1.0, 2.0, 4.0, 7.5)
GAP = 4


def sample(
    pipeline: StableDiffusionPipeline, prompt: str, seed: int, guidance_scale: float, steps: int
) -> Image.Image:
    """One picture, made by diffusers' own pipeline."""
    generator = torch.Generator().manual_seed(seed)
    return pipeline(
        prompt, num_inference_steps=steps, guidance_scale=guidance_scale, generator=generator
    ).images[0]


def lay_out(pictures: list[Image.Image], columns: int, zoom: int) -> Image.Image:
    """The pictures in rows on white, each pixel ``zoom`` pixels wide."""
    side = pictures[0].width * zoom + GAP
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * side + GAP, rows * side + GAP), "white")
    for place, picture in enumerate(pictures):
        corner = (GAP + place % columns * side, GAP + place // columns * side)
        sheet.paste(picture.resize((side - GAP, side - GAP), Image.Resampling.NEAREST), corner)
    return sheet


def main() -> None:
    """Parse, sample, and write ``mini-prompts.png`` and ``mini-guidance.png``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="the exported folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the two pictures")
    parser.add_argument("--seed", type=int, default=4, help="of every picture")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, default=2.0)
    args = parser.parse_args()
    pipeline = StableDiffusionPipeline.from_pretrained(args.model, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    args.out.mkdir(parents=True, exist_ok=True)
    grid = [
        sample(pipeline, prompt, args.seed, args.guidance_scale, args.steps) for prompt in PROMPTS
    ]
    row = [
        sample(pipeline, GUIDANCE_PROMPT, args.seed, scale, args.steps) for scale in GUIDANCE_SCALES
    ]
    lay_out(grid, columns=4, zoom=3).save(args.out / "mini-prompts.png")
    lay_out(row, columns=4, zoom=3).save(args.out / "mini-guidance.png")


if __name__ == "__main__":
    main()
