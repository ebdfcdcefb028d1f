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
from judge import Judge, load_judge
from making import Settings
from questions import Question, questions

import sdloop
from sdloop.components import Components

SWEEPS: dict[str, tuple[float, ...]] = {
    "guidance": (1, 2, 4, 7.5, 12),
    "steps": (1, 2, 5, 10, 25, 50),
}
"""What can be swept, and over which values."""


def examine(
    components: Components, judge: Judge, asked: Sequence[Question], settings: Settings
) -> Numbers:
    """All that is found out at one size, but for what does not depend on prompts."""
    assert settings.size is not None
    verdicts = findings.generated(components, judge, asked, settings)
    return {
        "shares": findings.measure_shares(asked, verdicts),
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
) -> Numbers:
    """The shares at each value of one setting, with the same prompts and seeds."""
    found = {}
    for value in SWEEPS[name]:
        print(f"{name} {value:g}", file=sys.stderr, flush=True)
        verdicts = findings.generated(components, judge, asked, with_value(settings, name, value))
        found[f"{value:g}"] = findings.measure_shares(asked, verdicts)
    return found


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            word.rjust(width) if place else word.ljust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def percent(share: float | None) -> str:
    """A share in per cent; "-" where nothing was asked."""
    return "-" if share is None else f"{100 * share:.1f} %"


def shares_table(found: Numbers) -> str:
    """How many pictures are right, beside what the judge makes of drawn scenes and of those that
    went through the VAE."""
    rows = [["", "right", "of", "share", "95 % interval", "drawn", "through the VAE"]]
    for name, share in found["shares"].items():
        low, high = (100 * end for end in share["interval"])
        row = [name, str(share["right"]), str(share["asked"]), percent(share["share"])]
        row.append(f"{low:.1f} - {high:.1f}")
        row += [percent(found[by].get(name)) for by in ("judge", "seen_through_vae")]
        rows.append(row)
    return table(rows)


def print_report(size: str, found: Numbers) -> None:
    """One size's findings for people."""
    vae, frechet, seeds = found["vae"], found["frechet"], found["seeds"]
    by_style = vae["psnr_by_style"].items()
    styles = ", ".join(f"{style} {value:.1f}" for style, value in by_style if value)
    columns = found | {"seen_through_vae": vae["accuracy"]}
    print(f"{size}\n{shares_table(columns)}")
    print("on stilts: of the prompts that ask for stilts; off stilts: of all others\n")
    print(f"reconstruction {vae['psnr']:.1f} dB ({styles})")
    print(
        f"Frechet distance {frechet['generated']:.2f} from drawn scenes; "
        f"other drawn scenes have {frechet['drawn']:.2f}"
    )
    print(
        f"{seeds['prompt']!r}: seeds are {seeds['different_seeds']:.1f} levels of 255 apart, "
        f"a seed and itself {seeds['same_seed']:.1f}\n"
    )
    rows = [["mixed", *next(iter(found["mix"].values()))]]
    rows += [[share, *(f"{n:.2f}" for n in row.values())] for share, row in found["mix"].items()]
    print(f"{table(rows)}\n")


def print_sweep(name: str, found: Numbers) -> None:
    """The shares in per cent, a row for each value."""
    first = next(iter(found.values()))
    rows = [[name, *first]]
    rows += [
        [value, *(percent(one["share"]) for one in row.values())] for value, row in found.items()
    ]
    print(f"{table(rows)}\n")


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


def main(argv: list[str] | None = None) -> None:
    """Load, let the judge be checked, find out, print, and write the numbers."""
    args = parse(argv)
    judge, components = load_judge(args.judge), sdloop.load_components(args.model)
    asked = questions(args.prompts)
    guidance = components.guidance_scale if args.guidance_scale is None else args.guidance_scale
    result: Numbers = {
        "model": args.model,
        "prompts": args.prompts,
        "steps": args.steps,
        "guidance_scale": guidance,
        "sizes": {},
    }
    for width, height in args.sizes or [components.native_size]:
        found: Numbers = {"judge": findings.check_judge(judge, (width, height))}
        settings = Settings(
            steps=args.steps,
            guidance_scale=guidance,
            size=(width, height),
            batch_size=args.batch_size,
        )
        for name in args.sweep:
            found[name] = sweep(name, components, judge, asked, settings)
            print_sweep(name, found[name])
        if not args.sweep:
            found |= examine(components, judge, asked, settings)
            print_report(f"{width}x{height}", found)
        result["sizes"][f"{width}x{height}"] = found
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
