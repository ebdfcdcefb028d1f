"""Keep the last loaded model in memory, for a worker and for ``sdloop.generate``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.models.checkpoint.value import Checkpoint

if TYPE_CHECKING:
    from sdloop.models.components.load import Components

Stamp = tuple[object, ...]


@dataclass(kw_only=True)
class ModelCache:
    """Keeps one model, as long as its files, device, precision and so on stay the same."""

    _stamp: Stamp | None = field(default=None, init=False)
    _components: "Components | None" = field(default=None, init=False)

    @property
    def name(self) -> str:
        found = self._components and self._components.checkpoint
        return "" if not found else found.name

    def load(
        self,
        load: "Callable[[], Components]",
        checkpoint: Checkpoint,
        *how: str,
    ) -> "Components":
        """``load()``, or the kept result if it is the same model, loaded in the same way."""
        stamp = (*_files(checkpoint), *how)
        if self._components is None or stamp != self._stamp:
            self.forget()
            self._components = load()
            # Taken before loading: files that change meanwhile are noticed the next time.
            self._stamp = stamp
        return self._components

    def rest(self) -> None:
        """Give back the GPU memory that the last call needed; the model stays."""
        if self._components is not None and self._components.device.type == "cuda":
            from sdloop.models.components.offload import release
            from sdloop.models.memory import free_memory

            release(self._components.unet)
            free_memory()

    def forget(self) -> None:
        """Drop the model and free its GPU memory."""
        self._stamp = self._components = None
        import gc

        import torch

        from sdloop.models.components.control import forget_controlnets
        from sdloop.models.components.image_adapter import forget_image_adapters
        from sdloop.models.components.safety import forget_safety_checker

        forget_controlnets()
        forget_image_adapters()
        forget_safety_checker()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _files(checkpoint: Checkpoint) -> Iterator[object]:
    """Path, size, time and inode of every file that the model is read from."""
    yield checkpoint.name, checkpoint.revision, checkpoint.variant
    if checkpoint.refiner is not None:
        yield from _files(checkpoint.refiner)
    given = (checkpoint.path, checkpoint.vae_path, checkpoint.unet_path)
    folders = [path for path in given if path is not None]
    weights = (file for part in checkpoint.weights.values() for file in part)
    paths = {*weights, *folders, *checkpoint.tokenizers.values()}
    for file in sorted({file for path in paths for file in _within(path)}):
        found = file.stat()
        yield str(file), found.st_size, found.st_mtime_ns, found.st_ino


def _within(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for found in path.rglob("*"):
        if found.is_file():
            yield found
