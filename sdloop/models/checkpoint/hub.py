"""Models of the Hugging Face hub: from the cache, otherwise downloaded once.

If all files are in the cache, the network is not used. Missing files are reported in one line.
"""

import itertools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.folder import (
    STEMS,
    Configs,
    Incomplete,
    own_files,
    read_configs,
    read_weights,
    stem_of,
    tokenizer_folders,
)

# All small files that a model may need: configs, indices of shards, vocabularies.
_SMALL = ("*.json", "*/merges.txt")


def snapshot(
    model: str,
    revision: str | None,
    variant: str | None,
    *,
    may_fetch: bool = True,
    refines: bool = False,
) -> Path:
    """The folder of a hub model with all files that ``variant`` needs.

    Raises ``ModelError`` if it is not in the cache and cannot be downloaded. A model that sdloop
    cannot run is refused before its weights are downloaded.
    """
    folder = cached(model, revision)
    why = f"{model} is not in the cache"
    if folder is not None:
        try:
            _check_whole(model, folder, variant, refines)
        except Incomplete as error:
            why = str(error)
        else:
            return folder
    if not may_fetch:
        raise ModelError(f"{why}; `{download_command(model, revision)}` downloads it")
    folder = fetch(model, revision, _SMALL, why)
    try:
        configs, _ = read_configs(model, folder, refines=refines)
        if variant is not None:
            _check_variant(model, revision, configs, variant)
        _fetch_weights(model, revision, folder, configs, variant, why)
        _check_whole(model, folder, variant, refines)
    except Incomplete as error:  # offline, the hub's library returns an incomplete folder
        command = download_command(model, revision)
        raise ModelError(f"{error}; if the hub has it, `{command}` downloads it") from error
    return folder


def _check_whole(model: str, folder: Path, variant: str | None, refines: bool) -> None:
    configs, _ = read_configs(model, folder, refines=refines)
    read_weights(folder, configs, variant)
    tokenizer_folders(folder, configs)


def _check_variant(model: str, revision: str | None, configs: Configs, variant: str) -> None:
    """Raise ``ModelError`` for a variant that the hub does not have, before a download of weights.

    Where the list of files cannot be had, the download itself says why.
    """
    from huggingface_hub import HfApi, errors

    try:
        files = HfApi().list_repo_files(model, revision=revision)
    except (errors.HTTPError, OSError):  # type: ignore[attr-defined]
        return
    there = set()
    for part, ending in itertools.product(configs.keys() & STEMS.keys(), (".safetensors", ".bin")):
        shard = r"(?:-\d{5}-of-\d{5})?"
        stem = re.escape(f"{part}/{stem_of(STEMS[part], ending)}")
        pattern = re.compile(rf"{stem}{shard}\.([\w-]+?){shard}{re.escape(ending)}")
        there |= {match[1] for match in map(pattern.fullmatch, files) if match}
    if variant not in there:
        names = ", ".join(map(repr, sorted(there))) or "none"
        raise ModelError(f"{model} has no variant {variant!r} (it has {names})")


def _fetch_weights(
    model: str, revision: str | None, folder: Path, configs: Configs, variant: str | None, why: str
) -> None:
    """Download the variant's files, then the plain ones of parts without this variant.

    Parts that have no .safetensors files are downloaded as ``.bin`` files, in the same order.
    """
    missing = [part for part in STEMS if part in configs]
    wanted = (variant, None) if variant else (None,)
    for ending, dotted in itertools.product((".safetensors", ".bin"), wanted):
        missing = [
            p for p in missing if not _has_weights(folder, f"{p}/", STEMS[p], dotted, ending)
        ]
        patterns = [glob for p in missing for glob in _patterns(f"{p}/", STEMS[p], dotted, ending)]
        if patterns:
            fetch(model, revision, tuple(patterns), why)
        missing = [
            p for p in missing if not _has_weights(folder, f"{p}/", STEMS[p], dotted, ending)
        ]


def part_snapshot(model: str, part: str, *, may_fetch: bool = True) -> Path:
    """The folder of a hub model that is a VAE or a UNet, or contains one."""
    folder = cached(model, None)
    stem = STEMS[part]
    for home in ("", f"{part}/"):
        if folder is not None and _has_weights(folder, home, stem, None):
            return folder
    if not may_fetch:
        raise ModelError(
            f"{model} is not in the cache; `{download_command(model, None)}` downloads it"
        )
    patterns = [*_SMALL, *_patterns("", stem, None), *_patterns(f"{part}/", stem, None)]
    return fetch(model, None, tuple(patterns), f"{model} is not in the cache")


def _has_weights(
    folder: Path, home: str, stem: str, variant: str | None, ending: str = ".safetensors"
) -> bool:
    try:
        return bool(own_files(folder, home, stem, variant, ending))
    except Incomplete:  # a shard is missing
        return False


def _patterns(
    home: str, stem: str, variant: str | None, ending: str = ".safetensors"
) -> tuple[str, ...]:
    """Name patterns for weights of this variant, as one file or in shards."""
    dotted = f".{variant}" if variant else ""
    shard, stem = "-?????-of-?????", stem_of(stem, ending)
    return (
        f"{home}{stem}{dotted}{ending}",
        f"{home}{stem}{dotted}{shard}{ending}",
        f"{home}{stem}{shard}{dotted}{ending}",
    )


def cached(model: str, revision: str | None) -> Path | None:
    """The snapshot of ``model`` in the cache, complete or not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # Without patterns, files that sdloop does not need would count as missing.
        return Path(
            snapshot_download(model, revision=revision, local_files_only=True, allow_patterns=[])
        )
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelError(
            f"{model!r} is neither a path that exists nor a hub id like owner/name"
        ) from error


def fetch(model: str, revision: str | None, patterns: tuple[str, ...], why: str) -> Path:
    """Download the matching files, without retries, and return the snapshot's folder.

    ``why`` says what is missing, for error messages.
    """
    from huggingface_hub import constants, errors, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    command = download_command(model, revision)
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"{why}, and HF_HUB_OFFLINE is set: unset it and run `{command}`")
    try:
        with _bars_on_terminals_only():
            path = snapshot_download(model, revision=revision, allow_patterns=list(patterns))
        return Path(path)
    except GatedRepoError as error:
        raise ModelError(
            f"{why}, and it is gated: accept its terms at https://huggingface.co/{model}, then "
            "`hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{model} has no revision {revision!r} on the hub") from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"{why}, and the hub has no such model, or it is private (`hf auth login`)"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{why}, and the hub cannot be reached: once online, run `{command}`"
        ) from error
    # The errors of the HTTP library that huggingface_hub uses.
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise ModelError(f"{why}, and the download failed: {str(error).splitlines()[0]}") from error


def download_command(model: str, revision: str | None) -> str:
    """The shell command that downloads a model."""
    return f"hf download {model}" + (f" --revision {revision}" if revision else "")


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """Hide progress bars unless stderr is a terminal: the hub's library also fills log files."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
