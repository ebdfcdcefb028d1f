"""Measure how long the page of ``sdloop pick`` takes to show a folder of 5,000 small pictures.

    python tests/benchmarks/picking.py

Needs Chromium, and the packages of ``pip install '.[test]'``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from sdloop.metadata.picture import write_picture
from sdloop.recipe.recipe import Recipe

PICTURES = 5000


def make(folder: Path) -> None:
    """All of one noise, each with a Recipe and a name of its own, in fifty folders."""
    image = Image.effect_noise((64, 64), 60).convert("RGB")
    for seed in range(PICTURES):
        recipe = Recipe(
            prompt=f"a {('frog', 'cat', 'red house')[seed % 3]} in a park",
            seed=seed,
            width=64,
            height=64,
            guidance_scale=1.0 + seed % 5,
            scheduler="euler",
        )
        write_picture(image, folder / f"{seed % 50}" / f"{seed}.png", recipe=recipe)


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        make(out)
        environment = {**os.environ, "XDG_CACHE_HOME": f"{name}/cache"}
        command = [sys.executable, "-m", "sdloop", "pick", str(out), "--no-browser"]
        started = time.perf_counter()
        with (
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env=environment
            ) as process,
            sync_playwright() as playwright,
        ):
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            print(f"{time.perf_counter() - started:.2f} s until the address is there")
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            look(browser.new_page(viewport={"width": 1280, "height": 800}), address)
            browser.close()
            process.terminate()


def look(page: object, address: str) -> None:
    started = time.perf_counter()

    def told(what: str) -> None:
        nonlocal started
        print(f"{time.perf_counter() - started:.2f} s {what}")

    cells, evaluate = page.locator(".cell"), page.evaluate  # type: ignore[attr-defined]
    page.goto(address)  # type: ignore[attr-defined]
    until(lambda: bool(evaluate("document.querySelector('.cell img')?.naturalWidth")))
    told("until the first picture is seen")
    until(lambda: int(cells.count()) == PICTURES)
    told("until all pictures are in the grid")
    for what, script in (
        ("to filter them", "words.value = 'frog guidance_scale>=3'; "),
        ("to show all again, sorted", "words.value = ''; sort.value = 'seed'; "),
    ):
        script = (
            "(async () => { const words = document.getElementById('words');"
            "const sort = document.getElementById('sort'); const before = performance.now();"
            f"{script} words.dispatchEvent(new Event('input'));"
            "await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));"
            "return performance.now() - before; })()"
        )
        print(f"{evaluate(script) / 1000:.2f} s {what}")


if __name__ == "__main__":
    main()
