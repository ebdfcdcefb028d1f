"""The README is correct: its loop, folder tree, Python code and two installation commands.

``test_docs.py`` tests its other commands and its links, together with all pages.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler

import sdloop

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS_LOOP = (ROOT / "docs" / "loop.md").read_text(encoding="utf-8")


def block(language: str, having: str, page: str = README) -> str:
    """The one code block of a language that has these words in it."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (found,) = [one for one in blocks if having in one]
    return found


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 160


def test_there_are_two_installing_commands_and_ci_runs_them() -> None:
    installing = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(installing) == 2
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command, ending in zip(installing, ("sdloop txt2img", "pytest"), strict=True):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints")
        assert ending in command
        assert ending in script


@torch.no_grad()
def test_the_loop_is_the_loop() -> None:
    """Its twelve lines end with the very latents of sdloop's own loop, and with its pixels."""
    code = block("python", "for t in scheduler.timesteps")
    assert len(code.splitlines()) == 12
    components = sdloop.load_components()
    recipe = sdloop.Recipe(prompt="a red frog in a park", seed=4, steps=4, guidance_scale=3.0)
    (picture,) = sdloop.generate(components, recipe)
    scheduler = EulerDiscreteScheduler.from_config(components.scheduler_config)
    scheduler.set_timesteps(recipe.steps)
    generator = torch.Generator().manual_seed(recipe.seed)
    noise = torch.randn((1, *picture.latents.shape), generator=generator)
    names: dict[str, Any] = {
        "torch": torch,
        "unet": components.unet,
        "vae": components.vae,
        "scheduler": scheduler,
        "latents": noise * scheduler.init_noise_sigma,
        "prompt_embeds": prompt_embeds(components, recipe.prompt),
        "guidance_scale": recipe.guidance_scale,
    }
    exec(compile(code, "README.md", "exec"), names)
    assert torch.equal(names["latents"][0], picture.latents)
    pixels = (names["image"][0] / 2 + 0.5).clamp(0, 1).mul(255).round()
    red, green, blue = pixels.to(torch.uint8)
    assert picture.image.tobytes() == torch.stack([red, green, blue], dim=-1).numpy().tobytes()


def prompt_embeds(components: Any, prompt: str) -> torch.Tensor:
    """What the text encoder makes of no prompt, and of this one."""
    tokens = components.tokenizer(
        ["", prompt], padding="max_length", max_length=77, return_tensors="pt"
    )
    return components.text_encoder(tokens.input_ids)[0]


def test_the_docs_show_the_same_loop() -> None:
    def bare(code: str) -> list[str]:
        lines = [line.strip() for line in code.splitlines() if line.strip()]
        return [line for line in lines if not line.startswith("#")]

    shown = block("python", "for t in scheduler.timesteps")
    assert bare(shown)[:-1] == bare(block("python", "for t in", DOCS_LOOP))


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block("python", "import sdloop"), "README.md", "exec"), {})
    assert (tmp_path / "frogs.png").is_file()


def test_the_tree_names_every_room() -> None:
    tree = block("text", "sdloop/\n")
    named = re.findall(r"^  ([\w/.]+)", tree, flags=re.MULTILINE)
    house = [p for p in (ROOT / "sdloop").iterdir() if not p.name.startswith("__")]
    there = [f"{path.name}/" if path.is_dir() else path.name for path in house]
    assert sorted(named) == sorted(there)
