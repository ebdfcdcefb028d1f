"""Prompt files: plain, kohya's, JSON."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.batch.prompt_file import parse_line, read_prompts, stream_prompts
from sdloop.errors import FileError, SettingError


def write(folder: Path, data: str | bytes) -> str:
    path = folder / "prompts.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def test_comments_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    name = write(tmp_path, "# one\n\n  \na cat\n  # two\n  a dog \n")
    prompts = read_prompts(name)
    assert [prompt.settings for prompt in prompts] == [{"prompt": "a cat"}, {"prompt": "a dog"}]
    assert [prompt.where for prompt in prompts] == [f"{name}, line 4", f"{name}, line 6"]


def test_kohya_options() -> None:
    line = "a cat --n ugly, 東京 --w 512 --H 768 --s 30 --d 7 --l 6.5 --t 0.6 --f cat.png"
    assert parse_line(line) == {
        "prompt": "a cat",
        "negative_prompt": "ugly, 東京",
        "width": 512,
        "height": 768,
        "steps": 30,
        "seed": 7,
        "guidance_scale": 6.5,
        "strength": 0.6,
        "output": "cat.png",
    }


@pytest.mark.parametrize(
    "prompt", ["fields -- and a river", "a --- b", "well-known", "x--y", "🐎 -- 東京", "--"]
)
def test_dashes_that_are_no_option_stay_in_the_prompt(prompt: str) -> None:
    assert parse_line(prompt) == {"prompt": prompt}


@pytest.mark.parametrize(
    "line, complaint",
    [
        ("a cat --t some", "strength must be a number, got 'some'"),
        ("a cat --ar 16:9", "unknown option --ar: a line takes --n, --w"),
        ("a cat --s many", "steps must be a whole number, got 'many'"),
        ("a cat --s", "steps must be a whole number, got ''"),
        ("a cat --l high", "guidance_scale must be a number"),
        ("a cat --s 1 --s 2", "--s is given twice"),
    ],
)
def test_options_that_are_refused(line: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        parse_line(line)


def test_a_json_line_takes_the_names_of_a_recipe(tmp_path: Path) -> None:
    values = {"prompt": "a\u2028cat", "seed": 4, "target_size": [64, 64]}
    text = json.dumps({**values, "output": "{seed}.png"}, ensure_ascii=False)
    (prompt,) = read_prompts(write(tmp_path, f"{text}\r\n"))
    assert prompt.settings == values
    assert prompt.output == "{seed}.png"


@pytest.mark.parametrize(
    "line, complaint",
    [
        ('{"prompt": "a cat"', "line 2: it starts with { and is not valid JSON"),
        ('{"prompt": "a cat", "stps": 4}', "unknown key 'stps': did you mean 'steps'"),
        ('{"seed": 4}', "line 2: prompt must be given"),
        ('{"prompt": "a cat", "output": 4}', "output must be text"),
        ('{"' * 9999, "not valid JSON"),
        ('{"a":' * 99999, "not valid JSON"),
    ],
)
def test_json_lines_that_are_refused(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        read_prompts(write(tmp_path, f"a dog\n{line}\n"))


OBJECT = {"prompt": "a [red] {frog", "seed": 5, "target_size": [64, 64]}
ANOTHER = {"prompt": 'a "blue" fish }', "seed": 6}


@pytest.mark.parametrize("indent", [None, 1, 4])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_json_over_several_lines(tmp_path: Path, indent: int | None, ends: str) -> None:
    objects = [json.dumps(one, indent=indent) for one in (OBJECT, ANOTHER)]
    text = "\n".join(["a cat", objects[0], "", "# a comment", objects[1], "{red|blue} dog"])
    name = write(tmp_path, text.replace("\n", ends))
    for prompts in (read_prompts(name), list(stream_prompts(name))):
        assert [one.settings for one in prompts] == [
            {"prompt": "a cat"},
            OBJECT,
            ANOTHER,
            {"prompt": "{red|blue} dog"},
        ]
        assert prompts[1].where.endswith("line 2")


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_of_recipes(tmp_path: Path, indent: int | None) -> None:
    told = {"path": "f.png", "recipe": ANOTHER}
    name = write(tmp_path, json.dumps([OBJECT, told], indent=indent))
    for prompts in (read_prompts(name), list(stream_prompts(name))):
        assert [one.settings for one in prompts] == [OBJECT, ANOTHER]
        assert prompts[1].where.endswith("line 1, item 2")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ('{\n"prompt": "a cat"\n', "line 2: it starts with { and is not valid JSON"),
        ('{\n"prompt": "a cat\n}', "line 2: it starts with { and is not valid JSON"),
        ('{\n"prompt": "a cat"\n} and more', "line 2: .* not valid JSON: Extra data"),
        ('[{"prompt": "a cat"}, 4]', "line 2: item 2 of the array must be a JSON object, got 4"),
        ('[\n{"prompt": "a cat"},\n{"stps": 4}\n]', "line 2, item 2: it has an unknown key 'stps'"),
    ],
)
def test_json_over_lines_that_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        read_prompts(write(tmp_path, f"a dog\n{text}"))


@pytest.mark.parametrize("line", ["[red:blue:0.5] frog", "{red|blue} frog", "[[frog]]", "{frog}"])
def test_prompts_that_begin_with_brackets(tmp_path: Path, line: str) -> None:
    (one, _) = read_prompts(write(tmp_path, f"{line}\na dog"))
    assert one.settings == {"prompt": line}


def test_an_empty_array_holds_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no prompt"):
        read_prompts(write(tmp_path, "[]\n"))


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path: Path) -> None:
    prompts = read_prompts(write(tmp_path, b"\xef\xbb\xbfa cat\r\na dog\r\n"))
    assert [prompt.settings["prompt"] for prompt in prompts] == ["a cat", "a dog"]


@pytest.mark.parametrize(
    "data, complaint",
    [
        (b"\xff\xfea\0c\0a\0t\0", "is not UTF-8 text"),
        ("naïve".encode("latin-1"), "is not UTF-8 text"),
        (b"a\0cat", "it contains a NUL character"),
        (b"# nothing\n\n", "holds no prompt"),
        (b"", "holds no prompt"),
    ],
)
def test_files_that_are_no_prompts(tmp_path: Path, data: bytes, complaint: str) -> None:
    with pytest.raises(FileError, match=complaint):
        read_prompts(write(tmp_path, data))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="No such file"):
        read_prompts(str(tmp_path / "missing.txt"))
    with pytest.raises(FileError, match="Is a directory"):
        read_prompts(str(tmp_path))


@given(st.text(max_size=40))
def test_any_line_is_a_prompt_or_refused(line: str) -> None:
    try:
        settings = parse_line(line)
    except SettingError:
        return
    assert "--" in line or settings == {"prompt": line.strip()}
