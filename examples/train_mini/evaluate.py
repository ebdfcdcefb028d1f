"""How well a model follows its prompts, by a judge that has seen drawn scenes alone.

    python examples/train_mini/evaluate.py --model sdloop/mini --judge runs/judge
    python examples/train_mini/evaluate.py --model sdloop/mini --judge runs/judge --prompts 100 \
        --sweep guidance --sweep steps --json sweeps.json

The first makes pictures of 500 held-out prompts and prints what share of them is right, how well
the VAE keeps drawn scenes, and whether seeds and mixtures do what they should. The second prints
only how the shares change with a setting.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import findings
from findings import Numbers, Size
from judge import Judge, load_judge, look_at
from making import Settings
from questions import Question, questions
from report import print_report, print_sweep

import sdloop
from sdloop.models.components.load import Components

SWEEPS: dict[str, tuple[float, ...]] = {
    "guidance": (1, 2, 4, 7.5, 12),
    "steps": (1, 2, 5, 10, 25, 50),
}
"""What can be swept, and over which values."""


def examine(
    components: Components,
    judge: Judge,
    asked: Sequence[Question],
    settings: Settings,
    trust: dict[str, float],
) -> Numbers:
    """All that is found out at one size."""
    assert settings.size is not None
    images = findings.pictures_of(components, asked, settings)
    verdicts = look_at(judge, images)
    return {
        "shares": findings.measure_shares(asked, verdicts, trust),
        "sharpness": findings.measure_sharpness(asked, images, settings.size),
        "vae": findings.measure_vae(components, judge, settings.size),
        "frechet": findings.measure_features(judge, verdicts, settings.size),
        "seeds": findings.measure_seeds(components, settings),
        "mix": findings.measure_mix(components, judge, settings),
    }


def with_value(settings: Settings, name: str, value: float) -> Settings:
    """The settings with the value of a sweep."""
    if name == "steps":
        return replace(settings, steps=int(value))
    return replace(settings, guidance_scale=float(value))


def sweep(
    name: str,
    components: Components,
    judge: Judge,
    asked: Sequence[Question],
    settings: Settings,
    trust: dict[str, float],
) -> Numbers:
    """The shares at each value of one setting, with the same prompts and seeds."""
    found = {}
    for value in SWEEPS[name]:
        print(f"{name} {value:g}", file=sys.stderr, flush=True)
        verdicts = findings.generated(components, judge, asked, with_value(settings, name, value))
        found[f"{value:g}"] = findings.measure_shares(asked, verdicts, trust)
    return found


def parse_sizes(text: str) -> list[Size]:
    """Sizes from "192x128,128x192"."""
    sizes = [tuple(int(side) for side in size.split("x")) for size in text.split(",")]
    if any(len(size) != 2 for size in sizes):
        raise argparse.ArgumentTypeError(f"sizes must be like 192x128,128x192, got {text}")
    return [(width, height) for width, height in sizes]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="whatever sdloop takes for a model")
    parser.add_argument("--judge", type=Path, required=True, help="the folder of classifier.py")
    parser.add_argument("--prompts", type=int, default=500, help="how many held-out ones")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--guidance-scale", type=float, help="default: the model's own")
    parser.add_argument("--sizes", type=parse_sizes, help="as 192x128,128x192; default: its own")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--sweep", choices=SWEEPS, action="append", default=[])
    parser.add_argument("--json", type=Path, help="write all the numbers to this file")
    return parser.parse_args(argv)


def at_size(components: Components, judge: Judge, args: argparse.Namespace, size: Size) -> Numbers:
    """Check the judge at this size, then find out and print what is asked for."""
    trust = findings.check_judge(judge, size)
    found: Numbers = {"judge": trust}
    asked = questions(args.prompts)
    settings = Settings(
        steps=args.steps,
        guidance_scale=args.guidance_scale,
        size=size,
        batch_size=args.batch_size,
    )
    for name in args.sweep:
        found[name] = sweep(name, components, judge, asked, settings, trust)
        print_sweep(name, found[name])
    if not args.sweep:
        found |= examine(components, judge, asked, settings, trust)
        print_report(f"{size[0]}x{size[1]}", found)
    return found


def main(argv: list[str] | None = None) -> None:
    """Load, find out at each size, and write the numbers."""
    args = parse(argv)
    judge, components = load_judge(args.judge), sdloop.load_components(args.model)
    if args.guidance_scale is None:
        args.guidance_scale = components.guidance_scale
    numbers: Numbers = {name: getattr(args, name) for name in ("model", "prompts", "steps")}
    numbers |= {"guidance_scale": args.guidance_scale, "sizes": {}}
    for size in args.sizes or [components.native_size]:
        found = at_size(components, judge, args, size)
        numbers["sizes"][f"{size[0]}x{size[1]}"] = found
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
