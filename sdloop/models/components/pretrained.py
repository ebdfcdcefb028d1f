"""Load a transformers model from tensors that were read and checked here."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.vision import VisionModel
from sdloop.models.components.weights import BAD_CONFIG, check_finite, reason_of
from sdloop.schedulers.library_messages import no_library_messages


def pretrained(
    kind: Any,
    config: Any,
    tensors: Mapping[str, Tensor],
    source: str,
    device: torch.device,
    *,
    unused: str = "\0",
) -> Any:
    """The model of the class ``kind`` with these weights, in float32, on ``device``.

    transformers knows how the names of its tensors have changed. ``config`` is its config's class
    and values, and names of tensors that begin with ``unused`` may be missing. On the meta device
    it has no weights but their sizes. Raises ``ModelError`` for a tensor that is missing, extra, of
    another shape or not finite.
    """
    check_finite(source, tensors)
    config_kind, values = config
    try:
        if device.type == "meta":
            with init_empty_weights(), no_library_messages():
                return kind(config_kind.from_dict(dict(values))).eval().to(device)
        with no_library_messages(), _without_bars():
            model, loading = kind.from_pretrained(
                None,
                config=config_kind.from_dict(dict(values)),
                state_dict=dict(tensors),
                dtype=torch.float32,
                output_loading_info=True,
            )
    except BAD_CONFIG as error:
        raise ModelError(f"{source} cannot be loaded: {reason_of(error)}") from error
    missing = sorted(name for name in loading["missing_keys"] if not name.startswith(unused))
    for names, what in ((missing, "is missing"), (loading["unexpected_keys"], "is not expected")):
        for name in names:
            raise ModelError(f"{source}: {name} {what}")
    return model.eval().requires_grad_(False).to(device)


def processor_of(kind: Any, found: VisionModel) -> Any:
    """What prepares pictures for the model that makes maps in ``found``, of the class ``kind``."""
    try:
        with no_library_messages():
            return kind.from_pretrained(found.folder, local_files_only=True)
    except (OSError, *BAD_CONFIG) as error:
        raise ModelError(
            f"the preprocess_model {found.name} cannot be read: {reason_of(error)}"
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of transformers, which it also writes into log files."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
