"""Measure the time that ``sdloop batch`` saves: against single runs, and for a finished plan.

``python tests/benchmarks/batch.py`` makes 200 pictures with the embedded model in one command. It
also runs a few single commands, and extrapolates their time to 200 pictures. With
``--finished 10000`` it creates the 10,000 files of a finished plan, and runs the plan again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from sdloop.metadata.picture import _encoded
from sdloop.metadata.record import Made, texts_of
from sdloop.recipe.recipe import FIELDS, Recipe

PROMPT = "a red house at night"


def seconds(*arguments: str) -> tuple[float, float]:
    """How long a command takes in a process of its own: on the clock, and of a core."""
    started, before = time.perf_counter(), os.times()
    subprocess.run(
        [sys.executable, "-m", "sdloop", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = os.times()
    core = after.children_user + after.children_system
    core -= before.children_user + before.children_system
    return time.perf_counter() - started, core


def compare(pictures: int, singles: int, folder: Path) -> None:
    common = ["--outdir", str(folder), "--quiet"]
    together = seconds("batch", PROMPT, "--seed", f"1..{pictures}", *common)
    each = [seconds("txt2img", PROMPT, "--seed", str(1000 + n), *common) for n in range(singles)]
    for name, one, several in zip(
        ("clock", "core"), together, zip(*each, strict=True), strict=True
    ):
        alone = sum(several) / singles * pictures
        print(
            f"{name}: {pictures} pictures in one batch {one:.0f} s; {singles} single runs "
            f"{sum(several):.0f} s, so {pictures} {alone:.0f} s; ratio {alone / one:.1f}"
        )


def finished(pictures: int, folder: Path) -> None:
    plan = ["batch", PROMPT, "--seed", f"1..{pictures}", "-o", f"{folder}/{{seed}}.png", "--quiet"]
    lines = subprocess.run(
        [sys.executable, "-m", "sdloop", *plan, "--dry-run"], capture_output=True, check=True
    ).stdout.splitlines()
    image = Image.effect_noise((64, 64), 60).convert("RGB")
    for line in lines:
        values = json.loads(line)
        recipe = Recipe.from_dict({k: v for k, v in values.items() if k in FIELDS})
        texts = texts_of(recipe, Made(key=values["key"]), "full")
        Path(values["output"]).write_bytes(_encoded(image, "PNG", texts))
    clock, core = seconds(*plan)
    assert len(list(folder.iterdir())) == len(lines) == pictures
    print(f"a finished plan of {pictures} pictures, run again: {clock:.1f} s, {core:.1f} of a core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--singles", type=int, default=5)
    parser.add_argument("--finished", type=int, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.finished is None:
            compare(options.pictures, options.singles, Path(folder))
        else:
            finished(options.finished, Path(folder))


if __name__ == "__main__":
    main()
