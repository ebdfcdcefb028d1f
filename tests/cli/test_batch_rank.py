"""batch --rank: all finished pictures of a plan, best first."""

import json
from pathlib import Path

import pytest
from helpers.commands import Command, work_in

BATCH = Command("batch")
PLAN = ["a red frog", "--seed", "1..4", "--outdir", "out"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


def test_the_best_are_printed_first_and_of_what_was_there_too(place: Path) -> None:
    there = BATCH.make(*PLAN[:2], "1..2", *PLAN[3:])
    lines = [json.loads(line) for line in BATCH.make(*PLAN, "--rank", "clip", "--json")]
    scores = [line["score"] for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
    assert {line["path"] for line in lines} == {*map(str, Path("out").glob("*.png"))} > {*there}
    assert {line["words"] for line in lines} == {"a red frog"}
    best = BATCH.make(*PLAN, "--rank", "clip", "--top", "2", "--rank-prompt", "a red frog")
    assert best == [line["path"] for line in lines[:2]]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--top", "2"], "top needs --rank clip"),
        (["--rank", "beauty"], "rank must be one of clip, got 'beauty'"),
        (["--rank", "clip", "--top", "0"], "top must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused(place: Path, flags: list[str], complaint: str) -> None:
    assert complaint in BATCH.refused(*PLAN, *flags)
