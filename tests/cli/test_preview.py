"""--preview: a terminal shows the unfinished picture, and the preview is removed at the end."""

import base64
import fcntl
import io
import os
import pty
import re
import struct
import sys
import tempfile
import termios
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.forked import Nursery
from helpers.tiny import tiny_sd1
from PIL import Image

from sdloop.cli.options.output import OutputOptions
from sdloop.cli.terminal.graphics import (
    Frame,
    draw_for,
    few_half_blocks,
    half_blocks,
    iterm2,
    kitty,
    sixel,
)
from sdloop.cli.terminal.preview import Preview
from sdloop.inspection.steps import LatentColours

FLAGS = ["a cat", "--scheduler", "euler", "--seed", "4", "--steps", "5"]
WIDE = os.terminal_size((100, 30))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


class Terminal:
    """A terminal of 100x30, in which real commands run."""

    def __init__(self, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
        self._nursery = nursery
        for name in ("TMUX", "KITTY_WINDOW_ID", "TERM_PROGRAM", "LC_TERMINAL"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("COLORTERM", "truecolor")

    def run(self, *arguments: str) -> tuple[str, str]:
        """What a command prints on stdout, and what the terminal gets."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        with tempfile.TemporaryFile() as told:
            request = {"run": [*arguments], "folder": str(Path.cwd())}
            child = self._nursery.child(request, told, theirs)
            os.close(theirs)
            seen = b""
            # Linux tells that nobody holds the other end any more with an error.
            while True:
                try:
                    seen += (some := os.read(ours, 65536))
                except OSError:
                    break
                if not some:
                    break
            os.close(ours)
            assert self._nursery.wait(child) == 0, seen
            told.seek(0)
            return told.read().decode(), seen.decode()


@pytest.fixture
def terminal(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal(nursery, monkeypatch)


def test_a_terminal_sees_each_step_and_is_left_clean(terminal: Terminal) -> None:
    told, seen = terminal.run("txt2img", *FLAGS, "--preview", "-o", "cat.png")
    assert told == "cat.png\n"
    frames = re.findall("\x1b7(.*?)\x1b8", seen, flags=re.DOTALL)
    assert len(frames) == 5
    assert {frame.count("▀") for frame in frames} == {20 * 40}
    assert len(set(frames)) >= 3  # of a random model some steps round to the same colours
    assert "5/5" in seen
    assert seen.endswith("\r\x1b[20A\x1b[J")  # to the frame's first line, and all below is gone
    up, down = re.findall(r"\x1b\[(\d+)([AB])", seen)[:-1][0::2], re.findall(r"\x1b\[(\d+)B", seen)
    assert [lines for lines, _ in up] == down == ["20"] * 5
    Command("txt2img", steps=5).make(*FLAGS[:-2], "-o", "alone.png")
    assert pixels("cat.png") == pixels("alone.png")


def test_kitty_gets_pictures_through_the_vae_every_two_steps(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-kitty")
    flags = ["--preview", "--preview-vae", "2", "-o", "cat.png"]
    _, seen = terminal.run("txt2img", *FLAGS, *flags)
    frames = re.findall("\x1b7\x1b_G(.*?)\x1b\\\\\x1b8", seen, flags=re.DOTALL)
    assert len(frames) == 3
    last = Image.open(io.BytesIO(base64.b64decode(frames[-1].split(";")[1])))
    assert last.convert("RGB").tobytes() == pixels("cat.png")
    assert seen.endswith("\x1b_Ga=d,d=I,i=77191,q=2\x1b\\\r\x1b[20A\x1b[J")


def test_whoever_is_no_terminal_is_told_so_once() -> None:
    result = Command("txt2img").run(*FLAGS, "--preview", "--count", "2")
    assert result.exit_code == 0
    assert result.stderr == "sdloop: no preview: standard error is not a terminal\n"
    assert result.stdout.count("\n") == 2


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--preview", "--quiet"], "preview cannot be combined with quiet"),
        (["--preview-vae", "2"], "preview_vae needs preview, got preview_vae 2"),
        (["--preview", "--preview-vae", "0"], "preview_vae must be at least 1, got 0"),
    ],
    ids=str,
)
def test_bad_input_is_refused(flags: list[str], complaint: str) -> None:
    assert Command("txt2img").refused(*FLAGS, *flags) == complaint


def test_the_environment_says_what_a_terminal_can() -> None:
    assert draw_for({"TERM": "xterm-kitty"}) is kitty
    assert draw_for({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}) is iterm2
    assert draw_for({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux", "COLORTERM": "truecolor"}) is (
        half_blocks
    )
    assert draw_for({"TERM": "foot"}) is sixel
    assert draw_for({"TERM": "xterm-256color"}) is few_half_blocks


def test_half_blocks_have_two_pixels_each() -> None:
    image = Image.new("RGB", (1, 2), (255, 0, 0))
    image.putpixel((0, 1), (0, 102, 255))
    assert half_blocks(image, 1, 1) == "\x1b[38;2;255;0;0;48;2;0;102;255m▀\x1b[0m"
    assert few_half_blocks(image, 1, 1) == "\x1b[38;5;196;48;5;33m▀\x1b[0m"


def test_sixels_are_the_picture_in_64_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.cli.terminal.graphics._cell", lambda: (8, 17))
    picture = Image.effect_mandelbrot((40, 40), (-2, -1.5, 1, 1.5), 60).convert("RGB")
    columns, lines = 5, 3  # 40x51 pixels, of which eight bands of six rows fit
    drawn = sixel(picture, columns, lines)
    small = picture.resize((40, 48)).quantize(64).convert("RGB")
    assert np.abs(_seen_sixels(drawn) - np.asarray(small, float)).max() <= 1.3  # levels in percent


def _seen_sixels(text: str) -> Any:
    """What a terminal draws of it: VT330/VT340 Programmer Reference Manual, chapter 14."""
    whole = re.fullmatch('\x1bPq"1;1;(\\d+;\\d+)(.*)\x1b\\\\', text, re.DOTALL)
    assert whole is not None
    head, body = whole.groups()
    width, height = map(int, head.split(";"))
    canvas: Any = np.full((height, width, 3), np.nan)
    palette: dict[int, Any] = {}
    x = top = 0
    for token in re.findall(r"#\d+(?:;2;\d+;\d+;\d+)?|!\d+[?-~]|[?-~$-]", body):
        if token[0] == "#":
            colour, *levels = map(int, token[1:].split(";"))
            if levels:
                palette[colour] = np.array(levels[1:]) * 2.55
        elif token in "$-":
            x, top = 0, top + 6 * (token == "-")
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            for y in range(6):
                if (ord(token[-1]) - 63) >> y & 1:
                    canvas[top + y, x : x + count] = palette[colour]
            x += count
    return canvas


def test_large_pictures_go_to_kitty_in_chunks() -> None:
    noise = Image.effect_noise((100, 100), 80).convert("RGB")
    parts = re.findall("\x1b_G(.*?);(.*?)\x1b\\\\", kitty(noise, 20, 10))
    assert len(parts) > 2
    assert [keys[-1] for keys, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
    assert max(len(data) for _, data in parts) == 4096
    again = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts))))
    assert again.tobytes() == noise.tobytes()
    data = iterm2(noise, 20, 10).removesuffix("\x07").split(":")[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).tobytes() == noise.tobytes()


@pytest.mark.parametrize(
    ("size", "lines", "columns"), [((100, 30), 20, 40), ((30, 30), 14, 29), ((80, 12), 8, 16)]
)
def test_a_frame_fits_its_terminal(size: tuple[int, int], lines: int, columns: int) -> None:
    said: list[str] = []
    frame = Frame(said.append, lambda _, columns, lines: f"<{columns}x{lines}>")
    frame.show(Image.new("RGB", (16, 16)), os.terminal_size(size))
    assert f"<{columns}x{lines}>" in "".join(said)
    said.clear()
    frame.clear()
    frame.clear()
    assert said == [f"\r\x1b[{lines}A\x1b[J"]


def test_a_tiny_terminal_shows_none() -> None:
    said: list[str] = []
    frame = Frame(said.append, half_blocks)
    frame.show(Image.new("RGB", (16, 16)), os.terminal_size((80, 4)))
    frame.clear()
    assert said == []


def test_the_vae_is_asked_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the steps 1, 2, 4, 8 … of a model's first picture, and never again."""
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True))
    fits: list[int] = []
    fit = LatentColours.fit

    def counted(vae: Any, latents: torch.Tensor) -> LatentColours:
        fits.append(number)
        return fit(vae, latents)

    monkeypatch.setattr(LatentColours, "fit", counted)
    vae, preview = tiny_sd1().vae, Preview(OutputOptions(preview=True))
    latents = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    for _ in range(2):
        for number in range(10):
            step: Any = SimpleNamespace(index=number, total=10, denoised=latents)
            picture = preview.picture(step, vae)
    assert fits == [0, 1, 3, 7]
    assert picture is not None
    assert picture.size == (4 * 8, 8)
    assert np.asarray(picture).std() > 1
