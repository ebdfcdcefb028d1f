"""Resolving Recipes with models and files: each only once, in every interface."""

from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in

import sdloop.pipeline.resolve
from sdloop.recipe.recipe import Recipe


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the Recipes that are resolved."""
    seeds: list[int] = []
    resolve = sdloop.pipeline.resolve.resolve

    def counted(recipe: Recipe, *arguments: Any, **options: Any) -> Recipe:
        seeds.append(recipe.seed)
        return resolve(recipe, *arguments, **options)

    monkeypatch.setattr(sdloop.pipeline.resolve, "resolve", counted)
    return seeds


def test_a_command_resolves_once_for_all_seeds(resolved: list[int]) -> None:
    Command("txt2img").make("a cat", "--seed", "4,5", "-o", "{seed}.png")
    assert resolved == [4]


def test_a_batch_resolves_once_for_all_seeds(resolved: list[int]) -> None:
    Command("batch").make("a cat", "--seed", "4..7", "--outdir", "out")
    assert resolved == [4]


def test_verify_resolves_no_more_than_it_must(resolved: list[int]) -> None:
    Command("txt2img").make("a cat", "--seed", "4", "-o", "cat.png")
    resolved.clear()
    result = Command("verify").run("cat.png")
    assert result.exit_code == 0, result.output
    assert len(resolved) <= 2  # to say what cannot be made again, and for the plan
