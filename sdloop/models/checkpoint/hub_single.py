"""Single files in repositories of the hub: whole models, VAEs and LoRAs."""

from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.hub_errors import download_command
from sdloop.models.checkpoint.repository import Repository, ask_hub, cached
from sdloop.models.checkpoint.weight_names import STEMS

_ENDINGS = (".safetensors", ".ckpt")
_SHOWN = 6  # of many files


def single_file(model: str, revision: str | None, file: str, *, may_fetch: bool = True) -> Path:
    """One file of a repository, in its snapshot. Raises ``ModelError``."""
    folder = cached(model, revision)
    if folder is not None and (folder / file).is_file():
        return folder / file
    why = f"{model}/{file} is not in the cache"
    if not may_fetch:
        raise ModelError(f"{why}; `{download_command(model, revision, [file])}` downloads it")
    repository = ask_hub(model, revision, why, [file])
    if file not in repository.names:
        raise ModelError(f"{model} has no file {file} on the hub{single_files(repository)}")
    repository.fetch([file])
    return repository.folder / file


def single_files(repository: Repository, flag: str = "--model") -> str:
    """The rest of a message: the single files of a repository, each with the flag to use it."""
    parts = tuple(f"{part}/" for part in (*STEMS, "safety_checker"))
    whole = [n for n in sorted(repository.names) if n.endswith(_ENDINGS)]
    files = [name for name in whole if not name.startswith(parts)]
    if not files:
        return ", and no single file"
    of = f" --revision {repository.revision}" if repository.revision else ""
    shown = [f"{flag} {repository.model}/{name}{of}" for name in files[:_SHOWN]]
    more = f", and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"; its single files are {', '.join(shown)}{more}"
