"""From what a picture's file says to the Recipe that makes it again, with changes."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdloop.batch.changes import Changed, Resolve, changed, with_changes
from sdloop.batch.loras import with_loras
from sdloop.batch.prompts import blaming
from sdloop.batch.seeds import count_from, parse_seeds, random_seed
from sdloop.batch.wanted import Wanted
from sdloop.errors import FileError, ModelError, SdloopError, SettingError
from sdloop.images.input.mask import ALPHA
from sdloop.images.input.read import OpenImage
from sdloop.metadata.picture import FORMATS
from sdloop.metadata.read import SavedPicture
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.recipe import Recipe

NAME = "{file}-again.png"
SEEDS_NAME = "{file}-again-{seed}.png"

Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class RemakeOptions:
    """What is asked of every file: changes under the Recipe's names, settings to leave out, seeds.

    ``model`` is for files that name none; ``lora_dir`` for prompts that call LoRAs. Without
    ``run_code`` no Python is run that a file names.
    """

    changes: Mapping[str, Any]
    drop: Collection[str] = ()
    seed: str | None = None
    count: int | None = None
    model: str | None = None
    lora_dir: str | None = None
    run_code: bool = False


def resolving(open_image: OpenImage, *, may_fetch: bool) -> Resolve:
    """How Recipes meet their models here: these are found once each, and not loaded."""
    resolver = Resolver(open_image, may_fetch=may_fetch)
    return lambda recipe: resolver(recipe).recipe


def wanted_again(
    one: SavedPicture, options: RemakeOptions, resolve: Resolve, notify: Notify
) -> list[Wanted]:
    """The pictures that are asked for after one: with its own seed, or with each of others.

    ``notify`` hears what could not be taken over, and what gave way to a change. Raises
    ``FileError`` for a file that holds no single picture, ``ModelError`` for a model that is not
    here, ``SettingError`` for changes that do not fit.
    """
    with blaming(str(one.path)):
        _check_still(one)
        found = (
            _own(one, options, resolve) if one.record.recipe else _foreign(one, options, resolve)
        )
        check_code(found.recipe, options)
        if one.record.own_code:
            notify(f"it was made with {own_code_of(one)}: sdloop's own makes another picture")
        for line in found.notices:
            notify(line)
        seeds = _seeds(found.recipe.seed, options)
        recipes = [replace(found.recipe, seed=seed) for seed in seeds]
    suffix = one.path.suffix.lower()
    name = SEEDS_NAME if len(seeds) > 1 else NAME
    name = name.replace(".png", suffix) if suffix in FORMATS else name
    return [
        Wanted(recipe=recipe, where=str(one.path), name=name, file=str(one.path))
        for recipe in recipes
    ]


def own_code_of(one: SavedPicture) -> str:
    """The loop and the scheduler that were not sdloop's own, for messages."""
    return " and ".join(f"another {kind}, {name}" for kind, name in one.record.own_code.items())


def check_code(recipe: Recipe, options: RemakeOptions) -> None:
    """Refuse to run what whoever made the file has chosen, unless that was asked for."""
    losses = recipe.losses if "losses" not in options.changes else None
    for loss in losses or () if not options.run_code else ():
        if parse_loss(loss).module is not None:
            raise SettingError(
                f"losses would run the Python of {loss!r}, which this file names: look at it "
                "first, and give --run-code"
            )


def _check_still(one: SavedPicture) -> None:
    if one.record.moving:
        raise FileError("it moves: `sdloop animate` and `sdloop mix --walk` make such files")
    if one.record.recipe is None and "prompt" not in one.record.settings:
        raise FileError(f"it has no prompt that can be read: {'; '.join(one.record.left_out)}")


def _own(one: SavedPicture, options: RemakeOptions, resolve: Resolve) -> Changed:
    """Of a picture that was made here."""
    assert one.record.recipe is not None
    recipe = located(one.record.recipe, one.path.parent, options.changes)
    if not options.changes and not options.drop:
        _check_model(recipe, resolve)
        return Changed(recipe=recipe)
    same_model = "model" not in options.changes or _is_here(recipe, resolve)
    changes = _with_loras(options.changes, options.lora_dir)
    return changed(recipe, changes, drop=options.drop, resolve=resolve, same_model=same_model)


def _with_loras(changes: Mapping[str, Any], folder: str | None) -> dict[str, Any]:
    """``changes`` with the LoRAs that flags name, or a new prompt calls, as files."""
    found = with_loras({"prompt": "", **changes}, folder)
    return {name: value for name, value in found.items() if name in {*changes, "loras"}}


def _check_model(recipe: Recipe, resolve: Resolve) -> None:
    try:
        resolve(recipe)
    except ModelError as error:
        raise ModelError(f"{error}; --model names another") from error


def _is_here(recipe: Recipe, resolve: Resolve) -> bool:
    try:
        resolve(recipe)
    except ModelError:
        return False
    except SdloopError:
        return True
    return True


def located(recipe: Recipe, folder: Path, changes: Mapping[str, Any]) -> Recipe:
    """``recipe`` with its pictures where they are: by their own paths, or next to the file."""
    found: dict[str, Any] = {}
    for name in ("image", "mask"):
        path = getattr(recipe, name)
        if path is None or (name == "mask" and path == ALPHA):
            continue
        if path == "-" and name not in changes:
            raise FileError(f"its {name} came from standard input: name the file with --{name}")
        places = [Path(path), folder / path, folder / Path(path).name]
        sha256 = getattr(recipe, f"{name}_sha256")
        same = (str(place) for place in places if _is(place, sha256))
        found[name] = next(same, path)
    return replace(recipe, **found)


def _is(file: Path, sha256: str | None) -> bool:
    """Whether it is this very file; without a hash, any file."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return sha256 in (None, hashlib.file_digest(opened, "sha256").hexdigest())


def _foreign(one: SavedPicture, options: RemakeOptions, resolve: Resolve) -> Changed:
    """Of a picture that another program made."""
    base = dict(one.record.settings)
    notices = [f"not taken over from {one.record.source}: {line}" for line in one.record.left_out]
    if "seed" not in base and options.seed is None:
        base["seed"] = random_seed(1)
        notices.append(f"seed {base['seed']}, chosen at random: it names none")
    base.setdefault("seed", 0)
    if "model" not in options.changes:
        base["model"] = _model(one, options, resolve)
    base = with_loras(base, options.lora_dir) if "loras" not in options.drop else base
    found = with_changes(base, options.changes, drop=options.drop, resolve=resolve)
    if "model" not in options.changes:  # the one that the file names
        notices = [line for line in notices if ": Model: " not in line]
    return replace(found, notices=(*notices, *found.notices))


def _model(one: SavedPicture, options: RemakeOptions, resolve: Resolve) -> str:
    """The model that a file names, if it is here; of one that names none, the user's own."""
    named = one.record.model
    if named is None:
        return options.model or "mini"
    try:
        resolve(Recipe(prompt="", seed=0, model=named))
    except (ModelError, SettingError) as error:
        short = one.record.fields.get("Model hash")
        what = f"{named!r} (hash {short})" if short else repr(named)
        raise ModelError(
            f"it was made with the model {what}, which is not here: --model says which to take"
        ) from error
    return named


def _seeds(own: int, options: RemakeOptions) -> Sequence[int]:
    seeds = [own] if options.seed is None else parse_seeds(options.seed)
    return seeds if options.count is None else count_from(seeds, options.count)
