"""Decode latents and save pictures, in a separate thread, with an outcome for each picture."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import clear_frames
from typing import TYPE_CHECKING

from sdloop.batch.planned import Planned
from sdloop.errors import (
    AlreadyMade,
    ModelError,
    NonFiniteError,
    SdloopError,
    SettingError,
)
from sdloop.images.input.read import OpenImage
from sdloop.metadata.atomic import write_whole
from sdloop.metadata.picture import encoded
from sdloop.metadata.record import texts_of

if TYPE_CHECKING:
    from sdloop.models.components.load import Components
    from sdloop.pipeline.picture import Picture, SampledBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class AlreadyThere:
    """A picture that already exists, or that another process has made."""

    planned: Planned


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A picture that was saved at ``path``, with the size in bytes and the sha256 of its file."""

    planned: Planned
    path: Path
    picture: "Picture"
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A picture that could not be made, and why.

    ``together`` means that its whole batch failed, so another picture may be the cause.
    """

    planned: Planned
    error: Exception
    together: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether a retry may succeed: memory and disk errors may pass, numerical ones do not."""
        return not isinstance(self.error, SettingError | ModelError | NonFiniteError)


Outcome = AlreadyThere | Written | Failed


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTools:
    """What a run needs: how to load models, and how to read pictures."""

    load: "Callable[[Planned], Components]"
    open_image: OpenImage


def finish(
    event: "SampledBatch | Picture",
    wanted: Sequence[Planned | None],
    tools: RunTools,
) -> list[Outcome]:
    """Decode and save the ``wanted`` pictures of a batch; None stands for an existing one."""
    from sdloop.pipeline.picture import Picture

    items = [one for one in wanted if one is not None]
    if not items:
        return []
    try:
        if isinstance(event, Picture):
            pictures = [event]
        else:
            rows = [row for row, one in enumerate(wanted) if one is not None]
            pictures = list(event.only(rows).pictures())
    except (SdloopError, RuntimeError) as error:
        return [*failures(items, error, together=len(wanted) > 1)]
    return [_written(picture, one, tools) for picture, one in zip(pictures, items, strict=True)]


def failures(batch: Sequence[Planned], error: Exception, *, together: bool) -> list[Failed]:
    """The same failure for all pictures of a batch.

    Its traceback would keep the batch's tensors on the GPU until somebody has read the outcome.
    """
    clear_frames(error.__traceback__)
    return [Failed(planned=one, error=error, together=together) for one in batch]


def _written(
    picture: "Picture", planned: Planned, tools: RunTools
) -> Written | AlreadyThere | Failed:
    try:
        made = picture.made
        data = encoded(picture.image, planned.path, texts_of(picture.recipe, made, "full"))
        path = write_whole(planned.path, data, exists=planned.exists, key=made["key"], once=True)
    except AlreadyMade:
        return AlreadyThere(planned=planned)
    except SdloopError as error:
        return Failed(planned=planned, error=error)
    return Written(
        planned=planned,
        path=path if planned.exists == "number" else planned.path,
        picture=picture,
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )
