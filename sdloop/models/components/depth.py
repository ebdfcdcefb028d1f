"""Load the part of a depth model that finds out how near each place of a picture is."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.components.weights import BAD_CONFIG, check_finite, reason_of
from sdloop.schedulers.library_messages import no_library_messages

# The published weights lack these: the first layer has no result of a layer before to work on.
_UNUSED = "neck.fusion_stage.layers.0.residual_layer1."


def load_depth_estimator(
    config: Mapping[str, Any], tensors: Mapping[str, Tensor], source: str, device: torch.device
) -> Any:
    """The estimator (DPT), in float32: its batch norms are not made for less.

    Raises ``ModelError`` for a tensor that is missing, extra, of another shape or not finite.
    """
    from transformers import DPTConfig, DPTForDepthEstimation

    check_finite(source, tensors)
    try:
        with no_library_messages(), _without_bars():
            model, told = DPTForDepthEstimation.from_pretrained(
                None,
                config=DPTConfig.from_dict(dict(config)),
                state_dict=dict(tensors),
                dtype=torch.float32,
                output_loading_info=True,
            )
    except BAD_CONFIG as error:
        raise ModelError(f"{source} cannot be loaded: {reason_of(error)}") from error
    missing = sorted(name for name in told["missing_keys"] if not name.startswith(_UNUSED))
    for names, what in ((missing, "is missing"), (told["unexpected_keys"], "is not expected")):
        for name in names:
            raise ModelError(f"{source}: {name} {what}")
    return model.eval().requires_grad_(False).to(device)


def load_depth_processor(folder: Path) -> Any:
    """What scales pictures for the estimator, from a model's folder."""
    with no_library_messages():
        from transformers import DPTImageProcessor

        try:
            return DPTImageProcessor.from_pretrained(folder / "feature_extractor")
        except (OSError, *BAD_CONFIG) as error:
            raise ModelError(
                f"{folder} has no usable feature_extractor/preprocessor_config.json, which its "
                f"depth_estimator needs: {reason_of(error)}"
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
