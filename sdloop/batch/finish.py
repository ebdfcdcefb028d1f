"""From latents to files, in a thread of its own, and the outcome for each picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.batch.grouping import Item
from sdloop.batch.planned import Planned
from sdloop.errors import ModelError, NonFiniteError, SdloopError, SettingError
from sdloop.images.input.read import OpenImage
from sdloop.metadata.detail import Metadata

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.models.components.load import Components
    from sdloop.pipeline.picture import Picture, SampledBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class AlreadyThere:
    """A picture that needs nothing done: it was there, or another process has made it."""

    planned: Planned
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A picture that is on the disk now, at ``path``."""

    planned: Planned
    key: str
    path: Path
    picture: "Picture"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A picture that could not be made, and why.

    ``together`` with its neighbours, so that one of them may be the cause; or by itself.
    """

    planned: Planned
    key: str
    error: Exception
    together: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether it may go well another time: memory and disks have their moods, numbers none."""
        return not isinstance(self.error, SettingError | ModelError | NonFiniteError)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTools:
    """What a run works with: how models are loaded and pictures are read, what files tell."""

    load: "Callable[[Checkpoint], Components]"
    open_image: OpenImage
    metadata: Metadata = "full"


def finish(
    event: "SampledBatch | Picture",
    wanted: Sequence[Item | None],
    tools: RunTools,
) -> list[Written | Failed]:
    """Decode what is ``wanted`` of a batch, and write it; None stands for what is there."""
    from sdloop.pipeline.picture import Picture

    items = [item for item in wanted if item is not None]
    if not items:
        return []
    try:
        if isinstance(event, Picture):
            pictures = [event]
        else:
            rows = [row for row, item in enumerate(wanted) if item is not None]
            pictures = list(event.only(rows).pictures())
    except (SdloopError, RuntimeError) as error:
        return [*failures(items, error, together=len(wanted) > 1)]
    return [_written(picture, item, tools) for picture, item in zip(pictures, items, strict=True)]


def failures(items: Sequence[Item], error: Exception, *, together: bool) -> list[Failed]:
    """The same for all of a batch, whichever of them it came from."""
    return [Failed(planned=i.planned, key=i.key, error=error, together=together) for i in items]


def _written(picture: "Picture", item: Item, tools: RunTools) -> Written | Failed:
    planned = item.planned
    try:
        path = picture.write(planned.path, metadata=tools.metadata, exists=planned.exists)
    except SdloopError as error:
        return Failed(planned=planned, key=item.key, error=error)
    return Written(planned=planned, key=item.key, path=path, picture=picture)
