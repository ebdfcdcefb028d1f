"""Files of Civitai: announced by its API, downloaded once into sdloop's own cache folder.

The key of an account (``CIVITAI_API_TOKEN``) is sent in a header to Civitai alone: never to the
server that it leads to, and never in an address.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sdloop.errors import ModelError
from sdloop.models.checkpoint.addresses import ENDINGS, CivitaiAddress
from sdloop.models.checkpoint.hash_cache import cache_folder
from sdloop.models.checkpoint.hub_errors import refusal
from sdloop.models.checkpoint.transfer import PART, Watch, receive, run_jobs

SERVER = "https://civitai.com"
_KEY = "CIVITAI_API_TOKEN"


@dataclass(frozen=True, kw_only=True, slots=True)
class Announced:
    """A file as the API describes it; ``sha256`` is None if it does not say."""

    name: str
    sha256: str | None


def civitai_file(address: CivitaiAddress, *, may_fetch: bool = True) -> Path:
    """The file at ``address``, downloaded if it is not in the cache. Raises ``ModelError``."""
    home = _home(address)
    held = [path for path in _files(home) if not path.name.endswith(PART)]
    if held:
        return held[0]
    why = f"version {address.version} of Civitai is not in the cache"
    if not may_fetch:
        raise ModelError(f"{why}; a command that makes pictures downloads it")
    with _explained(why):
        announced = _announced(address)
        run_jobs([partial(_fetch, address, announced)], announced.name)
    return home / announced.name


def _fetch(address: CivitaiAddress, announced: Announced, watch: Watch) -> None:
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    home = _home(address)
    query = f"?{urlencode(address.choices)}" if address.choices else ""
    ask = partial(_ask, f"/api/download/models/{address.version}{query}")
    lock = home.parent / ".locks" / f"{home.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if not (home / announced.name).exists():
            what = f"{announced.name} of Civitai"
            file = home / announced.name
            receive(ask, file, watch, size=None, digest=announced.sha256, what=what)


def held_files() -> Iterator[tuple[str, Path]]:
    """Each file in the cache, with the address that it was downloaded from."""
    for home in _files(cache_folder() / "civitai"):
        version, *choices = home.name.split("-")
        query = f"?{'&'.join(choices)}" if choices else ""
        for path in _files(home):
            if version.isdecimal() and not path.name.endswith(PART):
                yield f"https://civitai.com/api/download/models/{version}{query}", path


def _home(address: CivitaiAddress) -> Path:
    """The folder of one file: its name is made of what selects the file."""
    choices = [f"{key}={value}" for key, value in sorted(address.choices.items())]
    name = re.sub(r"[^\w=.-]", "_", "-".join([address.version, *choices]))
    return cache_folder() / "civitai" / name


def _files(home: Path) -> list[Path]:
    return sorted(home.iterdir()) if home.is_dir() else []


def _announced(address: CivitaiAddress) -> Announced:
    """The file that an address selects, by the API's description of its version."""
    with _ask(f"/api/v1/model-versions/{address.version}", {}) as response:
        text = response.read()
    try:
        files = json.loads(text)["files"]
        best = max(files, key=partial(_fits, address.choices))
        name = str(best["name"])
        sha256 = str(best.get("hashes", {}).get("SHA256", "")).lower()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelError(
            f"Civitai describes version {address.version} in an unknown way"
        ) from error
    if not name.lower().endswith(ENDINGS) or re.search(r"[/\\\x00]", name):
        raise ModelError(f"version {address.version} of Civitai is {name!r}, which is not a model")
    return Announced(name=name, sha256=sha256 if re.fullmatch("[0-9a-f]{64}", sha256) else None)


def _fits(choices: Mapping[str, str], file: Mapping[str, Any]) -> tuple[int, bool]:
    """How many of the choices a file meets, and whether it is the main one."""
    facts = {"type": file.get("type"), **(file.get("metadata") or {})}
    met = sum(str(facts.get(key)).lower() == value.lower() for key, value in choices.items())
    return met, bool(file.get("primary"))


@contextmanager
def _ask(path: str, headers: Mapping[str, str]) -> Iterator[Any]:
    """A response to read; raises ``ModelError`` if it is an error or a page to log in."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    key = os.environ.get(_KEY, "").strip()
    own = {"Authorization": f"Bearer {key}"} if key else {}
    wait = constants.HF_HUB_DOWNLOAD_TIMEOUT
    session = get_session()
    with session.stream("GET", SERVER + path, headers={**own, **headers}, timeout=wait) as answer:
        page = "html" in answer.headers.get("Content-Type", "") and answer.status_code < 400
        if page or (answer.status_code in (401, 403) and not answer.history):
            raise ModelError(_explain_login(bool(key)))
        if answer.status_code >= 400 and answer.status_code != 416:
            raise ModelError(f"no download: {refusal('Civitai', answer)}")
        yield answer


def _explain_login(key: bool) -> str:
    if key:
        return f"Civitai does not accept the key in {_KEY} for this file"
    return (
        f"Civitai gives this file only to its users: set {_KEY} to a key of your account "
        "(civitai.com/user/account)"
    )


@contextmanager
def _explained(why: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise ModelError(f"{why}, and HF_HUB_OFFLINE is set: unset it and try again") from error
    except errors.HTTPError as error:  # type: ignore[attr-defined]
        raise ModelError(
            f"{why}, and Civitai cannot be reached, or the connection broke: the next start "
            "continues the download"
        ) from error
    except OSError as error:
        raise ModelError(f"{why}, and the download failed: {error.strerror or error}") from error
