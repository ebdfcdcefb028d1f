"""The samplers of examples/samplers: their order of accuracy, and equality with diffusers."""

import re
from pathlib import Path

import pytest
from helpers.forked import Nursery
from PIL import Image

SAMPLERS = Path(__file__).parents[3] / "examples" / "samplers"
PAGE = Path(__file__).parents[3] / "docs" / "samplers.md"


def run(nursery: Nursery, script: str, *arguments: str) -> str:
    result = nursery.script(SAMPLERS / script, arguments, Path.cwd())
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_their_orders_are_one_two_and_more(nursery: Nursery) -> None:
    printed = run(nursery, "orders.py")
    assert printed in PAGE.read_text(encoding="utf-8")
    rows = {
        line.split()[0]: [float(n) for n in line.split()[1:]] for line in printed.splitlines()[1:]
    }
    for name, order in (("euler", 1), ("heun", 2)):
        *errors, told = rows[name]
        assert told == pytest.approx(order, abs=0.05)
        assert errors[-2] / errors[-1] == pytest.approx(2**order, rel=0.05)
    assert rows["lms"][-1] > 3.5
    assert rows["lms"][-2] < rows["heun"][-2] / 10


@pytest.mark.slow
def test_their_pictures_are_diffusers_own(nursery: Nursery, tmp_path: Path) -> None:
    pytest.importorskip("scipy", reason="pip install 'sdloop[schedulers]'")
    file = tmp_path / "frogs.png"
    printed = run(nursery, "picture.py", "a green frog in a park", str(file))
    apart = dict(re.findall(r"(\w+): (\S+) apart from diffusers'", printed))
    assert set(apart) == {"euler", "heun", "lms"}
    assert max(map(float, apart.values())) < 1e-5
    assert Image.open(file).size == (192, 64)


def test_each_is_ten_lines() -> None:
    text = (SAMPLERS / "by_hand.py").read_text(encoding="utf-8")
    for function in text.split("\ndef ")[1:]:
        lines = [line for line in function.splitlines() if line.strip()]
        assert len(lines) <= 12  # with its signature and docstring
