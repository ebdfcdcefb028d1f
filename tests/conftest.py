"""Fixtures for every test: a temporary home folder, no network, and few threads."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from helpers.forked import Nursery

# A deadline on a shared machine measures the neighbours. Before a release, or after a change of a
# parser: pytest --hypothesis-profile thorough.
settings.register_profile("sdloop", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile("sdloop")

# A suite in the background of a shell is started with it ignored, and so would be what it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What the tests start would compile all of sdloop again, each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Their readers do so when they are imported.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["DIFFUSERS_VERBOSITY"] = "error"
os.environ["OMP_NUM_THREADS"] = "1"

# Every picture waits for fsync(), on a disk as long as a tiny model works on it.
_memory = Path("/dev/shm")
if (
    "TMPDIR" not in os.environ
    and os.access(_memory, os.W_OK)
    and shutil.disk_usage(_memory).free > 4 << 30
):
    os.environ["TMPDIR"] = tempfile.tempdir = str(_memory)


class Homes:
    """Home folders, each for one test, or for several that leave nothing in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._home: Path | None = None

    def unused(self) -> Path:
        if self._home is None or list(self._home.rglob("*")) != [self._home / "run"]:
            # Not mktemp() of the factory, which reads all names that it gave before.
            self._home = Path(tempfile.mkdtemp(dir=self._folder, prefix=""))
            (self._home / "run").mkdir()
        return self._home


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    return Homes(tmp_path_factory.mktemp("homes"))


@pytest.fixture(autouse=True)
def isolated(homes: Homes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's settings and caches out of the tests, and the tests out of them."""
    home = homes.unused()
    for name in [name for name in os.environ if name.startswith(("SDLOOP_", "XDG_", "HF_HOME"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    monkeypatch.setenv("SDLOOP_WORKER", "never")  # but for tests of it
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models crawl on many threads. Tests that need no torch must not pay for it."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    yield


@pytest.fixture(autouse=True)
def kept_models() -> Iterator[None]:
    """Commands in this process load a model that no test changes once, as a worker does."""
    from helpers.kept import keep

    from sdloop.worker.inside import HOST, Host

    token = HOST.set(Host(load=keep))
    yield
    HOST.reset(token)


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> "Iterator[Nursery]":
    """Where commands and scripts run as processes that need not import torch again."""
    from helpers.forked import Nursery

    own = tmp_path_factory.getbasetemp()
    with Nursery(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) as one:
        one.keep(tiny_model)
        yield one


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model of 32x32 pixels, whose pictures take milliseconds."""
    from helpers.kept import UNCHANGED
    from helpers.tiny import save_diffusers_folder, tiny_sd1

    folder = tmp_path_factory.mktemp("models") / "tiny"
    UNCHANGED.add(folder)
    return save_diffusers_folder(tiny_sd1(), folder)


@pytest.fixture(scope="session")
def tiny_sdxl_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of SDXL's shape."""
    from helpers.kept import UNCHANGED
    from helpers.tiny import save_diffusers_folder, tiny_sdxl

    folder = tmp_path_factory.mktemp("models") / "tiny-sdxl"
    UNCHANGED.add(folder)
    return save_diffusers_folder(tiny_sdxl(), folder)
