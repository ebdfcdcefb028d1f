"""Make pictures again and compare them with their files, with likely causes of differences."""

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
    from sdloop.models.components.load import Components
    from sdloop.pipeline.loaded_model import LoadedModel

Plan = Sequence[tuple[SavedPicture, Planned]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The result for one picture; ``difference`` is None if the sizes differ.

    ``made`` are the facts of the run that differ, as (then, now).
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
    load: "Callable[[Planned], Components]",
    open_named: OpenImage,
    *,
    watch: "Callable[[Step], None]" = lambda step: None,
) -> Iterator[Verdict]:
    """The verdicts one after the other; consecutive pictures of a model share its loading.

    ``watch`` is called with every step. Raises ``FileError`` for a file of a step that its Recipe
    does not have, and what ``stream`` raises.
    """
    from sdloop.pipeline.loaded_model import loaded_model

    last = None
    for one, planned in sorted(plan, key=lambda pair: _order(plan, pair)):
        if last != model_of(planned.recipe):
            model = loaded_model(load(planned))
            last = model_of(planned.recipe)
        yield _verdict(one, *_remade(one, planned, model, open_named, watch))


def _order(plan: Plan, pair: tuple[SavedPicture, Planned]) -> int:
    """The checkpoint of the first picture with the same model."""
    models = [model_of(planned.recipe) for _, planned in plan]
    return models.index(model_of(pair[1].recipe))


def _remade(
    one: SavedPicture,
    planned: Planned,
    model: "LoadedModel",
    open_named: OpenImage,
    watch: "Callable[[Step], None]",
) -> "tuple[Image, Mapping[str, Any]]":
    """Make the picture again, up to the step that the file shows."""
    from sdloop.latents.vae import decode_images
    from sdloop.pipeline.generate import stream_resolved
    from sdloop.pipeline.picture import Picture

    number = one.record.step.get("number")
    for event in stream_resolved(model, [planned.recipe], open_image=open_named):
        if isinstance(event, Picture):
            return event.image, event.made
        watch(event)
        if number == event.index + 1:
            image = decode_images(model.components.last_vae, event.denoised)[0]
            return image, model.environment.made(planned.loras)
    raise FileError(f"{one.path}: it shows step {number}, but its Recipe has no such step")


def _verdict(one: SavedPicture, image: "Image", made: Mapping[str, Any]) -> Verdict:
    there = open_image(str(one.path)).image.convert(image.mode)
    notes = []
    if one.record.step:
        notes.append(f"step {one.record.step.get('number')} of {one.record.step.get('of')}")
    again = as_saved(image, one.path) if one.record.recipe is not None else image
    if again is not image:
        notes.append("compared after saving as JPEG")
    apart = difference(there, again) if there.size == again.size else None
    return Verdict(
        path=str(one.path),
        difference=apart,
        sizes=(there.size, again.size),
        made=differing(flat(one.record.made), flat(made)) if one.record.made else {},
        notes=(*notes, *_reasons(one, made, apart)),
    )


def _reasons(one: SavedPicture, made: Mapping[str, Any], apart: Difference | None) -> Iterator[str]:
    """Likely causes of a difference, besides different facts of the run."""
    if apart is not None and apart.equal:
        return
    then = one.record.made
    if one.record.recipe is None:
        yield f"it was made by another program, {one.record.source}"
    elif not then:
        yield "the file does not name the weights, versions and device"
    elif then.get("weights") == made["weights"] and then.get("key") != made.get("key"):
        yield "its Recipe was changed after it was made: the key differs"
    if apart is not None and apart.largest == 1:
        yield "a difference of one level can come from the batch size"
