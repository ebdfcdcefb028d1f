"""The plans of ``sdloop batch``: printed with ``--dry-run``, run, and refused if invalid."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, work_in
from helpers.forked import Nursery
from PIL import Image

from sdloop.recipe.recipe import FIELDS

BATCH = Command("batch")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


def told(plan: list[dict[str, Any]], *fields: str) -> list[tuple[Any, ...]]:
    return [tuple(line[field] for field in fields) for line in plan]


def test_a_line_is_a_recipe_with_its_key_its_file_its_tokens_and_its_steps(place: Path) -> None:
    (line,) = BATCH.plan("a red frog", "--seed", "4", "--hires", "2", "--strength", "0.5")
    added = {name: line[name] for name in line if name not in FIELDS}
    assert set(added) == {"output", "key", "tokens", "steps_run"}
    assert added["output"] == "a-red-frog-4.png"
    assert (added["tokens"] > 0, added["steps_run"]) == (True, 25 + 12)
    assert len(added["key"]) == 64


def test_axes_are_crossed_and_told_in_the_names(place: Path) -> None:
    plan = BATCH.plan(
        *("a frog", "--seed", "1..2", "--outdir", "out"),
        *("--sweep", "guidance_scale=3,7.5", "--sweep", "scheduler=euler,dpmpp-2m"),
    )
    assert told(plan, "guidance_scale", "scheduler", "seed", "output") == [
        (scale, name, seed, f"out/a-frog-{seed}-{scale:g}-{name}.png")
        for scale in (3, 7.5)
        for name in ("euler", "dpmpp-2m")
        for seed in (1, 2)
    ]


def test_zip_pairs_them(place: Path) -> None:
    plan = BATCH.plan("a", "--zip", "--sweep", "seed=4,5", "--sweep", "steps=2,3")
    assert told(plan, "seed", "steps") == [(4, 2), (5, 3)]


def test_swept_seeds_are_seeds(place: Path) -> None:
    plan = BATCH.plan("{a|b}", "--sweep", "seed=4,5", "--sweep", "steps=2,3")
    assert told(plan, "steps", "prompt", "seed") == [
        (steps, text, seed) for steps in (2, 3) for text in "ab" for seed in (4, 5)
    ]


def test_several_prompts_files_and_variants(place: Path) -> None:
    Path("words").mkdir()
    Path("words/animals.txt").write_text("frog\ncat\n")
    plan = BATCH.plan("{red|blue} __animals__", "a house", "--seed", "4", "--wildcards", "words")
    texts = ["red frog", "red cat", "blue frog", "blue cat", "a house"]
    assert told(plan, "prompt") == [(text,) for text in texts]


def test_random_picks_are_the_same_each_time_and_one_a_seed(place: Path) -> None:
    command = ("a {red|blue|green} {frog|cat}", "--seed", "1..20", "--pick", "random")
    plan = BATCH.plan(*command)
    assert BATCH.plan(*command) == plan
    assert len(plan) == 20
    assert 3 < len(set(told(plan, "prompt"))) <= 6
    assert BATCH.plan(*command[:2], "3", *command[3:]) == [plan[2]]


def test_pictures_are_an_axis_too(place: Path) -> None:
    for name in ("one", "two"):
        Image.new("RGB", (32, 32), "red").save(f"{name}.png")
    plan = BATCH.plan("a", "-i", "one.png", "-i", "two.png", "--sweep", "strength=0.2,0.5")
    assert told(plan, "image", "strength") == [
        (f"{name}.png", strength) for name in ("one", "two") for strength in (0.2, 0.5)
    ]
    assert len({line["output"] for line in plan}) == 4
    (line,) = BATCH.plan("a", "-i", "one.png", "--seed", "4", "--mask", "two.png")
    assert (line["image"], line["mask"], line["strength"]) == ("one.png", "two.png", 1.0)
    plan = BATCH.plan("a", "--sweep", "image=one.png,two.png", "--sweep", "right=32", "--seed", "1")
    assert told(plan, "image", "right", "width") == [*(("one.png", 32, 64), ("two.png", 32, 64))]


def test_a_sweep_can_bring_the_prompts(place: Path) -> None:
    plan = BATCH.plan("--sweep", r"prompt=a\, b,{c|d}", "--seed", "4")
    assert told(plan, "prompt") == [("a, b",), ("c",), ("d",)]


def test_each_prompt_takes_the_words_that_are_in_it(place: Path) -> None:
    plan = BATCH.plan("a {frog|cat}", "--seed", "4", "--replace-token", "frog=cat", "-m", "mini")
    assert [line.get("replace_tokens") for line in plan] == [["frog=cat"], None]
    assert "must be used in a prompt" in BATCH.refused(
        "a cat", "--replace-token", "frog=cat", "-m", "mini"
    )


def test_a_plan_goes_through_again_unchanged(place: Path) -> None:
    command = (
        *("a {red|blue} [frog|cat] \\{x\\}", "--seed", "1..3", "--steps", "4"),
        *("--sweep", "guidance_scale=2,3", "-o", "out/{prompt:.9}/{seed}.{guidance_scale}.png"),
    )
    lines = BATCH.run(*command, "--dry-run", "-q").stdout
    assert lines.count("\n") == 12
    again = BATCH.run("--from-file", "-", "--dry-run", "-q", stdin=lines)
    assert again.stdout == lines
    # Nor do the settings of whoever takes it back change anything.
    Path("other.toml").write_text('clip_skip = 2\nscheduler = "ddim"\n')
    config = ("--config", "other.toml")
    assert BATCH.run("--from-file", "-", "--dry-run", *config, stdin=lines).stdout == lines
    # Twice the same plan is that plan.
    twice = BATCH.run("--from-file", "-", "--dry-run", stdin=lines + lines)
    assert twice.stdout == lines
    assert "12 pictures were planned more than once: each is made only once" in twice.stderr


def test_other_commands_take_the_lines_too(place: Path) -> None:
    plan = BATCH.plan("a {red|blue} frog", "--seed", "4", "--steps", "2")
    lines = "\n".join(map(json.dumps, plan))
    again = Command("txt2img").plan("--from-file", "-", stdin=lines)
    assert told(again, "prompt", "output") == told(plan, "prompt", "output")


def test_a_plan_through_grep_makes_the_same_files(place: Path, nursery: Nursery) -> None:
    """In real processes, with a real pipe."""
    plan = 'batch "a {red|blue} frog" --seed 1..2 --steps 2 --sweep guidance_scale=2,3 --outdir'
    blue = f"{sys.executable} -m sdloop {plan} piped --dry-run | grep blue"
    with subprocess.Popen(blue, shell=True, stdout=subprocess.PIPE) as planning:
        assert planning.stdout is not None
        made = nursery.sdloop("batch", "--from-file", "-", stdin=planning.stdout.fileno())
    assert made.returncode == 0, made.stderr
    names = made.stdout.splitlines()
    assert len(names) == 4
    assert all(name.startswith("piped/a-blue-frog-") for name in names)
    directly = BATCH.run(
        *("a {red|blue} frog", "--seed", "1..2", "--steps", "2", "--outdir", "directly"),
        *("--sweep", "guidance_scale=2,3"),
    )
    assert directly.exit_code == 0
    for name in names:
        assert Path(name).read_bytes() == Path(name.replace("piped", "directly")).read_bytes()
    # And what the first command makes is there already.
    both = BATCH.run(
        *("a blue frog", "--seed", "1..2", "--steps", "2", "--outdir", "piped"),
        *("--sweep", "guidance_scale=2,3"),
    )
    assert (both.exit_code, both.stdout) == (0, "")


def test_planning_brings_no_torch(place: Path) -> None:
    code = (
        "import sys; from sdloop.cli import app\n"
        "try: app(['batch', '{a|b}', '--seed', '1..4', '--sweep', 'steps=2,3', '--dry-run'])\n"
        "finally: print([m for m in ('torch', 'diffusers') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.count("\n") == 16
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_plan_begins_before_its_prompts_end(place: Path) -> None:
    """Of a plan of a million pictures somebody may want to see the first."""
    command = "batch {a|b} --seed 0..999999999 --sweep guidance_scale=1..9..0.001 --dry-run"
    process = subprocess.Popen(
        [sys.executable, "-m", "sdloop", *command.split()], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = [json.loads(process.stdout.readline())["seed"] for _ in range(3)]
    process.stdout.close()
    assert first == [0, 1, 2]
    assert process.wait(60) == 141


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ((), "prompt must be given"),
        (("a", "--from-file", "x"), "prompt must come from one place"),
        (("-", "-"), "only one input can be"),
        (("a", "--sweep", "steps=0"), "steps must be at least 1, got 0"),
        (("a", "--sweep", "stepps=1"), "did you mean 'steps'"),
        (("a", "--sweep", "steps=1,2", "--steps", "3"), "steps is swept, and given as 3 too"),
        (("a", "--sweep", "seed=1,2", "--seed", "3"), "seed is swept, and given as '3' too"),
        (("a", "--sweep", "steps=1", "--sweep", "steps=2"), "steps must be swept once"),
        (("a", "--zip"), "zip needs --sweep"),
        (("a", "--zip", "--sweep", "steps=1,2", "--sweep", "eta=0"), "equal length"),
        (("a", "--sweep", "eta=0,0.5"), "eta has no effect with the scheduler"),
        (("a", "--sweep", "width=32,33"), "width must be a multiple"),
        (("a", "--pick", "some"), "pick must be one of all, random"),
        (("a", "--pick", "random"), "pick needs a prompt with variants"),
        (("a", "--wildcards", "."), "wildcards must be used in a prompt"),
        (("a", "--preview"), "save_steps and preview are not for batch"),
        (("a", "--count", "2", "--seed", "4294967295"), "seed must be at most 4294967294"),
        (("a", "--count", "2", "--seed", "1,2"), "count needs a single seed"),
        (("a", "--seed", "x"), "seed must be a whole number"),
        (("a", "b", "--seed", "1", "-o", "x.png"), "does not contain prompt"),
        (("{a|b}", "--seed", "1", "-o", "{seed}.png"), "does not contain prompt"),
        (("a", "--seed", "1,2", "-o", "{prompt}.png"), "does not contain seed"),
        (("a", "--sweep", "steps=1,2", "-o", "{seed}.png"), "does not contain steps"),
        (("a", "--seed", "1", "-o", "{sed}.png"), "unknown {sed}"),
    ],
)
def test_what_is_refused_before_anything_is_made(
    place: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    assert complaint in BATCH.refused(*arguments)


@pytest.mark.parametrize(
    "arguments, complaint, caret",
    [
        (("a {red|blue", "--seed", "1"), "prompt: a { is never closed", "  a {red|blue\n    ^"),
        (("__x__", "--seed", "1"), "prompt: __x__ needs --wildcards", "  __x__\n  ^"),
        (("a", "-n", "b}", "--seed", "1"), "negative_prompt: a } has", "  b}\n   ^"),
    ],
)
def test_variants_that_cannot_be_read_show_the_place(
    place: Path, arguments: tuple[str, ...], complaint: str, caret: str
) -> None:
    result = BATCH.run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"sdloop: error: {complaint}")
    assert caret in result.stderr
    assert not list(place.iterdir())


def test_a_name_that_tells_a_setting_by_another_is_fine(place: Path) -> None:
    sweep = ("--sweep", "scheduler=DPM++ 2M Karras,DPM++ 2M")
    plan = BATCH.plan("a", *sweep, "--seed", "1", "-o", "{sigmas}.png")
    assert told(plan, "output") == [("karras.png",), ("uniform.png",)]


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"key": "0" * 64}, "standard input, line 1: key does not match these settings"),
        ({"steps": 9}, "line 1: key does not match these settings"),
        ({"key": 3}, "line 1: key must be 64 hex digits"),
        ({"tokens": "many"}, "line 1: tokens must be a whole number"),
        ({"output": "/x.png"}, "line 1: output must be in"),
        ({"output": "../x.png"}, "line 1: a file name must stay inside"),
        ({"cheese": 1}, "line 1: it has an unknown key 'cheese'"),
    ],
)
def test_lines_of_a_plan_that_are_refused(
    place: Path, change: dict[str, Any], complaint: str
) -> None:
    (line,) = BATCH.plan("a", "--seed", "4")
    again = BATCH.refused("--from-file", "-", stdin=json.dumps(line | change))
    assert complaint in again


def test_what_would_change_a_final_line_is_refused(place: Path) -> None:
    (line,) = BATCH.plan("a", "--seed", "4")
    for flags in (("--steps", "3"), ("--sweep", "steps=1,2")):
        refused = BATCH.refused("--from-file", "-", *flags, stdin=json.dumps(line))
        assert "line 1: steps cannot be used with a line that has a key" in refused
    del line["key"]
    (again,) = BATCH.plan("--from-file", "-", "--outdir", "x", stdin=json.dumps(line))
    assert again["output"] == "x/a-4.png"


def test_errors_further_down_name_their_line(place: Path) -> None:
    Path("prompts.txt").write_text("a\nb --s 0\n")
    assert "prompts.txt, line 2: steps must be" in BATCH.refused("--from-file", "prompts.txt")
    Path("prompts.txt").write_text("a\n{b\n")
    result = BATCH.run("--from-file", "prompts.txt")
    assert "prompts.txt, line 2: prompt: a { is never closed" in result.stderr
    assert BATCH.run("--from-file", "none.txt").exit_code == 3
    Path("prompts.txt").write_bytes(b"a\n# b \xff\n")
    assert "byte 6 is invalid" in BATCH.run("--from-file", "prompts.txt").stderr
    Path("prompts.txt").write_text("# nothing\n")
    assert "holds no prompt" in BATCH.run("--from-file", "prompts.txt").stderr
