"""Help pages, and the errors for invalid command lines."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from sdloop.cli import app
from sdloop.cli.terminal.commands import LazyGroup, first_line

SCREEN = 45  # lines


def run(*arguments: str, columns: int = 100) -> Result:
    return CliRunner().invoke(app, [*arguments], env={"COLUMNS": str(columns)})


def all_commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every group and command, with the words that call it."""
    yield path, group
    context = typer.Context(group)
    for name in group.list_commands(context) if hasattr(group, "list_commands") else ():
        yield from all_commands(group.get_command(context, name), *path, name)


COMMANDS = dict(all_commands(typer.main.get_command(app)))
PATHS = [pytest.param(path, id=" ".join(path) or "sdloop") for path in COMMANDS]


def flags_of(command: Any) -> list[str]:
    options = [param for param in command.params if param.param_type_name == "option"]
    return [flag for param in options if not param.hidden for flag in param.opts]


def flags_on(page: str) -> set[str]:
    """The flags that have a row of their own."""
    rows = re.findall(r"^  ((?:-\w, )?--?[^ ]+.*)$", page, re.MULTILINE)
    return {flag for row in rows for flag in re.findall(r"(?:^|, )(--?[\w-]+)", row.split("  ")[0])}


@pytest.mark.parametrize("path", PATHS)
def test_a_lazy_command_has_the_line_of_its_own_docstring(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    if isinstance(command, LazyGroup):
        lines = {name: line for part in command.sections.values() for name, line in part.items()}
        own = {name: first_line(COMMANDS[(*path, name)].help) for name in lines}
        assert own == lines


@pytest.mark.parametrize("path", PATHS)
def test_help_fits_on_a_screen(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) <= SCREEN
    assert len(flags_on(result.stdout)) <= 35  # -o and --output are two
    assert not re.search(r"\[/?(bold|dim)\]|\\\\\[", result.stdout)
    cut = [line for line in result.stdout.splitlines() if line.endswith(" …")]
    assert cut == [], "the first sentence of a help text fits in a line"


@pytest.mark.parametrize("path", PATHS)
def test_help_all_names_every_flag(path: tuple[str, ...]) -> None:
    short, whole = run(*path, "--help").stdout, run(*path, "--help-all").stdout
    assert flags_on(whole) == set(flags_of(COMMANDS[path]))
    shown = [line for line in short.splitlines() if "more flags" in line]
    assert flags_on(short) <= flags_on(whole)
    if not shown:
        assert short == whole or "More about each flag" in short
    else:
        assert re.fullmatch(rf"\d+ more flags: {' '.join(['sdloop', *path])} --help-all", shown[0])
        assert "more flags" not in whole


def test_the_count_of_the_flags_that_are_left_out_is_right() -> None:
    params = [param for param in COMMANDS[("txt2img",)].params if not param.hidden]
    options = [param for param in params if param.param_type_name == "option"]
    page = run("txt2img", "--help").stdout
    (count,) = re.findall(r"^(\d+) more flags", page, re.MULTILINE)
    left_out = [param for param in options if not set(param.opts) & flags_on(page)]
    assert int(count) == len(left_out) > 30


@pytest.mark.parametrize("words", [("txt2img",), ("batch",), ("inspect", "steps")])
def test_examples_are_printed_as_they_are_typed(words: tuple[str, ...]) -> None:
    page = run(*words, "--help", columns=60).stdout
    example = COMMANDS[words].help.partition("Examples:\n")[2].splitlines()[0].strip()
    assert f"\n  {example}\n" in page


@pytest.mark.parametrize(
    "words, meant",
    [
        (["a frog"], "sdloop has no command 'a frog': did you mean: sdloop txt2img \"a frog\"?"),
        (["frog", "--seed", "4"], "did you mean: sdloop txt2img frog --seed 4?"),
        (["a $1 frog"], "did you mean: sdloop txt2img 'a $1 frog'?"),
        (["txt2imgg", "x"], "did you mean: sdloop txt2img x?"),
        (["txt2image", "a frog"], 'did you mean: sdloop txt2img "a frog"?'),
        (["img2mg", "a.png", "x"], "did you mean: sdloop img2img a.png x?"),
        (["generate", "x"], "sdloop --help lists all commands"),
        (["inspect", "stpes", "x"], "did you mean: sdloop inspect steps x?"),
        (["config", "unste", "model"], "did you mean: sdloop config unset model?"),
        (["txt2img", "x", "--stpes", "4"], "has no flag --stpes: did you mean --steps?"),
        (["txt2img", "x", "--frobnicate"], "sdloop txt2img --help-all lists all flags"),
        (["txt2img", "x", "--steps"], "--steps needs a value (see sdloop txt2img --help)"),
        (["txt2img", "x", "--steps", "a"], "--steps must be a whole number"),
        (
            ["txt2img", "a", "red", "frog"],
            "'red frog' is too much here: put a text of several",
        ),
        (["--seed", "4", "a frog"], "flags follow a command, as in: sdloop txt2img"),
        (["--versoin"], "did you mean --version?"),
    ],
)
def test_a_mistake_is_answered_with_what_was_meant(words: list[str], meant: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("sdloop: error: ")
    assert meant in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("words", [[], ["inspect"], ["worker"]])
def test_a_group_alone_prints_its_help(words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == run(*words, "--help").stdout


def imported_by(*calls: Sequence[str]) -> list[set[str]]:
    """The modules that are there after each of these calls, in one process of their own."""
    code = f"""
import json, sys
from sdloop.__main__ import main
for call in {[list(call) for call in calls]}:
    sys.argv = ["sdloop", *call]
    try: main()
    except SystemExit: pass
    print(json.dumps(list(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(json.loads(line)) for line in done.stderr.splitlines() if line.startswith("[")]


def test_completing_a_command_imports_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SDLOOP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "sdloop t")
    monkeypatch.setenv("COMP_CWORD", "1")
    (found,) = imported_by(())
    assert not found & {"sdloop.cli.txt2img", "sdloop.cli.tokens"}


@pytest.mark.parametrize("path", PATHS)
def test_help_texts_are_whole_sentences(path: tuple[str, ...]) -> None:
    params = [param for param in COMMANDS[path].params if not param.hidden]
    for param in params:
        text = re.sub(r" \[default: .*\]$", "", param.help)
        assert text[0].isupper() or not text[0].isalpha(), text
        assert text.endswith((".", "…", "?")), text


SLOW = {"rich", "pydantic", "PIL", "torch", "numpy", "logging", "tempfile", "sqlite3"}


def test_the_list_of_commands_imports_none_of_them() -> None:
    (found,) = imported_by(["--help"])
    ours = {name for name in found if name.startswith("sdloop.")}
    assert {name.partition(".")[0] for name in found} & SLOW == set()
    assert not {name for name in ours if not name.startswith(("sdloop.cli", "sdloop.worker"))} - {
        "sdloop.errors",
        "sdloop.__main__",
    }
    assert not [name for name in ours if name.startswith(("sdloop.cli.make", "sdloop.cli.options"))]
    assert "sdloop.cli.txt2img" not in ours


def test_the_help_of_a_command_needs_neither_the_recipe_nor_files() -> None:
    calls = [(*path, "--help") for path in COMMANDS]
    work = {"sdloop.recipe.recipe", "sdloop.metadata.record", "sdloop.batch.settings"}
    for call, found in zip(calls, imported_by(*calls), strict=True):
        slow = {name for name in found if name.partition(".")[0] in SLOW or name in work}
        slow |= {name for name in found if name.startswith("sdloop.cli.make.")}
        assert slow == set(), f"sdloop {' '.join(call)} imports what only its work needs"
