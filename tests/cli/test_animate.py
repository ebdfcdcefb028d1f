"""sdloop animate with a tiny model: flags, frames and the written file."""

import itertools
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.forked import Nursery
from helpers.tiny import tiny_sd1
from PIL import Image, ImageDraw, ImageSequence
from typer.testing import CliRunner

from sdloop.animation.read import open_frames
from sdloop.animation.write import write_moving
from sdloop.cli import app
from sdloop.images.input.read import InputImage
from sdloop.metadata.picture import read_record
from sdloop.pipeline.animate import Frame, animate
from sdloop.recipe.recipe import Recipe

COUNT = 4


def drawn(index: int) -> Image.Image:
    image = Image.linear_gradient("L").resize((32, 32)).convert("RGB")
    ImageDraw.Draw(image).ellipse((index * 4, 8, index * 4 + 12, 20), (200, 30, 90))
    return image


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Work in a folder with frames in it, with the tiny model as the user's own choice."""
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    (folder / "frames").mkdir()
    for index in range(COUNT):
        drawn(index).save(f"frames/{index + 8}.png")  # 10.png comes after 9.png
    frames = map(drawn, range(COUNT))
    write_moving(Path("roll.gif"), frames, durations=itertools.repeat(0.2))
    return folder


COMMAND = Command("animate", steps=2)
make, refused = COMMAND.make, COMMAND.refused
ASK = ("frames", "a cat", "--seed", "4", "--strength", "0.5")


def frames_of(name: str) -> list[bytes]:
    with Image.open(name) as file:
        return [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(file)]


def told(*arguments: str) -> dict[str, object]:
    steps = () if "--steps" in arguments else ("--steps", "2")
    result = COMMAND.run(*arguments, *steps, "--json")
    assert result.exit_code == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return dict(json.loads(line))


def test_a_frame_is_what_img2img_makes_of_it() -> None:
    assert make(*ASK, "-o", "cat.webp", "--save-frames", "made") == ["cat.webp"]
    CliRunner().invoke(app, ["img2img", *ASK, "--steps", "2", "-o", "{image}.png"])
    plain = [Path(f"{index + 8}.png") for index in range(COUNT)]
    assert frames_of("cat.webp") == [pixels(path) for path in plain]
    for number, path in enumerate(plain, 1):
        made = Path(f"made/{number:04}.png")
        assert pixels(made) == pixels(path)
        assert read_record(made).recipe == read_record(path).recipe
        assert read_record(made).made["key"] == read_record(path).made["key"]


def test_a_file_that_moves_keeps_its_times_and_says_how_it_was_made() -> None:
    line = told("roll.gif", *ASK[1:], "-o", "cat.gif", "--carry", "0.3")
    record = read_record(Path("cat.gif"))
    assert record.recipe is not None
    assert record.recipe.to_dict() == line["recipe"]
    assert (record.recipe.image, record.recipe.seed) == ("roll.gif", 4)
    assert {**record.moving} == line["moving"]
    assert (record.moving["carry"], record.moving["fps"], record.moving["frames"]) == (0.3, 5, 4)
    assert len(set(record.moving["frames_sha256"])) == COUNT
    assert record.made["seconds"] > 0
    assert line["frames"] == COUNT
    with Image.open("cat.gif") as file:
        assert file.info["duration"] == 200
    shown = CliRunner().invoke(app, ["show", "cat.gif"]).stdout
    assert "carry             0.3" in shown
    assert record.moving["frames_sha256"][3] in shown


def test_carry_mixes_the_last_result_in_and_calms_the_flicker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDLOOP_MODEL", "mini")  # random weights amplify whatever they are given
    for index in range(COUNT + 2):
        image = Image.new("RGB", (64, 64), "#dfe8ee")
        box = (14, 20 - index % 3 * 9, 50, 58 - index % 3 * 9)
        ImageDraw.Draw(image).ellipse(box, "#c8a070", "#404040", 2)
        image.save(f"frames/{index + 8}.png")
    flickers = [
        told(
            *ASK[:4], "--strength", "0.4", "--steps", "8", "--carry", carry, "-o", f"{carry}.webp"
        )["flicker"]
        for carry in ("0", "0.6")
    ]
    assert flickers[0] > flickers[1]  # type: ignore[operator]
    first = {frames_of(f"{carry}.webp")[0] for carry in ("0", "0.6")}
    assert len(first) == 1  # nothing comes before it
    assert frames_of("0.webp")[1] != frames_of("0.6.webp")[1]


def test_the_carried_frame_says_what_it_started_from() -> None:
    make(*ASK, "--carry", "0.4", "-o", "cat.webp", "--save-frames", "made")
    recipe = read_record(Path("made/0002.png")).recipe
    assert recipe is not None
    assert recipe.image == "frame 2 of frames with 0.4 of the last result"
    blend = Image.blend(drawn(1), Image.open("made/0001.png").convert("RGB"), 0.4)
    blend.save("blend.png")
    settings = {**recipe.to_dict(), "image": "blend.png"}
    del settings["image_sha256"]
    Path("again.txt").write_text(json.dumps(settings))
    outcome = CliRunner().invoke(app, ["img2img", "--from-file", "again.txt", "-o", "again.png"])
    assert outcome.exit_code == 0, outcome.stderr
    assert pixels("again.png") == pixels("made/0002.png")


@pytest.mark.parametrize("carry", ["0", "0.4"])
def test_what_was_interrupted_is_taken_up(carry: str) -> None:
    ask = (*ASK, "--carry", carry, "--save-frames", "made")
    assert told(*ask, "-o", "whole.webp")["found"] == 0
    for gone in ("0002", "0004"):
        Path(f"made/{gone}.png").unlink()
    assert told(*ask, "-o", "again.webp")["found"] == COUNT - 2
    assert frames_of("again.webp") == frames_of("whole.webp")
    assert told(*ask, "-o", "all.webp")["found"] == COUNT
    assert frames_of("all.webp") == frames_of("whole.webp")
    outcome = COMMAND.run(*ask, "--steps", "3", "-o", "other.webp")
    assert outcome.exit_code == 3
    assert "'made/0001.png' is a frame of another animation" in outcome.stderr
    assert not Path("other.webp").exists()


def test_frames_that_are_there_do_not_wait_for_one_that_is_not() -> None:
    """Each is handed on before the next is read, however many there are."""
    frames = open_frames(sorted(map(str, Path("frames").iterdir())))
    seen = []

    def read() -> Iterator[tuple[str, InputImage]]:
        for index, frame in enumerate(frames.read()):
            seen.append(index)
            yield frame

    events = animate(
        tiny_sd1(),
        replace(frames, read=read),
        Recipe(prompt="a cat", seed=4, steps=2),
        known=lambda index, recipe: drawn(index) if index < COUNT - 1 else None,
    )
    found = []
    for event in events:
        if isinstance(event, Frame):
            found.append(event.picture is None)
            assert seen == list(range(event.index + 1))
    assert found == [True] * (COUNT - 1) + [False]


def test_what_is_told_on_stderr() -> None:
    result = COMMAND.run(*ASK, "--steps", "2", "-o", "cat.gif", "--fps", "25", "--loop", "2")
    assert result.stdout == "cat.gif\n"
    assert "strength 0.5: 1 of 2 steps" in result.stderr
    assert "levels from frame to frame" in result.stderr
    with Image.open("cat.gif") as file:
        assert (file.info["duration"], file.info["loop"]) == (40, 1)


def test_without_a_name_the_file_gets_one_that_is_free() -> None:
    assert make(*ASK) == ["frames-a-cat-4.gif"]
    assert make(*ASK) == ["frames-a-cat-4-2.gif"]


def test_frames_of_several_sizes_need_a_resize() -> None:
    drawn(1).resize((48, 32)).save("frames/9.png")
    reason = "frames must all have one size unless resize is set, got 32x32 and 48x32"
    assert refused(*ASK, "-o", "cat.gif") == reason
    assert told(*ASK, "-o", "cat.gif", "--resize", "crop")["frames"] == COUNT


def test_what_is_refused_before_the_model_is_loaded() -> None:
    Path("empty").mkdir()
    Path("text.gif").write_text("hello")
    Path("cut.gif").write_bytes(Path("roll.gif").read_bytes()[:-50])
    Path("taken.gif").write_text("mine")
    for name, value in (("mask", '"alpha"'), ("left", "8"), ("factor", "2")):
        Path(f"{name}.toml").write_text(f"{name} = {value}\n")
    for arguments, code, reason in (
        (["empty", "a cat"], 3, "the folder 'empty' contains no picture"),
        (["missing.gif", "a cat"], 3, "cannot read 'missing.gif': No such file or directory"),
        (["text.gif", "a cat"], 3, "'text.gif' is not a picture that can be read"),
        (["cut.gif", "a cat"], 3, "'cut.gif' is not a valid picture: it is truncated"),
        (["frames/8.png", "a cat"], 3, "has only one frame: use sdloop img2img"),
        ([*ASK, "-o", "taken.gif"], 3, "'taken.gif' already exists"),
        ([*ASK, "-o", "cat.jpg"], 2, "must end in .gif, .webp, .png, .mp4, got 'cat.jpg'"),
        ([*ASK, "--carry", "1.5"], 2, "carry must be between 0 and 1, got 1.5"),
        ([*ASK, "--fps", "0"], 2, "fps must be between 0.1 and 50, got 0.0"),
        ([*ASK[:3], "1,2"], 2, "seed must be one number, the same for all frames, got '1,2'"),
        (
            [*ASK, "--batch-size", "4"],
            2,
            "batch_size must be 1 for animate, which makes one frame after the other, got 4",
        ),
        ([*ASK, "--config", "mask.toml"], 2, "mask cannot be used for frames, got 'alpha'"),
        ([*ASK[:4], "--config", "left.toml"], 2, "left cannot be used for frames, got 8"),
        ([*ASK, "--carry", "0.3", "--config", "factor.toml"], 2, "carry must be 0 for enlarged"),
        (["frames"], 2, "prompt must be given"),
        ([], 2, "image must name frames"),
    ):
        assert reason in refused(*arguments, code=code)


def test_an_interrupt_leaves_whole_frames_and_no_file(here: Path, nursery: Nursery) -> None:
    flags = ["--steps", "30", "-o", "cat.gif", "--save-frames", "made"]
    run = nursery.open("animate", *ASK, *flags)
    deadline = time.monotonic() + 60
    while not Path("made/0001.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    done = run.end()
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    assert "of 4 frames; no file was written, but the frames are in 'made'" in done.stderr
    assert done.stderr.endswith(": to continue, run the same command with --seed 4\n")
    assert not Path("cat.gif").exists()
    assert not list(Path().rglob("*.part"))
    assert read_record(Path("made/0001.png")).recipe is not None
