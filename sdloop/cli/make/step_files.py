"""``--save-steps``: save a picture of each step."""

import itertools
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.cli.options.output import OutputOptions
from sdloop.errors import SettingError
from sdloop.metadata.atomic import check_writable
from sdloop.metadata.names import numbered
from sdloop.metadata.picture import write_picture

if TYPE_CHECKING:
    from sdloop.loop import Step
    from sdloop.metadata.environment import Environment
    from sdloop.models.components.load import Components


class StepFiles:
    """Saves the steps of the pictures in a plan; does nothing without ``--save-steps``.

    A folder can have steps of several pictures with the same name: the second one's files are
    ``frog-2-step-…``.
    """

    def __init__(
        self, plan: Sequence[Planned], command: CommandSettings, options: OutputOptions
    ) -> None:
        """Raises ``FileError`` and ``SettingError`` early, before any sampling."""
        self._every = options.save_every or 1
        self._metadata = command.metadata
        self._overwrite = options.overwrite
        self._names: dict[int, Path] = {}
        self._environment: Environment | None = None
        if options.save_steps is None:
            return
        if command.batch_size > 1 and any(one.recipe.growth is not None for one in plan):
            raise SettingError(
                f"save_steps needs batch_size 1 for outpainting, got {command.batch_size}"
            )
        folder = Path(options.save_steps).expanduser()
        check_writable(folder / "x.png", exists="number")
        taken: set[Path] = set()
        for one in plan:
            name = self._free(folder / one.path.stem, taken)
            taken.add(name)
            self._names[id(one)] = name

    def save(
        self,
        step: "Step",
        pictures: Sequence[Planned],
        components: "Components",
    ) -> None:
        """Write the clean pictures that a step predicts; ``pictures`` are in its batch order."""
        number = step.index + 1
        if not self._names or (number % self._every and number != step.total):
            return
        from sdloop.latents.vae import decode_images
        from sdloop.pipeline.loaded_model import environment_of

        if self._environment is None or self._environment.checkpoint is not components.checkpoint:
            self._environment = environment_of(components)
        facts = {"number": number, "of": step.total, "timestep": step.timestep}
        for one, image in zip(
            pictures, decode_images(components.last_vae, step.denoised), strict=True
        ):
            name = self._names[id(one)]
            write_picture(
                image,
                name.with_name(f"{name.name}-step-{number:03d}.png"),
                recipe=one.recipe,
                made=self._environment.made(one.loras),
                metadata=self._metadata,
                exists="overwrite" if self._overwrite else "number",
                step=facts,
            )

    def _free(self, name: Path, taken: set[Path]) -> Path:
        """The first free one of name, name-2 …: not used in the folder, and not in this plan."""
        for number in itertools.count(1):
            # Names here have no suffix; a dot in them is part of the name.
            candidate = name.with_name(numbered(Path(f"{name.name}.png"), number).stem)
            there = name.parent.glob(f"{escape(candidate.name)}-step-[0-9]*.png")
            if candidate not in taken and (self._overwrite or not any(there)):
                break
        return candidate
