"""From a picture's file to the Recipe that makes it again, with changes."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdloop.batch.changes import Changed, Resolve, changed, with_changes
from sdloop.batch.loras import with_loras, without_other_tags
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.requests import Request, final
from sdloop.batch.seeds import count_from, parse_seeds, random_seed
from sdloop.errors import FileError, ModelError, SdloopError, SettingError
from sdloop.images.input.mask import mask_file
from sdloop.images.input.read import OpenImage
from sdloop.metadata.picture import FORMATS
from sdloop.metadata.read import SavedPicture
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.loras import without_tags
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.regions import Region
from sdloop.recipe.resolve_image_prompts import Shown, image_prompts_of
from sdloop.recipe.resolve_regions import masks_of

NAME = "{file}-again.png"
SEEDS_NAME = "{file}-again-{seed}.png"

Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RemakeOptions:
    """Options for all files: changed fields of the Recipe, settings to drop, seeds.

    ``model`` is for files that name none; ``lora_dir`` for prompts with LoRAs. Without ``run_code``
    Python code that a file names is not run.
    """

    changes: Mapping[str, Any]
    drop: Collection[str] = ()
    seed: str | None = None
    count: int | None = None
    model: str | None = None
    lora_dir: str | None = None
    run_code: bool = False


def resolving(open_image: OpenImage, *, may_fetch: bool) -> Resolve:
    """A function that resolves Recipes; each model is found only once, and not loaded."""
    resolver = Resolver(open_image, may_fetch=may_fetch)
    return lambda recipe: resolver(recipe).recipe


def wanted_again(
    one: SavedPicture, options: RemakeOptions, resolve: Resolve, notify: Notify
) -> list[Request]:
    """The pictures to remake from one file: with its own seed, or with each of the given seeds.

    ``notify`` is called with settings that cannot be used or are dropped. Raises ``FileError`` for
    an animation or a file without settings, ``ModelError`` for a missing model, ``SettingError``
    for changes that do not fit.
    """
    with blaming(str(one.path)):
        _check_still(one)
        found = (
            _own(one, options, resolve) if one.record.recipe else _foreign(one, options, resolve)
        )
        check_code(found.recipe, options)
        if one.record.own_code:
            notify(
                f"it was made with {own_code_of(one)}: with sdloop's own, the picture will differ"
            )
        for line in found.notices:
            notify(line)
        seeds = _seeds(found.recipe.seed, options)
    suffix = one.path.suffix.lower()
    name = SEEDS_NAME if len(seeds) > 1 else NAME
    name = name.replace(".png", suffix) if suffix in FORMATS else name
    request = request_for(found.recipe, one.path, name)
    return [replace(request, seed=seed) for seed in seeds]


def request_for(recipe: Recipe, file: Path, name: str) -> Request:
    """The request to remake a file with this Recipe, under a template."""
    return final(Prompt(settings=recipe.to_dict(), where=str(file), name=name, file=str(file)))


def own_code_of(one: SavedPicture) -> str:
    """The loop and the scheduler that were not sdloop's own, for messages."""
    return " and ".join(f"another {kind}, {name}" for kind, name in one.record.own_code.items())


def check_code(recipe: Recipe, options: RemakeOptions) -> None:
    """Refuse to run code that the file names, unless the user allows it."""
    losses = recipe.losses if "losses" not in options.changes else None
    for loss in losses or () if not options.run_code else ():
        if parse_loss(loss).module is not None:
            raise SettingError(
                f"losses would run the Python of {loss!r}, which this file names: look at it "
                "first, and give --run-code"
            )


def _check_still(one: SavedPicture) -> None:
    if one.record.moving:
        raise FileError(
            "it is an animation: `sdloop animate` and `sdloop mix --walk` make such files"
        )
    if one.record.recipe is None and "prompt" not in one.record.settings:
        raise FileError(f"it has no prompt that can be read: {'; '.join(one.record.left_out)}")


def _own(one: SavedPicture, options: RemakeOptions, resolve: Resolve) -> Changed:
    """For a picture made by sdloop."""
    assert one.record.recipe is not None
    recipe = located(one.record.recipe, one.path.parent, options.changes)
    if not options.changes and not options.drop:
        _check_model(recipe, resolve)
        return Changed(recipe=recipe)
    same_model = "model" not in options.changes or _is_here(recipe, resolve)
    changes = _with_loras(options.changes, options.lora_dir)
    return changed(recipe, changes, drop=options.drop, resolve=resolve, same_model=same_model)


def _with_loras(changes: Mapping[str, Any], folder: str | None) -> dict[str, Any]:
    """``changes``, with LoRAs from flags and the new prompt as file paths."""
    found = with_loras(without_other_tags({"prompt": "", **changes}), folder)
    return {name: value for name, value in found.items() if name in {*changes, "loras"}}


def _check_model(recipe: Recipe, resolve: Resolve) -> None:
    try:
        resolve(recipe)
    except ModelError as error:
        raise ModelError(f"{error}; choose another with --model") from error


def _is_here(recipe: Recipe, resolve: Resolve) -> bool:
    try:
        resolve(recipe)
    except ModelError:
        return False
    except SdloopError:
        return True
    return True


def located(recipe: Recipe, folder: Path, changes: Mapping[str, Any]) -> Recipe:
    """``recipe`` with the paths of its input pictures: as recorded, or next to the file."""
    found: dict[str, Any] = {}
    for name in ("image", "mask", "depth_map"):
        path = getattr(recipe, name)
        if path is None or (name == "mask" and mask_file(path) is None):
            continue
        if path == "-" and name not in changes:
            flag = name.replace("_", "-")
            raise FileError(f"its {name} came from standard input: name the file with --{flag}")
        found[name] = _located(path, getattr(recipe, f"{name}_sha256"), folder)
    for name in ("controls", "t2i_adapters"):
        found[name] = [
            replace(one, image=_located(one.image, one.image_sha256, folder))
            for one in getattr(recipe, name)
        ]
    if recipe.regions is not None and "regions" not in changes:
        found["regions"] = tuple(_located_region(*one, folder) for one in masks_of(recipe))
    if recipe.image_prompts is not None and "image_prompts" not in changes:
        found["image_prompts"] = tuple(
            _located_prompt(one, folder) for one in image_prompts_of(recipe)
        )
    return replace(recipe, **found)


def _located_prompt(shown: Shown, folder: Path) -> str:
    prompt = shown.prompt
    file = prompt.file and _located(prompt.file, shown.mask_sha256, folder)
    return str(replace(prompt, image=_located(prompt.image, shown.sha256, folder), file=file))


def _located_region(region: Region, sha256: str | None, folder: Path) -> str:
    if region.file is None:
        return str(region)
    return str(replace(region, file=_located(region.file, sha256, folder)))


def _located(path: str, sha256: str | None, folder: Path) -> str:
    """The file with this hash: as recorded, or in the ``folder``; else the path as it is."""
    places = [Path(path), folder / path, folder / Path(path).name]
    return next((str(place) for place in places if _is(place, sha256)), path)


def _is(file: Path, sha256: str | None) -> bool:
    """Whether the file exists and has this hash; without a hash, any file."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return sha256 in (None, hashlib.file_digest(opened, "sha256").hexdigest())


def _foreign(one: SavedPicture, options: RemakeOptions, resolve: Resolve) -> Changed:
    """For a picture made by another program."""
    base = dict(one.record.settings)
    notices = [f"not used from {one.record.source}: {line}" for line in one.record.left_out]
    if "seed" not in base and options.seed is None:
        base["seed"] = random_seed(1)
        notices.append(f"seed {base['seed']}, chosen at random: the file has none")
    base.setdefault("seed", 0)
    if "model" not in options.changes:
        base["model"] = _model(one, options, resolve)
    if "loras" in options.drop:
        base["prompt"] = without_tags(base["prompt"])
    else:
        base = with_loras(base, options.lora_dir)
    found = with_changes(base, options.changes, drop=options.drop, resolve=resolve)
    if "rng" in base and "rng" not in {*options.changes, *options.drop}:
        notices.append(_rng_notice(one.record.fields.get("RNG")))
    if "model" not in options.changes:  # the one that the file names
        notices = [line for line in notices if ": Model: " not in line]
    return replace(found, notices=(*notices, *found.notices))


def _rng_notice(named: str | None) -> str:
    if named is not None:
        return f"rng philox, as RNG: {named} in the file says"
    return "rng philox: the file names no RNG, so A1111 used the GPU's; --rng cpu for the CPU's"


def _model(one: SavedPicture, options: RemakeOptions, resolve: Resolve) -> str:
    """The model that the file names, if it is available; if it names none, the user's model."""
    named = one.record.model
    if named is None:
        return options.model or "mini"
    try:
        resolve(Recipe(prompt="", seed=0, model=named))
    except (ModelError, SettingError) as error:
        short = one.record.fields.get("Model hash")
        what = f"{named!r} (hash {short})" if short else repr(named)
        raise ModelError(
            f"it was made with the model {what}, which is not available: choose one with --model"
        ) from error
    return named


def _seeds(own: int, options: RemakeOptions) -> Sequence[int]:
    seeds = [own] if options.seed is None else parse_seeds(options.seed)
    return seeds if options.count is None else count_from(seeds, options.count)
