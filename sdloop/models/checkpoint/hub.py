"""Models of the Hugging Face hub: from the cache, otherwise downloaded once.

If all files are in the cache, the network is not used. Otherwise the hub's list of files is read
first, so that only what is needed is downloaded, and an unusable model costs no weights.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.folder import (
    Configs,
    Incomplete,
    read_configs,
    read_json,
    tokenizer_folders,
)
from sdloop.models.checkpoint.hub_errors import download_command, usual_patterns
from sdloop.models.checkpoint.hub_single import single_files
from sdloop.models.checkpoint.repository import Repository, ask_hub, cached, known_absent
from sdloop.models.checkpoint.weight_files import (
    Absent,
    check_variant,
    guessed_absent,
    read_weights,
    weight_files,
)
from sdloop.models.checkpoint.weight_names import (
    ALL_STEMS,
    BIN,
    SAFE,
    STEMS,
    forms,
    preferred,
    variants_of,
    whole_name,
)

# All small files that a model may need: configs, indices of shards, vocabularies.
_SMALL = ("*.json", "*/merges.txt")
# The flags for parts, where they have another name.
_FLAGS = {
    "controlnet": "--control",
    "t2i_adapter": "--t2i",
    "segmenter": "--mask-model",
    "depth_estimator": "--preprocess-model",
    "pose_estimator": "--preprocess-model",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder in the hub's cache, and which files its repository is known not to have."""

    folder: Path
    absent: Absent


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What is wanted of a repository.

    check
        Raises ``Incomplete`` if a file is missing in a snapshot.
    fetch
        Downloads what is missing.
    files
        Patterns of the files, for messages.
    """

    check: Callable[[Snapshot], None]
    fetch: Callable[[Repository], None]
    files: Collection[str]


def snapshot_for(
    need: Need, model: str, revision: str | None, variant: str | None, *, may_fetch: bool = True
) -> Snapshot:
    """The snapshot of ``model`` with all files of ``need``, downloaded if it is not in the cache.

    Raises ``ModelError`` if it cannot be downloaded; without ``may_fetch`` it never is.
    """
    held, why = cached(model, revision), f"{model} is not in the cache"
    if held is not None:
        found = Snapshot(held, known_absent(model, held))
        missing = _missing(need, found)
        if missing is None:
            return found
        why = missing
    try:
        if not may_fetch:
            command = download_command(model, revision, need.files)
            raise ModelError(f"{why}; `{command}` downloads it")
        repository = ask_hub(model, revision, why, need.files)
    except ModelError:
        if held is None:
            raise
        # The hub's list is not known: what the cache holds must do.
        found = Snapshot(held, guessed_absent(held, variant))
        if _missing(need, found) is not None:
            raise
        return found
    need.fetch(repository)
    found = Snapshot(repository.folder, lambda name: name not in repository.names)
    missing = _missing(need, found)
    if missing is not None:
        raise ModelError(f"{missing}, also on the hub")
    return found


def _missing(need: Need, found: Snapshot) -> str | None:
    """What is missing in a snapshot, if anything is."""
    try:
        need.check(found)
    except Incomplete as error:
        return str(error)
    return None


def snapshot(
    model: str, revision: str | None, variant: str | None, *, may_fetch: bool = True
) -> Snapshot:
    """The snapshot of a hub model with all files that ``variant`` needs.

    A model that sdloop cannot run is refused before its weights are downloaded.
    """
    need = Need(
        check=partial(_check_whole, model, variant),
        fetch=partial(_fetch_model, variant),
        files=usual_patterns(variant),
    )
    return snapshot_for(need, model, revision, variant, may_fetch=may_fetch)


def _check_whole(model: str, variant: str | None, found: Snapshot) -> None:
    configs, _ = read_configs(model, found.folder)
    read_weights(found.folder, configs, variant, found.absent)
    tokenizer_folders(found.folder, configs)


def _fetch_model(variant: str | None, repository: Repository) -> None:
    """Download what is small, and the weights if that shows a model that runs."""
    if "model_index.json" not in repository.names:
        _explain_no_index(repository)
    repository.fetch(repository.matching(_SMALL), whole=False)
    try:
        configs, _ = read_configs(repository.model, repository.folder)
    except Incomplete as error:
        raise ModelError(f"{error}, also on the hub") from error
    repository.fetch(list(_weight_names(repository, configs, variant)))


def _explain_no_index(repository: Repository) -> None:
    """Raise ``ModelError`` for a repository that is not a model in diffusers' layout."""
    if "config.json" in repository.names:
        repository.fetch(["config.json"], whole=False)
        read_configs(repository.model, repository.folder)
    raise ModelError(f"{repository.model} has no model_index.json{single_files(repository)}")


def _weight_names(repository: Repository, configs: Configs, variant: str | None) -> Iterator[str]:
    """The names of the weight files to download, of all parts."""
    parts = [part for part in STEMS if part in configs]
    there = variants_of(repository.names, parts)
    check_variant(repository.model, there, variant)
    only_pickled = there.get(variant or "") == {BIN}
    for part in parts:
        yield from chosen_weights(
            repository, f"{part}/", STEMS[part], variant, only_pickled=only_pickled
        )


def chosen_weights(
    repository: Repository, home: str, stem: str, variant: str | None, *, only_pickled: bool = False
) -> tuple[str, ...]:
    """The names of one part's weight files; the cache notes which better ones do not exist."""
    there = forms(repository.names, home, stem)
    for form in preferred(there, variant, only_pickled=only_pickled):
        if form in there:
            return there[form]
        repository.note_absent(whole_name(home, stem, form))
    named = sorted({repr(variant) for variant, _ in there if variant is not None})
    part = home.removesuffix("/") or "weights"
    if named:
        raise ModelError(
            f"{repository.model} has its {part} only in the variants {', '.join(named)}: choose "
            "one with --variant"
        )
    raise ModelError(f"{repository.model} has no {home}{stem}{SAFE} on the hub, and no {BIN} file")


def part_snapshot(
    model: str, part: str, revision: str | None, variant: str | None, *, may_fetch: bool = True
) -> Snapshot:
    """The snapshot of a hub model that is a VAE, a UNet or a ControlNet, or contains one."""
    need = Need(
        check=partial(_check_part, part, variant),
        fetch=partial(_fetch_part, part, variant),
        files=("config.json", f"{part}/config.json", "*diffusion_pytorch_model.safetensors"),
    )
    return snapshot_for(need, model, revision, variant, may_fetch=may_fetch)


def _check_part(part: str, variant: str | None, found: Snapshot) -> None:
    home = "" if (found.folder / "config.json").is_file() else f"{part}/"
    read_json(found.folder, f"{home}config.json")
    weight_files(found.folder, home, ALL_STEMS[part], variant, absent=found.absent)


def _fetch_part(part: str, variant: str | None, repository: Repository) -> None:
    home = "" if "config.json" in repository.names else f"{part}/"
    if f"{home}config.json" not in repository.names:
        flag = _FLAGS.get(part, f"--{part}")
        files = single_files(repository, flag)
        raise ModelError(f"{repository.model} holds no {part} in diffusers' layout{files}")
    weights = chosen_weights(repository, home, ALL_STEMS[part], variant)
    small = (f"{home}*.json", f"{home}merges.txt")
    repository.fetch([*repository.matching(small), *weights])
