"""The command line of a picture gives the same Recipe; one test also compares the pixels."""

import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.commands import Command, pixels
from helpers.forked import Nursery
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.gallery.commands import larger, remaking
from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe

ROOT = Path(__file__).parents[3]
PARK, MASK = "examples/sketch/park.png", "examples/sketch/mask.png"
PENGUIN = "examples/penguin/my-penguin.safetensors"

# One that asks for each field at least, in every command.
ASKED = [
    ["txt2img", "a (red:1.2) frog"],
    ["txt2img", 'it\'s $HOME `x` "q" 東京 🐎\nand more', "-n", "-bad", "--guidance-scale", "3.3"],
    ["txt2img", "{a}", "--hires", "2", "--steps", "9", "--exact-steps", "--enlarge", "latent"],
    ["txt2img", "a frog", "--scheduler", "ddim", "--eta", "0.5", "--size", "96x64"],
    ["txt2img", "a frog", "--clip-skip", "2", "--guidance-rescale", "0.3", "--emphasis", "none"],
    ["txt2img", "a frog", "--variation-seed", "9", "--variation-strength", "0.1"],
    ["txt2img", "a frog", "--size", "96x64", "--tile", "64", "--sigmas", "karras"],
    ["txt2img", "a frog", "--lora", "examples/lora/cyanotype.safetensors:0.00001"],
    ["txt2img", "a <my-penguin>", "--embedding", PENGUIN],
    ["txt2img", "a rabbit", "--replace-token", "rabbit=frog - green"],
    ["txt2img", "a frog", "--timesteps", "999,600,300,1"],
    ["txt2img", "a frog", "--sigmas-list", "14.6,3.7,0.1,0"],
    ["txt2img", "a frog", "--scheduler", "adam", "--learning-rate", "0.0002"],
    ["txt2img", "a frog", "--guidance", "apg", "--guidance-interval", "0.2..0.8"],
    ["txt2img", "a frog", "--guidance-schedule", "cosine:9..1", "--pag-scale", "2"],
    ["txt2img", "a frog", "--slg-scale", "2.5", "--slg-layers", "mid"],
    [
        "txt2img",
        "a frog",
        "--loss",
        "blue=2",
        "--loss",
        "palette=gold,red:5",
        "--loss-every",
        "3",
    ],
    ["mix", "a rabbit", "a frog", "a cat", "--weights", "1,1,1.5"],
    ["mix", "a rabbit", "a frog", "--slerp", "--weight", "0.3"],
    ["img2img", PARK, "a rabbit", "--strength", "0.6"],
    ["img2img", PARK, "a cat", "--start-step", "10", "--resize", "pad", "--background", "red"],
    ["inpaint", PARK, "a frog", "--mask", MASK, "--mask-blur", "3", "--invert-mask", "--no-keep"],
    ["inpaint", PARK, "a frog", "--mask", MASK, "--size", "64x64"],
    ["inpaint", PARK, "a frog", "--mask", MASK, "--mask-margin", "32"],
    ["outpaint", PARK, "a frog", "--left", "48", "--up", "16", "--overlap", "16"],
    ["upscale", PARK, "a frog", "--factor", "2", "--strength", "0.1"],
]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def planned(*arguments: str, stdin: str | None = None) -> Recipe:
    name, *others = arguments
    result = CliRunner().invoke(app, [name, "--dry-run", *others], input=stdin)
    assert result.exit_code == 0, result.stderr
    return Recipe.from_dict(json.loads(result.stdout))


@pytest.mark.parametrize("asked", ASKED, ids=lambda words: " ".join(words)[:60])
def test_commands_ask_for_the_same_recipe(asked: list[str]) -> None:
    recipe = planned(*asked, "--seed", "4")
    command = remaking(recipe)
    assert planned(*command.arguments, stdin=command.stdin) == recipe
    assert len(asked) < 3 or asked[0] in ("inpaint", command.arguments[0])


@pytest.mark.parametrize("prompt", ["-", "--help", "-x", "a -- b", "", "<lora:x:1>"])
def test_no_prompt_is_taken_for_a_flag(prompt: str) -> None:
    recipe = planned("txt2img", "a frog", "--seed", "4")
    if "<" in prompt:  # as old pictures may have it
        recipe = replace(recipe, emphasis="none")
        assert remaking(replace(recipe, prompt=prompt)).stdin is not None
        return
    recipe = replace(recipe, prompt=prompt)
    command = remaking(recipe)
    assert planned(*command.arguments, stdin=command.stdin) == recipe


def test_what_the_user_has_set_otherwise_is_told() -> None:
    recipe = planned("txt2img", "a frog", "--seed", "4")
    assert "--eta" not in str(remaking(recipe))
    assert "--eta=0" in str(remaking(recipe, standing={"eta"}))


def test_sdxls_pairs(tiny_sdxl_model: Path) -> None:
    recipe = planned(
        *("txt2img", "a frog", "--seed", "4", "-m", str(tiny_sdxl_model), "--prompt-2", "two"),
        *("--negative-prompt", "x", "--negative-prompt-2", "y", "--original-size", "90x80"),
        *("--crop-top-left", "1,2", "--target-size", "70x60", "--guidance-scale", "3"),
    )
    assert planned(*remaking(recipe).arguments) == recipe


@pytest.mark.parametrize(
    "asked",
    [["a 'frog'", "--steps", "5"], ["-", "--steps", "3"]],
    ids=["flags", "json"],
)
def test_a_shell_makes_the_same_picture(
    asked: list[str],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    nursery: Nursery,
) -> None:
    """With what the page shows, pasted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDLOOP_MODEL", "mini")
    Command("txt2img").run(*asked, "-m", str(tiny_model), "--seed", "4", "-o", "a.png", stdin="-")
    recipe = read_record(Path("a.png")).recipe
    assert recipe is not None
    shell = f'sdloop() {{ {shlex.join(nursery.command)} "$@" -o b.png; }}\n{remaking(recipe)}\n'
    done = subprocess.run(["sh", "-euc", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert pixels("a.png") == pixels("b.png")


def test_larger_is_a_second_stage_or_an_enlargement() -> None:
    recipe = planned("txt2img", "a frog", "--seed", "4")
    command = larger(recipe, "out/4.png", "out/{4}-x2.png")
    made = planned(*command.arguments)
    assert (made.hires, made.prompt, made.seed) == (2, "a frog", 4)
    assert "--output=out/{{4}}-x2.png" in command.arguments
    dashed = larger(replace(recipe, prompt="-x"), "out/4.png", "out/4-x2.png")
    assert planned(*dashed.arguments).prompt == "-x"
    command = larger(made, PARK, "x2.png")
    assert planned(*command.arguments, "a frog").factor == 2
