"""Turn the losses named in a Recipe into functions of one picture, with targets and scales."""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import ImageColor
from torch import Tensor

from sdloop.errors import FileError, SettingError
from sdloop.guidance.losses import losses
from sdloop.guidance.losses.cutouts import far_from_text
from sdloop.guidance.losses.loss_guidance import Loss, LossGuidance
from sdloop.images.input.frame import opaque, placed
from sdloop.images.input.labels import without_labels
from sdloop.images.input.read import check_sha256, open_image
from sdloop.latents.vae import to_pixels
from sdloop.models.clip.load import Clip, load_clip
from sdloop.models.clip.score import embed_texts
from sdloop.models.components.load import Components
from sdloop.recipe.loss_grammar import LEVELS, NamedLoss, parse_loss
from sdloop.recipe.loss_source import source_of, source_sha256
from sdloop.recipe.recipe import Recipe
from sdloop.rules import Size


def loss_guidance_of(
    components: Components, batch: Sequence[Recipe], size: Size
) -> LossGuidance | None:
    """The loss guidance for a batch of pictures of ``size`` (width, height); None without losses.

    Raises ``FileError`` for a file that has changed since the Recipe was made, ``SettingError`` for
    a missing function.
    """
    recipe = batch[0]  # all recipes of a batch have the same losses
    if not any(parse_loss(text).scale for text in recipe.losses or ()):
        return None
    assert recipe.loss_every is not None  # resolved
    losses = [_sum(components, one, size) for one in batch]
    exact = recipe.loss_mode == "exact"
    return LossGuidance(vae=components.vae, losses=losses, every=recipe.loss_every, exact=exact)


def _sum(components: Components, recipe: Recipe, size: Size) -> Loss:
    """The sum of a picture's losses, each times its scale."""
    hashes = iter(recipe.losses_sha256 or ())
    terms: list[tuple[float, Loss]] = []
    for named in map(parse_loss, recipe.losses or ()):
        own = [next(hashes) for _ in named.sources]
        if named.scale:
            terms.append((named.scale, _bound(components, recipe, named, own, size)))

    def total(picture: Tensor) -> Tensor:
        values = [scale * loss(picture) for scale, loss in terms]
        return torch.stack(values).sum(dim=0)

    return total


def _bound(
    components: Components, recipe: Recipe, named: NamedLoss, hashes: Sequence[str], size: Size
) -> Loss:
    match named.kind:
        case kind if kind in LEVELS:
            return _LEVELS[kind]
        case "symmetry":
            return losses.asymmetry
        case "smooth":
            return losses.roughness
        case "palette":
            levels = torch.tensor([ImageColor.getrgb(one)[:3] for one in named.colours])
            return partial(losses.palette, colours=(levels / 255).to(components.device))
        case "like":
            return _like(named, hashes, size, components.device)
        case "clip":
            return _clip(recipe, named, components.device)
        case _:
            return _called(named, hashes[0])


_LEVELS: dict[str, Loss] = {
    "red": partial(losses.channel_level, channel=0),
    "green": partial(losses.channel_level, channel=1),
    "blue": partial(losses.channel_level, channel=2),
    "brightness": losses.brightness,
}


def _like(named: NamedLoss, hashes: Sequence[str], size: Size, device: torch.device) -> Loss:
    """The difference from a picture, cropped to ``size``; only white parts of its mask count."""
    brought = []
    for file, sha256, what in zip(named.files, hashes, ("picture", "mask"), strict=False):
        picture = open_image(file)
        check_sha256(picture.name, sha256, picture.sha256, what=what)
        image = opaque(picture.image, "white")
        if what == "mask":
            image = without_labels(image, picture.name, tell=True)
        brought.append(placed(image, size, resize="crop", around="white"))
    target = (to_pixels(brought[0]) / 2 + 0.5).to(device)
    mask = torch.ones(1, 1, *target.shape[-2:], device=device)
    if named.mask is not None:
        levels = np.array(brought[1].convert("L"), dtype=np.float32) / 255
        mask = torch.from_numpy(levels)[None, None].to(device)
        if not mask.any():
            raise SettingError(f"losses: the mask {named.mask!r} is black: no pixel counts")
    return partial(losses.dissimilar if named.ssim else losses.unlike, target=target, mask=mask)


def _clip(recipe: Recipe, named: NamedLoss, device: torch.device) -> Loss:
    assert recipe.loss_clip is not None and named.text is not None  # resolved
    clip = _loaded(recipe.loss_clip, str(device), recipe.loss_clip_sha256)
    generator = torch.Generator("cpu").manual_seed(recipe.seed)  # not the loop's own generator
    return partial(
        far_from_text, clip=clip, text_embeds=_read(clip, named.text), generator=generator
    )


@lru_cache(maxsize=1)
def _loaded(name: str, device: str, sha256: str | None) -> Clip:
    """The CLIP with this name; ``sha256`` is part of the cache key, because files may change."""
    return load_clip(name, device=device)


@torch.no_grad()
def _read(clip: Clip, text: str) -> Tensor:
    return embed_texts(clip, [text])


def _called(named: NamedLoss, sha256: str) -> Loss:
    """The user's own function, with a check of its result."""
    assert named.module is not None and named.function is not None
    name = f"{named.module}:{named.function}"
    check_sha256(repr(name), sha256, source_sha256(named.module), what="function")
    module = _imported(named.module)
    function: Callable[[Tensor], Any] | None = getattr(module, named.function, None)
    if not callable(function):
        raise SettingError(f"losses: {named.module!r} has no function {named.function!r}")

    def loss(picture: Tensor) -> Tensor:
        value = function(picture)
        _check_value(name, value, picture)
        return value  # type: ignore[no-any-return]

    return loss


def _imported(name: str) -> ModuleType:
    """Import the module, and check that it comes from the file that was hashed."""
    try:
        with _from_here():
            module = importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        raise FileError(f"losses: the module {name!r} cannot be imported: {error}") from error
    if not Path(str(module.__file__)).samefile(source_of(name)):
        raise SettingError(f"losses: another module called {name!r} is in use: rename yours")
    return module


def _check_value(name: str, value: Any, picture: Tensor) -> None:
    """Raise ``SettingError`` unless ``value`` is one number per picture, with a gradient."""
    must = (
        f"losses: {name} must return a tensor of shape (batch,), one number for each picture of "
        "(batch, 3, height, width)"
    )
    if not isinstance(value, Tensor):
        raise SettingError(f"{must}, got a {type(value).__name__}")
    if value.shape != picture.shape[:1]:
        raise SettingError(f"{must}: {tuple(picture.shape[:1])} here, got {tuple(value.shape)}")
    if not value.requires_grad:
        raise SettingError(
            f"losses: {name} must compute its numbers from the pictures with torch's functions, "
            "so that they have a gradient, got numbers without one"
        )


@contextmanager
def _from_here() -> Iterator[None]:
    """Import modules from the current folder first."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
