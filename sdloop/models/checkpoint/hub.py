"""Models of the Hugging Face hub: from the cache when they are there, else fetched once.

With all files in the cache nothing touches the network. What is missing is said in one line.
"""

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
    tokenizer_folders,
)

# All small files that any part needs: configs, indices of shards, vocabularies.
_SMALL = ("*.json", "*/merges.txt")


def snapshot(
    model: str, revision: str | None, variant: str | None, *, may_fetch: bool = True
) -> Path:
    """The folder of a hub model with all that ``variant`` needs.

    Raises ``ModelError`` where it is neither in the cache nor to be had, and for a model that
    sdloop does not run before its weights are fetched.
    """
    folder = cached(model, revision)
    why = f"{model} is not in the cache"
    if folder is not None:
        try:
            _check_whole(model, folder, variant)
        except Incomplete as error:
            why = str(error)
        else:
            return folder
    if not may_fetch:
        raise ModelError(f"{why}; `{download_command(model, revision)}` gets it")
    folder = fetch(model, revision, _SMALL, why)
    try:
        configs, _ = read_configs(model, folder)
        _fetch_weights(model, revision, folder, configs, variant, why)
        _check_whole(model, folder, variant)
    except Incomplete as error:  # without a network the hub's library is content with what it has
        command = download_command(model, revision)
        raise ModelError(f"{error}; if the hub has it, `{command}` gets it") from error
    return folder


def _check_whole(model: str, folder: Path, variant: str | None) -> None:
    configs, _ = read_configs(model, folder)
    read_weights(folder, configs, variant)
    tokenizer_folders(folder, configs)


def _fetch_weights(
    model: str, revision: str | None, folder: Path, configs: Configs, variant: str | None, why: str
) -> None:
    """First the variant's files, then the plain ones of the parts that have no such variant."""
    missing = [part for part in STEMS if part in configs]
    for wanted in (variant, None) if variant else (None,):
        missing = [p for p in missing if not _has_weights(folder, f"{p}/", STEMS[p], wanted)]
        patterns = [glob for p in missing for glob in _patterns(f"{p}/", STEMS[p], wanted)]
        if patterns:
            fetch(model, revision, tuple(patterns), why)
        missing = [p for p in missing if not _has_weights(folder, f"{p}/", STEMS[p], wanted)]


def vae_snapshot(model: str, *, may_fetch: bool = True) -> Path:
    """The folder of a hub model that is a VAE, or that has one."""
    folder = cached(model, None)
    stem = STEMS["vae"]
    for home in ("", "vae/"):
        if folder is not None and _has_weights(folder, home, stem, None):
            return folder
    if not may_fetch:
        raise ModelError(f"{model} is not in the cache; `{download_command(model, None)}` gets it")
    patterns = [*_SMALL, *_patterns("", stem, None), *_patterns("vae/", stem, None)]
    return fetch(model, None, tuple(patterns), f"{model} is not in the cache")


def _has_weights(folder: Path, home: str, stem: str, variant: str | None) -> bool:
    try:
        return bool(own_files(folder, home, stem, variant))
    except Incomplete:  # a shard is missing
        return False


def _patterns(home: str, stem: str, variant: str | None) -> tuple[str, ...]:
    """The names that weights may have, whole or in shards, without those of other variants."""
    dotted = f".{variant}" if variant else ""
    shard = "-?????-of-?????"
    return (
        f"{home}{stem}{dotted}.safetensors",
        f"{home}{stem}{dotted}{shard}.safetensors",
        f"{home}{stem}{shard}{dotted}.safetensors",
    )


def cached(model: str, revision: str | None) -> Path | None:
    """The snapshot of ``model`` in the cache, complete or not."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        # Without patterns it would miss the files that sdloop never wanted.
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
    """Download the files that match, without retries, and return the snapshot's folder.

    ``why`` says what is missing, for the message when the hub cannot be reached.
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
        raise ModelError(f"{why}, and HF_HUB_OFFLINE is set: without it, run `{command}`")
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
            f"{why}, and it is no model of the hub, or a private one (`hf auth login`)"
        ) from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f"{why}, and the hub cannot be reached: with a network, run `{command}`"
        ) from error
    # Whichever HTTP library the hub's has under its name.
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        raise ModelError(f"{why}, and fetching failed: {str(error).splitlines()[0]}") from error


def download_command(model: str, revision: str | None) -> str:
    """What fetches a model beforehand."""
    return f"hf download {model}" + (f" --revision {revision}" if revision else "")


@contextmanager
def _bars_on_terminals_only() -> Iterator[None]:
    """The hub's library draws its progress bars into log files as well."""
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
