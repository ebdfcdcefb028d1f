"""Pictures in a terminal: kitty's, iTerm2's and sixel's protocols, half blocks for all others.

By hand, because each is a few lines, and because libraries for it ask the terminal what it can,
which takes a terminal on standard input and time. Here the environment tells.
"""

import base64
import io
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

# A picture over so many columns and lines from the cursor on, wherever that is left.
Draw = Callable[["Image", int, int], str]

_KITTY_ID = 77191  # any number: a picture of the same one replaces it
_KITTY_CHUNK = 4096
_CELL = 8, 16  # pixels of a character, where the terminal does not tell
_SIXEL_COLOURS = 64
_LETTERS = bytes((63 + byte) % 256 for byte in range(256))
_RUNS = re.compile(rb"(.)\1{3,}")
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_UPPER_HALF = "▀"


def draw_for(environment: Mapping[str, str]) -> Draw:
    """How to draw in the terminal that these variables tell of."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "TMUX" not in environment and not term.startswith(("screen", "tmux")):
        if "KITTY_WINDOW_ID" in environment or "kitty" in term or program == "ghostty":
            return kitty
        if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
            return iterm2
        if term.startswith(("foot", "mlterm", "contour")) or "sixel" in term:
            return sixel
    true = environment.get("COLORTERM", "") in ("truecolor", "24bit")
    return half_blocks if true else few_half_blocks


def kitty(picture: "Image", columns: int, lines: int) -> str:
    """In chunks, for no escape sequence may be longer; C=1 leaves the cursor where it is."""
    data = base64.b64encode(_png(picture)).decode()
    chunks = [data[at : at + _KITTY_CHUNK] for at in range(0, len(data), _KITTY_CHUNK)]
    keys = f"a=T,f=100,q=2,C=1,i={_KITTY_ID},p=1,c={columns},r={lines},"
    parts = []
    for number, chunk in enumerate(chunks):
        more = int(number + 1 < len(chunks))
        parts.append(f"\x1b_G{'' if number else keys}m={more};{chunk}\x1b\\")
    return "".join(parts)


def iterm2(picture: "Image", columns: int, lines: int) -> str:
    data = _png(picture)
    keys = f"inline=1;width={columns};height={lines};preserveAspectRatio=0;doNotMoveCursor=1"
    return f"\x1b]1337;File={keys};size={len(data)}:{base64.b64encode(data).decode()}\x07"


def sixel(picture: "Image", columns: int, lines: int) -> str:
    """DEC's bands of six rows: each of a band's colours in turn, in runs, then the next band."""
    width, height = _cell()
    # Whole bands, or the last one would reach into the line below.
    size = columns * width, max(6, lines * height // 6 * 6)
    small = picture.convert("RGB").resize(size).quantize(_SIXEL_COLOURS)
    palette = small.getpalette() or []
    used = range(len(palette) // 3)
    levels = [[round(level / 2.55) for level in palette[3 * at : 3 * at + 3]] for at in used]
    head = "".join("#{};2;{};{};{}".format(at, *levels[at]) for at in used)
    pixels, step = small.tobytes(), 6 * size[0]
    bands = (pixels[at : at + step] for at in range(0, len(pixels), step))
    body = "-".join(_band(band, size[0]) for band in bands)
    return f'\x1bPq"1;1;{size[0]};{size[1]}{head}{body}\x1b\\'


def _band(pixels: bytes, width: int) -> str:
    """Six rows: for each colour a letter a column, whose bits say which of the six are of it."""
    rows = [pixels[at : at + width] for at in range(0, len(pixels), width)]
    parts = []
    for colour in sorted(set(pixels)):
        columns = 0  # a byte each, as one large number, or this would take seconds
        for y, row in enumerate(rows):
            columns |= int.from_bytes(row.translate(_only(colour, 1 << y)), "big")
        letters = columns.to_bytes(width, "big").translate(_LETTERS)
        parts.append(f"#{colour}{_RUNS.sub(_run, letters).decode()}")
    return "$".join(parts)


def _only(colour: int, bit: int) -> bytes:
    """What translates this colour to ``bit`` and all others to 0."""
    return bytes(colour) + bytes([bit]) + bytes(255 - colour)


def _run(run: re.Match[bytes]) -> bytes:
    return b"!%d%c" % (len(run[0]), run[0][0])


def _cell() -> tuple[int, int]:
    """How many pixels a character of the terminal is wide and high."""
    try:
        import fcntl
        import termios

        size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError, ValueError):  # Windows; no terminal; a stream without a file
        return _CELL
    rows, columns, width, height = struct.unpack("4H", size)
    if not (rows and columns and width >= columns and height >= rows):
        return _CELL
    return width // columns, height // rows


def half_blocks(picture: "Image", columns: int, lines: int) -> str:
    """Two pixels in each place: the upper one in the letter's colour, the lower one behind it."""
    return _blocks(picture, columns, lines, lambda colour: "2;{};{};{}".format(*colour))


def few_half_blocks(picture: "Image", columns: int, lines: int) -> str:
    """The same with 216 colours, the six by six by six that every colour terminal has."""

    def nearest(colour: tuple[int, ...]) -> str:
        red, green, blue = (round(level / 51) for level in colour)
        return f"5;{16 + 36 * red + 6 * green + blue}"

    return _blocks(picture, columns, lines, nearest)


def _blocks(
    picture: "Image", columns: int, lines: int, code: Callable[[tuple[int, ...]], str]
) -> str:
    small = picture.convert("RGB").resize((columns, 2 * lines))
    data = small.tobytes()
    pixels = [tuple(data[at : at + 3]) for at in range(0, len(data), 3)]
    rows = []
    for top in range(0, len(pixels), 2 * columns):
        pairs = zip(
            pixels[top : top + columns], pixels[top + columns : top + 2 * columns], strict=True
        )
        row = (f"\x1b[38;{code(over)};48;{code(under)}m{_UPPER_HALF}" for over, under in pairs)
        rows.append("".join(row) + "\x1b[0m")
    return "\r\n".join(rows)


def _png(picture: "Image") -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "PNG")
    return file.getvalue()


class Frame:
    """Lines above the cursor in which one picture replaces another.

    The cursor is at the beginning of a line before and after each call, below the picture.
    """

    def __init__(self, write: Callable[[str], object], draw: Draw) -> None:
        self._write = write
        self._draw = draw
        self._lines = 0

    def show(self, picture: "Image", size: os.terminal_size) -> None:
        """Draw it as large as a terminal of this size has room for; not at all in a tiny one."""
        lines = min(20, size.lines - 4)
        columns = round(2 * lines * picture.width / picture.height)
        if columns > size.columns - 1:
            columns = size.columns - 1
            lines = round(columns * picture.height / picture.width / 2)
        if lines < 2 or columns < 2:
            return
        if self._lines != lines:
            self.clear()
            self._write("\n" * lines)
            self._lines = lines
        drawn = self._draw(picture, columns, lines)
        self._write(f"\r\x1b[{lines}A{_SAVE}{drawn}{_RESTORE}\x1b[{lines}B\r")

    def clear(self) -> None:
        """Leave the screen as if there had been no picture."""
        if not self._lines:
            return
        gone = f"\x1b_Ga=d,d=I,i={_KITTY_ID},q=2\x1b\\" if self._draw is kitty else ""
        self._write(f"{gone}\r\x1b[{self._lines}A\x1b[J")
        self._lines = 0
