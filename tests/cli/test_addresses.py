"""Addresses where only a path can be, and addresses of an unknown kind, are refused.

No folder "s3:" is created.
"""

from pathlib import Path

import pytest
from helpers.commands import Command, work_in
from PIL import Image

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.settings import read_settings
from sdloop.errors import SettingError
from sdloop.metadata.atomic import check_writable, write_whole
from sdloop.metadata.names import expand_name
from sdloop.recipe.recipe import Recipe

RULE = "{} must be a path on this computer, got {!r}"
ADDRESS = "an address must begin with file://, s3://, gs://, az://, got {!r}"
S3 = "s3://bucket/x"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


@pytest.mark.parametrize("value", ["https://a.b/c", "file://host/x", "S3+a.b-c://x"])
@pytest.mark.parametrize("flag", ["--outdir", "--output"])
def test_outdir_and_output_of_pictures(flag: str, value: str) -> None:
    message = Command("txt2img").refused("a frog", "--seed", "4", flag, value)
    assert message == ADDRESS.format(value)


@pytest.mark.parametrize(
    ("command", "arguments", "field"),
    [
        ("animate", ["a.png", "a frog", "--seed", "4", "--save-frames", S3], "save_frames"),
        ("txt2img", ["a frog", "--seed", "4", "--save-steps", S3], "save_steps"),
        ("sheet", ["a.png", "-o", f"{S3}.png"], "output"),
        ("inspect", ["noise", "a frog", "--seed", "4", "-o", f"{S3}.png"], "output"),
        ("inspect", ["schedule", "-o", f"{S3}.svg"], "output"),
        ("pick", [".", "--export", S3], "export"),
        (
            "train-embedding",
            ["a.png", "--token", "<a>", "--init", "a", "-o", f"{S3}.safetensors"],
            "output",
        ),
    ],
)
def test_every_other_place_for_a_name(command: str, arguments: list[str], field: str) -> None:
    image = Image.new("RGB", (32, 32))
    image.save("a.png")
    image.save("a.gif", save_all=True, append_images=[Image.new("RGB", (32, 32), "red")])
    message = Command(command).refused(*arguments)
    value = next(argument for argument in arguments if argument.startswith(S3))
    assert message.endswith(RULE.format(field, value))


def test_a_settings_file(folder: Path) -> None:
    Path("s.toml").write_text('[command]\noutdir = "ftp://x/y"\n')
    message = Command("txt2img").refused("a frog", "--seed", "4", "--config", "s.toml")
    assert message == f"s.toml: {ADDRESS.format('ftp://x/y')}"
    with pytest.raises(SettingError, match="an address must begin with"):
        read_settings("s.toml")


def test_a_name_in_a_prompt_file() -> None:
    message = Command("txt2img").refused(
        *("--from-file", "-", "--seed", "4"), stdin=f"a frog --f {S3}.png\n"
    )
    assert message.endswith(RULE.format("output", f"{S3}.png"))


@pytest.mark.parametrize("field", ["output", "outdir"])
def test_from_python(field: str) -> None:
    with pytest.raises(SettingError, match=r"^an address must begin with"):
        CommandSettings(**{field: "ftp://x/y"})


def test_a_path_has_lost_a_slash_and_is_refused_all_the_same(folder: Path) -> None:
    for refuse in (check_writable, lambda path: write_whole(path, b"x")):
        with pytest.raises(SettingError, match=r"^path must be a path on this computer"):
            refuse(Path("s3://bucket/x.png"))
    assert list(folder.iterdir()) == []


def test_names_with_colons_are_names(folder: Path) -> None:
    """Of a folder's name with a colon at its end the first use is not ours."""
    (folder / "s3:").mkdir()
    assert write_whole(Path("s3:/x.png"), b"x").is_file()
    assert write_whole(Path("12:30.png"), b"x").is_file()
    assert expand_name("a/b:/{seed}.png", Recipe(prompt="a", seed=4)) == "a/b:/4.png"
    assert write_whole(folder / "b:" / "x.png", b"x").is_file()
