"""Pictures made again and compared with their files: are they the same, and if not, why."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdloop.batch.planned import Planned
from sdloop.errors import FileError
from sdloop.images.compare import Difference, difference
from sdloop.images.input.read import OpenImage, open_image
from sdloop.metadata.differences import differing, flat
from sdloop.metadata.picture import as_saved
from sdloop.metadata.read import SavedPicture
from sdloop.pipeline.model_names import model_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.loop import Step
    from sdloop.models.checkpoint.value import Checkpoint
    from sdloop.models.components.load import Components
    from sdloop.pipeline.loaded_model import LoadedModel

Plan = Sequence[tuple[SavedPicture, Planned]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What came of one picture; without a ``difference`` the sizes are not even the same.

    ``made`` are the circumstances that differ, as they were and as they are.
    """

    path: str
    difference: Difference | None
    sizes: tuple[tuple[int, int], tuple[int, int]]
    made: Mapping[str, tuple[Any, Any]]
    notes: tuple[str, ...]

    def is_equal(self, tolerance: int) -> bool:
        return self.difference is not None and self.difference.largest <= tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        apart = self.difference
        return {
            "path": self.path,
            "equal": apart is not None and apart.equal,
            "largest": None,
            "share": None,
            "psnr": None,
            **({} if apart is None else apart.to_dict()),
            "size": self.sizes[0],
            "size_again": self.sizes[1],
            "made": self.made,
            "notes": self.notes,
        }


def verdicts(
    plan: Plan,
    load: "Callable[[Checkpoint], Components]",
    open_named: OpenImage,
    *,
    watch: "Callable[[Step], None]" = lambda step: None,
) -> Iterator[Verdict]:
    """One after the other, each model loaded once for as many of its pictures as follow.

    ``watch`` sees every step. Raises ``FileError`` for a file that shows a step which its Recipe
    does not take, else what ``stream`` does.
    """
    from sdloop.pipeline.loaded_model import loaded_model

    last = None
    for one, planned in sorted(plan, key=lambda pair: _order(plan, pair)):
        if last != model_of(planned.recipe):
            model = loaded_model(load(planned.checkpoint))
            last = model_of(planned.recipe)
        yield _verdict(one, *_remade(one, planned, model, open_named, watch))


def _order(plan: Plan, pair: tuple[SavedPicture, Planned]) -> int:
    """That of the first picture of the same model."""
    models = [model_of(planned.recipe) for _, planned in plan]
    return models.index(model_of(pair[1].recipe))


def _remade(
    one: SavedPicture,
    planned: Planned,
    model: "LoadedModel",
    open_named: OpenImage,
    watch: "Callable[[Step], None]",
) -> "tuple[Image, Mapping[str, Any]]":
    """The picture once more, or what it was at the step that the file shows."""
    from sdloop.latents.vae import decode, to_images
    from sdloop.pipeline.generate import stream_resolved
    from sdloop.pipeline.picture import Picture

    number = one.record.step.get("number")
    for event in stream_resolved(model, [planned.recipe], open_image=open_named):
        if isinstance(event, Picture):
            return event.image, event.made
        watch(event)
        if number == event.index + 1:
            image = to_images(decode(model.components.vae, event.denoised))[0]
            return image, model.environment.made(planned.loras)
    raise FileError(f"{one.path}: it shows step {number}, which its Recipe does not take")


def _verdict(one: SavedPicture, image: "Image", made: Mapping[str, Any]) -> Verdict:
    there = open_image(str(one.path)).image.convert(image.mode)
    notes = []
    if one.record.step:
        notes.append(f"step {one.record.step.get('number')} of {one.record.step.get('of')}")
    again = as_saved(image, one.path) if one.record.recipe is not None else image
    if again is not image:
        notes.append("compared as JPEG saves it")
    apart = difference(there, again) if there.size == again.size else None
    return Verdict(
        path=str(one.path),
        difference=apart,
        sizes=(there.size, again.size),
        made=differing(flat(one.record.made), flat(made)) if one.record.made else {},
        notes=(*notes, *_reasons(one, made, apart)),
    )


def _reasons(one: SavedPicture, made: Mapping[str, Any], apart: Difference | None) -> Iterator[str]:
    """Likely causes, besides the circumstances that differ."""
    if apart is not None and apart.equal:
        return
    then = one.record.made
    if one.record.recipe is None:
        yield f"it was made by another program, {one.record.source}"
    elif not then:
        yield "its file does not say with which weights, versions and device it was made"
    elif then.get("weights") == made["weights"] and then.get("key") != made.get("key"):
        yield "its Recipe is not the one that it was made with: the key is another"
    if apart is not None and apart.largest == 1:
        yield "one level apart, as pictures of a batch may be from those made alone"
