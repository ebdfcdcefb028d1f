"""Where to find a worker: the user's private folder, with one socket per worker identity."""

import hashlib
import json
import os
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
_LONGEST = 86

# Variables that are read when a library is imported, or that decide how it computes, finds files or
# writes text: a worker serves only clients that have the same values.
_PREFIXES = (
    *("CUDA_", "NVIDIA_", "CUBLAS_", "CUDNN_", "PYTORCH_", "TORCH", "OMP_", "MKL_", "OPENBLAS_"),
    *("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "DIFFUSERS_", "XDG_CACHE_HOME", "HOME"),
    *("PYTHON", "LD_", "LC_", "LANG", "TZ", "KMP_", "HIP_", "ROCR_", "TMPDIR"),
)


def identity(environment: Mapping[str, str]) -> str:
    """What worker and client must have in common: the code, the Python and some variables.

    Sixteen hex digits. The model is not part of it: a worker checks its files at each call.
    """
    facts = {
        "code": _code(),
        "python": [sys.executable, sys.prefix, sys.version],
        "path": [one for one in sys.path[1:] if one],
        "variables": {
            name: value for name, value in sorted(environment.items()) if name.startswith(_PREFIXES)
        },
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def _code() -> list[tuple[str, int, int]]:
    """Size and time of every source file, to notice edits and other versions."""
    files = ((path, path.stat()) for path in PACKAGE.rglob("*.py"))
    return sorted((str(path), one.st_size, one.st_mtime_ns) for path, one in files)


def folder() -> Path | None:
    """The user's private folder for sockets, created if it is missing.

    None if the system has no such sockets, or if the folder belongs to another user.
    """
    if not hasattr(socket, "AF_UNIX") or not hasattr(socket, "send_fds"):
        return None
    named = [os.environ.get(name) for name in ("XDG_RUNTIME_DIR", "TMPDIR")]
    homes = [Path(name) for name in (*named, "/tmp") if name and Path(name).is_dir()]
    paths = [home / f"sdloop-{os.getuid()}" for home in homes]
    # The path of a socket may have 108 bytes at most, 104 on macOS.
    path = next(path for path in paths if len(os.fsencode(path)) <= _LONGEST)
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError:
        return None
    ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    return path if ours and stat.S_IMODE(status.st_mode) == 0o700 else None
