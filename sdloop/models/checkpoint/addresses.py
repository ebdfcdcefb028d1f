"""What a model's name means: a path, a hub id, a file in a repository, or a web address.

Nothing is read here but whether a path exists. A name goes into the metadata of pictures, so web
addresses may hold nothing that is secret or that changes: a query with a key is refused.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from sdloop.errors import ModelError, SettingError
from sdloop.spelling import COPIES, existing, is_there

# Files that hold a whole model, a VAE, a LoRA or an embedding.
ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_MODELS = (".safetensors", ".ckpt")

_HUB = ("huggingface.co", "www.huggingface.co", "hf.co")
_CIVITAI = ("civitai.com", "www.civitai.com")
# What the query of an address may choose; anything else may be a key or a signature.
_CHOICES = ("type", "format", "size", "fp")


@dataclass(frozen=True, kw_only=True, slots=True)
class HubAddress:
    """A repository of the Hugging Face hub, or one ``file`` in it."""

    model: str
    file: str | None = None
    revision: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CivitaiAddress:
    """A version of a model on Civitai; ``choices`` select one of its files, as in its address."""

    version: str
    choices: Mapping[str, str] = field(default_factory=dict)


Address = Path | HubAddress | CivitaiAddress


def address_of(name: str, *, endings: tuple[str, ...] = _MODELS) -> Address:
    """What ``name`` means.

    A path that exists wins over a hub id. A mistyped path must not be sent to the hub, so anything
    that looks like a path must exist. ``endings`` are those of files that serve.

    >>> address_of("https://huggingface.co/org/tiny/blob/v2/tiny.safetensors")
    HubAddress(model='org/tiny', file='tiny.safetensors', revision='v2')
    """
    remote = remote_address(name, endings=endings)
    if remote is not None:
        return remote
    path = local_path(name)
    return HubAddress(model=name) if path is None else path


def remote_address(
    name: str, *, endings: tuple[str, ...] = _MODELS
) -> HubAddress | CivitaiAddress | None:
    """A web address, or a file in a repository; None for a path or a whole repository."""
    if re.match(r"https?://", name, re.IGNORECASE):
        return _web_address(name, endings)
    return _file_on_hub(name, endings)


def local_path(model: str) -> Path | None:
    """The path that ``model`` means, or None for a hub id.

    It may be spelled as on another system: see ``spelling``.
    """
    path = Path(model)
    if model.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError as error:
            raise ModelError(f"{model} names the home folder of an unknown user") from error
    path = existing(path)
    if is_there(path):
        return path
    if model.lower().endswith(_MODELS):
        raise ModelError(f"there is no file {path}")
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or "\\" in model:
        raise ModelError(f"there is no folder {path}")
    return None


def _file_on_hub(name: str, endings: tuple[str, ...]) -> HubAddress | None:
    """``owner/name/FILE`` is on the hub, unless its first folder exists: then a path is wrong."""
    if Path(name) in COPIES:
        return None
    owner, _, rest = name.partition("/")
    model, _, file = rest.partition("/")
    parts = (owner, model, *file.split("/"))
    if not file.lower().endswith(endings) or not all(re.fullmatch(r"[^\\:]+", p) for p in parts):
        return None
    if owner.startswith((".", "~")) or ".." in parts or is_there(existing(Path(owner))):
        return None
    return HubAddress(model=f"{owner}/{model}", file=file)


def _web_address(name: str, endings: tuple[str, ...]) -> HubAddress | CivitaiAddress:
    try:
        url = urlsplit(name)
        host = (url.hostname or "").lower()
    except ValueError as error:
        raise SettingError(f"a model's web address is malformed: {error}") from error
    shown = f"{url.scheme}://{host}{url.path}"  # without what may be secret
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    if host in _CIVITAI:
        found: HubAddress | CivitaiAddress = _civitai(url, query, shown)
    elif host in _HUB or host == _own_hub():
        found = _hub(url, query, shown, endings)
    else:
        raise SettingError(
            f"{shown} is on an unknown server: web addresses must be of huggingface.co or "
            "civitai.com; download the file, and give its path"
        )
    extra = sorted(query)
    if url.username is not None or url.password is not None or extra:
        what = f"?{extra[0]}=…" if extra else "a user's name"
        raise SettingError(
            f"{shown} was given with {what}, which may be secret and would be written into "
            "pictures: leave it out, and see `hf auth login` or CIVITAI_API_TOKEN"
        )
    return found


def _own_hub() -> str:
    """The host of another hub than the public one, from HF_ENDPOINT."""
    return (urlsplit(os.environ.get("HF_ENDPOINT", "")).hostname or "").lower()


def _hub(
    url: SplitResult, query: dict[str, str], shown: str, endings: tuple[str, ...]
) -> HubAddress:
    query.pop("download", None)
    parts = [unquote(part) for part in url.path.strip("/").split("/")]
    owner_and_name, kind, rest = "/".join(parts[:2]), parts[2:3], parts[3:]
    usual = ".." not in parts and "" not in parts and len(parts) > 1
    if usual and not kind:
        return HubAddress(model=owner_and_name)
    if usual and kind == ["tree"] and len(rest) == 1:
        return HubAddress(model=owner_and_name, revision=_not_main(rest[0]))
    file = "/".join(rest[1:])
    if usual and kind in (["blob"], ["resolve"]) and file.lower().endswith(endings):
        return HubAddress(model=owner_and_name, file=file, revision=_not_main(rest[0]))
    raise SettingError(
        f"{shown} must be the address of a model or of a file ({', '.join(endings)}), as in "
        "https://huggingface.co/OWNER/NAME/blob/main/FILE.safetensors"
    )


def _not_main(revision: str) -> str | None:
    return None if revision == "main" else revision


def _civitai(url: SplitResult, query: dict[str, str], shown: str) -> CivitaiAddress:
    download = re.fullmatch(r"/api/download/models/(\d+)/?", url.path)
    page = re.match(r"/models/\d+(/|$)", url.path)
    version = query.pop("modelVersionId", "") if page else download[1] if download else ""
    if not version.isdecimal():
        raise SettingError(
            f"{shown} does not say which version of a model: open its page, choose a version, and "
            "copy the address of the download, as in https://civitai.com/api/download/models/12345"
        )
    choices = {key: query.pop(key) for key in _CHOICES if key in query}
    return CivitaiAddress(version=version, choices=choices)
