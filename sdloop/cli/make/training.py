"""One training, watched: its progress on stderr, what it saves on the way, and how it ends."""

import io
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sdloop.cli.options.training import TrainingOptions
from sdloop.cli.terminal.output import say
from sdloop.conditioning.words import with_vectors
from sdloop.errors import OutOfMemory, SettingError
from sdloop.metadata.atomic import write_whole
from sdloop.metadata.versions import installed
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.training.files import embedding_bytes, read_state, state_bytes
from sdloop.training.loss import measure, noise_schedule
from sdloop.training.pictures import Pictures
from sdloop.training.settings import Training
from sdloop.training.train import State, first_state, train

SAMPLES = (1, 2, 3, 4)  # the seeds of the pictures that show where a training stands


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learned, from what, and where it goes."""

    components: Components
    training: Training
    pictures: Pictures
    held_out: Pictures
    weights: str
    output: Path
    state_file: Path
    options: TrainingOptions
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=50))

    def run(self) -> Path:
        """Train to the end, or until Ctrl-C, which keeps what there is; returns the word's file."""
        begin = first_state(self.components, self.training)
        before = self._measured(begin)
        self._say(f"{self._what()} with {self.training.init!r}: {before:.4f}")
        state = self._resumed() if self.options.resume else begin
        try:
            state = self._train(state)
        except KeyboardInterrupt:
            say("stopped before the last step: what was learned is kept, and --resume goes on")
            raise
        after = self._measured(state)
        self._say(f"{self._what()} with {self.training.token!r}: {after:.4f}")
        self._save(state, {"loss_of_init": before, "loss": after})
        return self.output

    def _train(self, state: State) -> State:
        every = 100 if self.options.save_every is None else self.options.save_every
        sample = self.options.sample_every
        events = train(self.components, self.pictures, self.training, state)
        tell = self._teller(state.step)
        try:
            for state, loss in events:
                self.losses.append(loss)
                tell(state.step)
                if state.step % every == 0:
                    self._save(state, {})
                if sample is not None and state.step % sample == 0:
                    self._draw(state)
        except KeyboardInterrupt:
            self._save(state, {})
            raise
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"out of memory for a batch_size of {self.training.batch_size}; "
                "remedy: a smaller one, or dtype bf16"
            ) from error
        return state

    def _save(self, state: State, told: dict[str, Any]) -> None:
        """The word's file, whole at any time, and what --resume needs."""
        told = {
            **told,
            "pictures": self.pictures.sha256,
            "weights": self.weights,
            "versions": installed(),
        }
        write_whole(self.output, embedding_bytes(self.training, state, told), exists="overwrite")
        data = state_bytes(self.training, state, self.pictures.sha256, self.weights)
        write_whole(self.state_file, data, exists="overwrite")

    def _resumed(self) -> State:
        state = read_state(self.state_file, self.training, self.pictures.sha256, self.weights)
        if state.step >= self.training.steps:
            raise SettingError(
                f"steps must be more than the {state.step} that were taken, "
                f"got {self.training.steps}"
            )
        self._say(f"going on after step {state.step}")
        return state

    def _measured(self, state: State) -> float:
        schedule = noise_schedule(self.components)
        return measure(self.components, schedule, self.held_out, self.training, state.rows)

    def _what(self) -> str:
        return "loss on the pictures" if self.held_out is self.pictures else "held-out loss"

    def _draw(self, state: State) -> None:
        """A row of pictures of the word, with the same seeds each time."""
        token = self.training.token
        knowing = with_vectors(self.components, [{token: rows} for rows in state.rows])
        made = generate(knowing, [Recipe(prompt=self.training.prompt(0), seed=s) for s in SAMPLES])
        width, height = made[0].image.size
        row = Image.new("RGB", (width * len(made), height))
        for place, picture in enumerate(made):
            row.paste(picture.image, (width * place, 0))
        data = io.BytesIO()
        row.save(data, "PNG")
        path = self.output.with_name(f"{self.output.stem}-step-{state.step:05}.png")
        self._say(f"step {state.step}: {write_whole(path, data.getvalue(), exists='number')}")

    def _teller(self, first: int) -> Callable[[int], None]:
        """Show the mean of the last losses: in a bar on a terminal, else in lines."""
        steps = self.training.steps
        if self.options.quiet or sys.stderr is None:
            return lambda step: None
        if sys.stderr.isatty():
            from tqdm import tqdm

            bar = tqdm(total=steps, initial=first, unit="step", leave=False)

            def show(step: int) -> None:
                bar.set_postfix_str(f"loss {self._loss():.4f}", refresh=False)
                bar.update()
                if step == steps:
                    bar.close()

            return show
        every = max(1, steps // 10)

        def line(step: int) -> None:
            if step % every == 0 or step == steps:
                say(f"step {step} of {steps}: loss {self._loss():.4f}")

        return line

    def _loss(self) -> float:
        return sum(self.losses) / len(self.losses)

    def _say(self, line: str) -> None:
        if not self.options.quiet:
            say(line)
