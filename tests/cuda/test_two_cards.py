"""A process on the second of two cards makes it the current one before it asks torch anything.

torch answers some questions about the current card alone: so the answer would be the first card's,
and the question alone would take 500 MB there.
"""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from sdloop.batch.command_settings import CommandSettings
from sdloop.cli.make import model
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.load import load_components
from sdloop.pipeline.memory import memory_for
from sdloop.recipe.recipe import Recipe

FOUND = find_checkpoint("mini")
RECIPES = [Recipe(prompt="a cat", seed=7, steps=1, width=64, height=64)]


class Asked(Exception):
    """The first question; it names the card that would answer."""


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    cards = SimpleNamespace(current=torch.device("cuda:0"))

    def ask(*_: object, **__: object) -> None:
        raise Asked(str(cards.current))

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda one: setattr(cards, "current", one))
    for name in ("is_bf16_supported", "current_device", "memory_reserved", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, ask)
    return cards


def _command(memory: str) -> None:
    model.loaded(FOUND, CommandSettings(device="cuda:1", memory=memory), RECIPES)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda: load_components("mini", device="cuda:1"), id="loading"),
        pytest.param(
            lambda: memory_for(FOUND, RECIPES, device="cuda:1", dtype="auto", memory="auto"),
            id="choosing",
        ),
        pytest.param(lambda: _command("auto"), id="a command that chooses"),
        pytest.param(lambda: _command("low"), id="a command"),
    ],
)
def test_it_asks_only_its_own(cards: SimpleNamespace, start: Callable[[], object]) -> None:
    with pytest.raises(Asked, match="cuda:1"):
        start()


def test_a_precision_alone_would_ask_the_first(cards: SimpleNamespace) -> None:
    """So the test above can fail."""
    from sdloop.models.components.device import pick_dtype

    with pytest.raises(Asked, match="cuda:0"):
        pick_dtype("auto", torch.device("cuda:1"))
