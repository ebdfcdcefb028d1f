"""The weight files of a model's parts in its folder, complete according to their headers."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.folder import Configs, Incomplete, inside, read_json
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.weight_names import (
    BIN,
    SAFE,
    STEMS,
    forms,
    preferred,
    stem_of,
    variants_of,
    whole_name,
)

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".msgpack")

# Whether a model is known to have no file of this name. Of a hub model, a file that is not in its
# folder may not be downloaded yet.
Absent = Callable[[str], bool]


def absent_here(_: str) -> bool:
    """For a folder of the user: a file that is not in it does not exist."""
    return True


def guessed_absent(folder: Path, variant: str | None) -> Absent:
    """For a snapshot of unknown completeness: where a variant is alone, plain files may exist."""

    def absent(name: str) -> bool:
        return variant is not None or not any((folder / name).parent.glob(f"*{SAFE}"))

    return absent


def read_weights(
    folder: Path, configs: Configs, variant: str | None, absent: Absent = absent_here
) -> dict[str, tuple[Path, ...]]:
    """Part → its weight files, complete according to their headers."""
    parts = [part for part in STEMS if part in configs]
    names = [name for part in parts for name in names_in(folder, f"{part}/")]
    there = variants_of(names, parts)
    check_variant(folder, there, variant)
    only_pickled = there.get(variant or "") == {BIN}
    weights = {
        part: weight_files(
            folder, f"{part}/", STEMS[part], variant, only_pickled=only_pickled, absent=absent
        )
        for part in parts
    }
    for files in weights.values():
        for file in files:
            read_header(file)
    return weights


def check_variant(source: object, there: Mapping[str, object], variant: str | None) -> None:
    """Raise ``Incomplete`` for a variant that no part has; one that some parts have is fine."""
    if variant is None:
        return
    if not re.fullmatch(r"[\w.-]+", variant):
        raise SettingError(f"variant must be a word like fp16, got {variant!r}")
    if variant not in there:
        names = ", ".join(map(repr, sorted(there))) or "none"
        raise Incomplete(f"{source} has no variant {variant!r} (it has {names})")


def names_in(folder: Path, home: str) -> list[str]:
    """The names of the files in ``home``, a subfolder such as "unet/"."""
    return [f"{home}{path.name}" for path in (folder / home).glob("*")]


def weight_files(
    folder: Path,
    home: str,
    stem: str,
    variant: str | None,
    *,
    pickles: bool = True,
    only_pickled: bool = False,
    absent: Absent = absent_here,
) -> tuple[Path, ...]:
    """The files of the best form of a part's weights; see ``preferred``.

    ``home`` is the part's subfolder ("unet/"). Raises ``Incomplete`` if there are none, or if a
    better form may exist.
    """
    there = forms(names_in(folder, home), home, stem)
    for form in preferred(there, variant, only_pickled=only_pickled):
        if form[1] == BIN and not pickles:
            continue
        files = own_files(folder, home, stem, *form)
        if files:
            return files
        if not absent(whole_name(home, stem, form)):
            break
    raise Incomplete(_explain_missing(folder, home, stem))


def own_files(
    folder: Path, home: str, stem: str, variant: str | None, ending: str = SAFE
) -> tuple[Path, ...]:
    """Only the files of ``variant``: one, or the shards of an index, or none."""
    whole = inside(folder, whole_name(home, stem, (variant, ending)))
    if whole.is_file():
        return (whole,)
    dotted = f".{variant}" if variant else ""
    index = f"{home}{stem_of(stem, ending)}{ending}.index{dotted}.json"
    return _shards(folder, home, index, ending) if inside(folder, index).is_file() else ()


def _shards(folder: Path, home: str, index: str, ending: str) -> tuple[Path, ...]:
    names = read_json(folder, index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise ModelError(f"{folder / index} has no weight_map of tensor names to files")
    shards = [inside(folder, f"{home}{name}") for name in sorted(set(names.values()))]
    for shard in shards:
        if shard.suffix != ending:
            raise ModelError(f"{shard} is not a {ending} file")
        if not shard.is_file():
            raise Incomplete(f"{folder} is not a complete model: {home}{shard.name} is missing")
    return tuple(shards)


def _explain_missing(folder: Path, home: str, stem: str) -> str:
    missing = f"{folder} is not a complete model: {home}{stem}.safetensors is missing"
    there = forms(names_in(folder, home), home, stem)
    named = sorted({variant for variant, _ in there if variant is not None})
    if len(named) == 1:
        return f"{missing}, but the variant {named[0]!r} exists (--variant {named[0]})"
    if named:
        return f"{missing}; choose a variant with --variant: {', '.join(named)}"
    place = folder / home
    pickles = [p for p in sorted(place.glob("*")) if p.suffix in _PICKLES]
    if pickles:
        return (
            f"{missing}; {home}{pickles[0].name} is a pickle, which may run code when it is "
            "loaded: convert the model to safetensors"
        )
    return missing
