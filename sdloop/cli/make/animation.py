"""Make the animation of ``sdloop animate``: input frames → Recipe → results → file."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sdloop.animation.flicker import Flicker
from sdloop.animation.read import Frames
from sdloop.animation.settle import moving_facts
from sdloop.animation.write import write_moving
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import Prompt
from sdloop.cli.make.model import loaded
from sdloop.cli.options.animate import MovingOutput
from sdloop.cli.terminal.few_steps import tell_few_steps
from sdloop.cli.terminal.notices import tell_steps, tell_unlabelled
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.terminal.progress import Progress
from sdloop.errors import INTERRUPTED, FileError
from sdloop.images.input.read import open_image
from sdloop.metadata.atomic import Exists, check_writable
from sdloop.metadata.picture import read_record, write_picture
from sdloop.metadata.record import Made, texts_of
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.pipeline.animate import Frame


@dataclass(frozen=True, kw_only=True, slots=True)
class Animation:
    """The settings besides the Recipe; ``frames`` is the folder for the single frames."""

    input: Frames
    carry: float
    durations: tuple[float, ...]
    loop: int
    path: Path
    exists: Exists
    frames: Path | None

    def facts(self) -> dict[str, Any]:
        return moving_facts(self.input, carry=self.carry, durations=self.durations, loop=self.loop)


def make_animation(
    recipe: Recipe, animation: Animation, command: CommandSettings, output: MovingOutput
) -> None:
    """Make the frames, write the file, and print its path or a line of JSON."""
    resolve = Resolver(open_image)
    resolved = resolve.for_frames(recipe, animation.input, carry=animation.carry)
    recipe = resolved.recipe
    planned = Planned(
        recipe=recipe, checkpoint=resolved.checkpoint, picture=None, loras=resolved.loras,
        path=animation.path, exists=animation.exists, prompt=Prompt(settings={}),
    )  # fmt: skip
    if animation.frames is not None:
        check_writable(animation.frames / "0001.png", exists="number")
    if not output.quiet:
        say(f"seed {recipe.seed}")
        tell_unlabelled(command)
        tell_few_steps([planned])
        tell_steps([planned])
    run = _Run(planned, animation, command, output)
    try:
        path = run.write()
    except KeyboardInterrupt as error:
        say(run.so_far())
        raise typer.Exit(INTERRUPTED) from error
    run.tell(path)


class _Run:
    """One animation being made."""

    def __init__(
        self,
        planned: Planned,
        animation: Animation,
        command: CommandSettings,
        output: MovingOutput,
    ) -> None:
        self._planned = planned
        self._animation = animation
        self._command = command
        self._output = output
        self._flicker = Flicker()
        self._finished = self._found = 0
        self._made: Made = {}
        self._started = time.perf_counter()

    def write(self) -> Path:
        """Make the animation and write the file; returns its path."""
        one = self._animation
        with Progress(pictures=len(one.input), quiet=self._output.quiet) as progress:
            return write_moving(
                one.path,
                self._frames(progress),
                durations=one.durations,
                loop=one.loop,
                texts=self._texts,
                exists=one.exists,
            )

    def so_far(self) -> str:
        """The message after an interrupt: what was made, and how to continue."""
        folder = self._animation.frames
        done = f"interrupted after {self._finished} of {len(self._animation.input)} frames; no file"
        if folder is None:
            return f"{done} was written (--save-frames DIR would have kept them)"
        seed = self._planned.recipe.seed  # may be a random one
        return (
            f"{done} was written, but the frames are in {str(folder)!r}: to continue, run the same "
            f"command with --seed {seed}"
        )

    def tell(self, path: Path) -> None:
        flicker, output = self._flicker, self._output
        path = path if self._animation.exists == "number" else self._animation.path
        if not output.quiet:
            say(_flicker_line(flicker))
        emit(json.dumps(self._line(path), ensure_ascii=False) if output.json else str(path))

    def _frames(self, progress: Progress) -> "Iterator[Image]":
        from sdloop.models.checkpoint.hashes import model_hashes
        from sdloop.pipeline.animate import Frame, animate

        checkpoint = self._planned.checkpoint
        progress.loading(checkpoint.name)
        components = loaded(checkpoint, self._command, [self._planned.recipe])
        weights = model_hashes(checkpoint)
        events = animate(
            components,
            self._animation.input,
            self._planned.recipe,
            carry=self._animation.carry,
            known=lambda index, recipe: self._known(index, content_key(recipe, weights)),
        )
        for event in events:
            if not isinstance(event, Frame):
                progress.step(event)
                continue
            self._take(event)
            progress.picture()
            yield event.image

    def _take(self, frame: "Frame") -> None:
        self._flicker.add(frame.source, frame.image)
        self._finished += 1
        if frame.picture is None:
            self._found += 1
            return
        self._made = made = frame.picture.made
        if self._animation.frames is not None:
            # Always with all metadata: a later run finds the frame by the key in it.
            write_picture(
                frame.image,
                self._frame_path(frame.index),
                recipe=frame.recipe,
                made=made,
                exists="overwrite" if self._output.overwrite else "fail",
            )

    def _frame_path(self, index: int) -> Path:
        assert self._animation.frames is not None
        digits = max(4, len(str(len(self._animation.input))))
        return self._animation.frames / f"{index + 1:0{digits}d}.png"

    def _known(self, index: int, key: str) -> "Image | None":
        """The frame with this key, if an earlier run saved it."""
        from PIL import Image

        if self._animation.frames is None or not self._frame_path(index).exists():
            return None
        path = self._frame_path(index)
        if read_record(path).made.get("key") == key:
            with Image.open(path) as image:
                return image.convert("RGB")
        if self._output.overwrite:
            return None
        raise FileError(
            f"{str(path)!r} is a frame of another animation: choose another folder, or replace it "
            "with --overwrite"
        )

    def _texts(self) -> Mapping[str, str]:
        made: Made = {**self._made, "seconds": self._seconds()}
        made.pop("key", None)  # the key of a frame, not of the animation
        return texts_of(
            self._planned.recipe, made, self._command.metadata, moving=self._animation.facts()
        )

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._started, 3)

    def _line(self, path: Path) -> dict[str, Any]:
        flicker, recipe = self._flicker, self._planned.recipe
        return {
            "path": str(path),
            "frames": self._finished,
            "found": self._found,
            "seconds": self._seconds(),
            "seed": recipe.seed,
            "width": recipe.width,
            "height": recipe.height,
            "flicker": None if flicker.ratio is None else round(flicker.ratio, 4),
            "change_before": round(flicker.before, 4),
            "change_after": round(flicker.after, 4),
            "recipe": recipe.to_dict(),
            "moving": self._animation.facts(),
        }


def _flicker_line(flicker: Flicker) -> str:
    changes = f"{flicker.after:.2f} levels from frame to frame, {flicker.before:.2f} before"
    if flicker.ratio is None:
        return f"flicker: {changes}"
    return f"flicker {flicker.ratio:.2f}: {changes}"
