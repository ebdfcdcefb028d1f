"""Why a file of the hub cannot be had: one line for each reason, with what to do about it."""

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sdloop.errors import ModelError

# What a model needs, where the hub's list of files is not known.
_USUAL = (
    *("*.json", "*/merges.txt", "text_encoder*/model{}.safetensors"),
    *("unet/*_model{}.safetensors", "vae/*_model{}.safetensors"),
)


def usual_patterns(variant: str | None) -> tuple[str, ...]:
    """Patterns for the files of a whole model; its safety checker and pickles stay out."""
    dotted = f".{variant}" if variant else ""
    return tuple(pattern.format(dotted) for pattern in _USUAL)


def download_command(model: str, revision: str | None, files: Collection[str]) -> str:
    """The shell command that downloads these files of a model, which may be patterns.

    >>> download_command("org/tiny", None, ["*.json", "vae/config.json"])
    "hf download org/tiny --include '*.json' --include vae/config.json"
    """
    import shlex

    of = ["--revision", revision] if revision else []
    names = [word for file in files for word in ("--include", file)]
    if not any(re.search(r"[*?\[]", file) for file in files):
        names = list(files)
    return shlex.join(["hf", "download", model, *names, *of])


@contextmanager
def explained(
    model: str, revision: str | None, why: str, files: Collection[str], *, underway: bool
) -> Iterator[None]:
    """Turn the errors of the hub's library into ``ModelError``.

    ``why`` says what is missing here, ``files`` are the files to download; ``underway`` says that
    the hub could be reached before.
    """
    from huggingface_hub import errors

    try:
        yield
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]
        command = download_command(model, revision, files)
        reason = _reason(error, model, revision, why, command, underway=underway)
        raise ModelError(reason) from error


def _reason(
    error: Any, model: str, revision: str | None, why: str, command: str, *, underway: bool
) -> str:
    from huggingface_hub import errors

    match error:
        case errors.OfflineModeIsEnabled():
            return f"{why}, and HF_HUB_OFFLINE is set: unset it and run `{command}`"
        case errors.GatedRepoError():
            return (
                f"{why}, and it is gated: accept its terms at https://huggingface.co/{model}, "
                "then `hf auth login`"
            )
        case errors.RevisionNotFoundError():
            return f"{model} has no revision {revision!r} on the hub"
        case errors.RepositoryNotFoundError():
            return f"{why}, and the hub has no such model, or it is private (`hf auth login`)"
        case errors.DisabledRepoError():
            return f"{why}, and the hub has disabled it"
        case errors.HfHubHTTPError() if error.response.status_code in (401, 403):
            status = error.response.status_code
            return f"{why}, and the hub does not accept your login ({status}): `hf auth login`"
        case errors.HfHubHTTPError():
            return f"{why}, and {refusal('the hub', error.response)}"
        case errors.HTTPError() if underway:  # type: ignore[attr-defined]
            return f"{why}, and the connection broke: the next start continues the download"
        case errors.HTTPError():  # type: ignore[attr-defined]
            return f"{why}, and the hub cannot be reached: once online, run `{command}`"
    return f"{why}, and the download failed: {str(error).splitlines()[0]}"


def refusal(who: str, response: Any) -> str:
    """What a server's answer that is an error means.

    Its address stays out of the message: it may hold a key.
    """
    status = response.status_code
    answer = f"{who} answered {status} {response.reason_phrase}".rstrip()
    if status == 429:
        return f"{who} allows no more requests for now ({status}): {_when(response.headers)}"
    return f"{answer}: try again later" if status >= 500 else answer


def _when(headers: Mapping[str, str]) -> str:
    """When to try again, from Retry-After or the hub's own RateLimit header."""
    after = headers.get("Retry-After", "").strip()
    reset = re.search(r";\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    if after.isdigit() or (not after and reset):
        return f"try again in {after or (reset and reset[1])} seconds"
    return f"try again after {after}" if after else "try again later"
