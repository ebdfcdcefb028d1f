"""Animations: read frame by frame, written completely or not at all, with their metadata."""

import importlib.util
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageSequence

from sdloop.animation.flicker import Flicker
from sdloop.animation.read import open_frames
from sdloop.animation.write import check_moving, write_moving
from sdloop.errors import FileError, SettingError
from sdloop.metadata.chunks import read_texts
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import texts_of
from sdloop.recipe.recipe import Recipe

FORMATS = [".gif", ".webp", ".png"]
needs_av = pytest.mark.skipif(not importlib.util.find_spec("av"), reason="the extra video")


def drawn(index: int) -> Image.Image:
    """A ball that rolls over a coloured ground."""
    image = Image.linear_gradient("L").resize((40, 32)).convert("RGB")
    ImageDraw.Draw(image).ellipse((index * 4, 10, index * 4 + 12, 22), (200, 30, index * 10))
    return image


FRAMES = [*map(drawn, range(6)), drawn(5)]  # the last stands still
RECIPE = Recipe(prompt="東京, a: ball", seed=4, model="mini")


def written(path: Path, **options: object) -> Path:
    return write_moving(path, iter(FRAMES), durations=itertools.repeat(1 / 12), **options)  # type: ignore[arg-type]


def difference(first: Image.Image, second: Image.Image) -> int:
    extremes = ImageChops.difference(first.convert("RGB"), second.convert("RGB")).getextrema()
    return max(int(highest) for _, highest in extremes)  # type: ignore[misc]


@pytest.mark.parametrize("suffix", FORMATS)
def test_frames_and_times_come_back(suffix: str, tmp_path: Path) -> None:
    with Image.open(written(tmp_path / f"a{suffix}")) as file:
        frames = [(f.convert("RGB"), f.info["duration"]) for f in ImageSequence.Iterator(file)]
        assert file.info["loop"] == 0
    assert len(frames) == len(FRAMES)
    for (read, _), frame in zip(frames, FRAMES, strict=True):
        assert difference(read, frame) <= (8 if suffix == ".gif" else 0)
    # Rounding to the format's unit does not add up.
    assert sum(time for _, time in frames) == pytest.approx(7000 / 12, abs=6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_number_of_runs_is_kept(suffix: str, tmp_path: Path) -> None:
    with Image.open(written(tmp_path / f"a{suffix}", loop=3)) as file:
        assert file.info["loop"] == (2 if suffix == ".gif" else 3)  # a GIF counts those after it
    with Image.open(written(tmp_path / f"once{suffix}", loop=1)) as file:
        assert file.info.get("loop") == (None if suffix == ".gif" else 1)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_file_tells_its_recipe(suffix: str, tmp_path: Path) -> None:
    facts = {"carry": 0.3, "frames_sha256": ["ab" * 32] * 500}
    texts = texts_of(RECIPE, {"seconds": 2.5}, "full", moving=facts)
    record = read_record(written(tmp_path / f"a{suffix}", texts=lambda: texts))
    assert record.recipe == RECIPE
    assert record.moving == facts
    assert record.made == {"seconds": 2.5}
    assert record.fields["Seed"] == "4"


def test_what_stands_still_keeps_its_colours_in_a_gif(tmp_path: Path) -> None:
    with Image.open(written(tmp_path / "a.gif")) as file:
        corners = {
            f.convert("RGB").crop((0, 0, 40, 9)).tobytes() for f in ImageSequence.Iterator(file)
        }
    assert len(corners) == 1


def test_texts_are_asked_for_after_the_last_frame(tmp_path: Path) -> None:
    told: list[str] = []

    def frames() -> Iterator[Image.Image]:
        for frame in FRAMES:
            told.append("frame")
            yield frame

    def texts() -> dict[str, str]:
        told.append("texts")
        return {}

    write_moving(tmp_path / "a.gif", frames(), durations=itertools.repeat(0.1), texts=texts)
    assert told == ["frame"] * 7 + ["texts"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SettingError("no"), ValueError("no")])
@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_is_left_of_what_is_interrupted(
    suffix: str, error: BaseException, tmp_path: Path
) -> None:
    def frames() -> Iterator[Image.Image]:
        yield from FRAMES[:3]
        raise error

    with pytest.raises(type(error)):
        write_moving(tmp_path / f"a{suffix}", frames(), durations=itertools.repeat(0.1))
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = written(tmp_path / "a.gif")
    with pytest.raises(FileError, match="already exists"):
        written(path)
    assert written(path, exists="number").name == "a-2.gif"
    assert written(path, exists="overwrite") == path


def test_names_and_frames_that_do_not_suit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"must end in \.gif, \.webp, \.png, \.mp4, got '.*a.avi'"
    ):
        check_moving(tmp_path / "a.avi")
    with pytest.raises(SettingError, match="one size"):
        write_moving(
            tmp_path / "a.gif", [drawn(0), drawn(1).resize((8, 8))], durations=itertools.repeat(1)
        )
    with pytest.raises(SettingError, match="at least one"):
        write_moving(tmp_path / "a.gif", [], durations=itertools.repeat(1))


def test_without_the_extra_the_message_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install 'sdloop\[video\]'"):
        check_moving(tmp_path / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"\0")
    with pytest.raises(SettingError, match=r"pip install 'sdloop\[video\]'"):
        open_frames([str(tmp_path / "b.mp4")])


@needs_av
def test_a_video_comes_back_with_its_rate_and_recipe(tmp_path: Path) -> None:
    texts = texts_of(RECIPE, {}, "full", moving={"carry": 0.3})
    path = written(tmp_path / "a.mp4", texts=lambda: texts)
    record = read_record(path)
    assert (record.recipe, record.moving) == (RECIPE, {"carry": 0.3})
    frames = open_frames([str(path)])
    assert len(frames) == 7
    assert frames.durations is not None
    assert frames.durations[0] == pytest.approx(1 / 12, rel=0.1)
    means = [
        ImageChops.difference(f.image, g).convert("L")
        for (_, f), g in zip(frames.read(), FRAMES, strict=True)
    ]
    assert max(sum(image.tobytes()) / 1280 for image in means) < 8
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:300])
    with pytest.raises(FileError, match=r"cut\.mp4' is not a valid video"):
        open_frames([str(cut)])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_is_read_frame_by_frame(suffix: str, tmp_path: Path) -> None:
    path = str(written(tmp_path / f"a{suffix}"))
    frames = open_frames([path])
    assert len(frames) == 7
    assert frames.durations is not None
    assert sum(frames.durations) == pytest.approx(7 / 12, abs=0.006)
    names = [name for name, _ in frames.read()]
    assert names == [f"{path}#{number}" for number in range(1, 8)]
    assert [frame.sha256 for _, frame in frames.read()] == list(frames.sha256s)
    assert len(set(frames.sha256s)) == 6


def test_what_a_gif_only_changes_is_laid_over_what_it_leaves(tmp_path: Path) -> None:
    """Disposal 2 clears a frame's box, 1 leaves it: the third frame shows what is right."""
    red, blue = Image.new("RGBA", (8, 8), "red"), Image.new("RGBA", (8, 8))
    blue.paste("blue", (0, 0, 4, 4))
    green = Image.new("RGBA", (8, 8))
    green.paste("lime", (4, 4, 8, 8))
    path = tmp_path / "a.gif"
    red.save(path, save_all=True, append_images=[blue, green], disposal=1, duration=[50, 0, 70])
    frames = open_frames([str(path)])
    assert frames.durations == (0.05, 0.1, 0.07)
    *_, (_, last) = frames.read()
    shown = last.image.convert("RGB")
    assert [shown.getpixel(at) for at in ((0, 0), (7, 7), (7, 0))] == [
        (0, 0, 255), (0, 255, 0), (255, 0, 0)
    ]  # fmt: skip


def test_pictures_in_a_row(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{index}.png") for index in range(3)]
    for file, frame in zip(files, FRAMES, strict=False):
        frame.save(file)
    frames = open_frames(files)
    assert (len(frames), frames.durations, frames.sizes) == (3, None, ((40, 32),))
    assert [name for name, _ in frames.read()] == files


def test_what_does_not_move_is_refused(tmp_path: Path) -> None:
    moving = written(tmp_path / "moving.gif")
    FRAMES[0].save(tmp_path / "still.png")
    (tmp_path / "text.gif").write_text("hello")
    (tmp_path / "cut.gif").write_bytes(moving.read_bytes()[:-200])
    png = written(tmp_path / "moving.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(png[: len(png) // 2])
    (tmp_path / "cut.webp").write_bytes(written(tmp_path / "m.webp").read_bytes()[:-200])
    for files, reason in (
        (["still.png"], "has only one frame: use sdloop img2img"),
        (["text.gif"], r"text\.gif' is not a picture that can be read"),
        (["cut.gif"], r"cut\.gif' is not a valid picture: it is truncated"),
        (["cut.png"], r"cut\.png' is not a valid picture"),
        (["cut.webp"], r"cut\.webp' is not a"),
        (["missing.gif"], r"cannot read '.*missing\.gif': No such file"),
        (["still.png", "moving.gif"], r"moving\.gif' is an animation: use it alone"),
    ):
        with pytest.raises(FileError, match=reason):
            open_frames([str(tmp_path / file) for file in files])


@pytest.mark.parametrize("cut", [1, 100, 600])
def test_a_gif_cut_short_does_not_tell_its_recipe(cut: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a.gif", texts=lambda: texts_of(RECIPE, {}, "full"))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(FileError, match="cut short"):
        read_texts(path)


def test_flicker_is_the_change_after_over_the_change_before() -> None:
    grey = [Image.new("RGB", (4, 4), (level,) * 3) for level in (0, 10, 30, 90)]
    flicker = Flicker()
    assert flicker.ratio is None
    for before, after in ((grey[0], grey[0]), (grey[1], grey[2]), (grey[0], grey[3])):
        flicker.add(before, after)
    assert (flicker.before, flicker.after, flicker.ratio) == (10, 45, 4.5)
    still = Flicker()
    for after in grey:
        still.add(grey[0], after)
    assert (still.ratio, still.after) == (None, 30)


def test_memory_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    """A frame that was written can be forgotten."""
    import gc
    import weakref

    alive: list[weakref.ref[Image.Image]] = []
    most = 0

    def frames() -> Iterator[Image.Image]:
        nonlocal most
        for index in range(30):
            frame = drawn(index % 6)
            alive.append(weakref.ref(frame))
            yield frame
            del frame
            gc.collect()
            most = max(most, sum(one() is not None for one in alive))

    gc.freeze()  # what other tests left behind need not be looked through each time
    for suffix in FORMATS:
        write_moving(tmp_path / f"a{suffix}", frames(), durations=itertools.repeat(0.1))
    gc.unfreeze()
    assert most <= 4


def test_the_bytes_are_pillows_own_to_read(tmp_path: Path) -> None:
    data = written(tmp_path / "a.webp").read_bytes()
    with Image.open(io.BytesIO(data)) as file:
        file.verify()
