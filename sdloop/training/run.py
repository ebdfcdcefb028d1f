"""Run a whole training: measure the loss, save the word and the state, draw sample pictures."""

import hashlib
import io
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from sdloop.conditioning.words import with_vectors
from sdloop.errors import OutOfMemory, SettingError
from sdloop.metadata.atomic import write_whole
from sdloop.metadata.versions import installed
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.training.files import embedding_bytes, read_state, state_bytes
from sdloop.training.loss import measure, noise_schedule
from sdloop.training.pictures import Pictures
from sdloop.training.settings import Training, state_file_of
from sdloop.training.train import State, first_state, train

SAMPLES = (1, 2, 3, 4)  # the seeds of the sample pictures


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One training: its model, settings, pictures and output file.

    ``held_out`` are pictures that are only used to measure the loss. The word's file is saved every
    ``save_every`` steps; every ``sample_every`` steps, a row of sample pictures is made. ``tell``
    is called with messages for the user, and ``progress`` with each step and the mean of the last
    losses.
    """

    components: Components
    training: Training
    pictures: Pictures
    held_out: Pictures | None = None
    output: Path
    resume: bool = False
    save_every: int = 100
    sample_every: int | None = None
    tell: Callable[[str], None] = lambda line: None
    progress: Callable[[int, float], None] = lambda step, loss: None
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=50), init=False)

    @property
    def began(self) -> bool:
        """Whether at least one step is done."""
        return bool(self._losses)

    @property
    def state_file(self) -> Path:
        """The state file, in the folder of the word's file; ``resume`` continues from it."""
        return state_file_of(self.output)

    @cached_property
    def weights(self) -> str:
        """The hash of the model's weights; a training is resumed only with the same weights."""
        assert self.components.checkpoint is not None  # it was loaded from one
        hashes = json.dumps(model_hashes(self.components.checkpoint), sort_keys=True)
        return hashlib.sha256(hashes.encode()).hexdigest()

    def run(self) -> Path:
        """Train to the end; Ctrl-C saves the current state and stops. Returns the word's file."""
        begin = first_state(self.components, self.training)
        before = self._measured(begin)
        self.tell(f"{self._what()} with {self.training.init!r}: {before:.4f}")
        state = self._resumed() if self.resume else begin
        state = self._train(state)
        after = self._measured(state)
        self.tell(f"{self._what()} with {self.training.token!r}: {after:.4f}")
        self._save(state, {"loss_of_init": before, "loss": after})
        return self.output

    def _train(self, state: State) -> State:
        events = train(self.components, self.pictures, self.training, state)
        try:
            for state, loss in events:
                self._losses.append(loss)
                self.progress(state.step, sum(self._losses) / len(self._losses))
                if state.step % self.save_every == 0:
                    self._save(state, {})
                if self.sample_every is not None and state.step % self.sample_every == 0:
                    self._draw(state)
        except KeyboardInterrupt:
            self._save(state, {})
            raise
        except torch.OutOfMemoryError as error:
            raise OutOfMemory(
                f"out of memory for a batch_size of {self.training.batch_size}; "
                "remedy: a smaller batch_size, or dtype bf16"
            ) from error
        return state

    def _save(self, state: State, facts: dict[str, Any]) -> None:
        """Save the word's file and the state for --resume, each as a whole file or not at all."""
        facts = {
            **facts,
            "pictures": self.pictures.sha256,
            "weights": self.weights,
            "versions": installed(),
        }
        write_whole(self.output, embedding_bytes(self.training, state, facts), exists="overwrite")
        data = state_bytes(self.training, state, self.pictures.sha256, self.weights)
        write_whole(self.state_file, data, exists="overwrite")

    def _resumed(self) -> State:
        state = read_state(self.state_file, self.training, self.pictures.sha256, self.weights)
        if state.step >= self.training.steps:
            raise SettingError(
                f"steps must be more than the {state.step} steps done, got {self.training.steps}"
            )
        self.tell(f"continuing after step {state.step}")
        return state

    def _measured(self, state: State) -> float:
        schedule = noise_schedule(self.components)
        pictures = self.pictures if self.held_out is None else self.held_out
        return measure(self.components, schedule, pictures, self.training, state.rows)

    def _what(self) -> str:
        return "loss on the pictures" if self.held_out is None else "held-out loss"

    def _draw(self, state: State) -> None:
        """Save a row of sample pictures of the word; the seeds are always the same."""
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
        self.tell(f"step {state.step}: {write_whole(path, data.getvalue(), exists='number')}")
