"""Silence the log lines and warnings of Hugging Face's libraries and their dependencies."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = r"(accelerate|diffusers|peft|torchsde|transformers)(\.|$)"


@contextmanager
def no_library_messages() -> Iterator[None]:
    """Keep the libraries' log lines and warnings off stderr inside the block."""
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        _set_level(logger, logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=_LIBRARIES)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            _set_level(logger, level)


def _set_level(logger: logging.Logger, level: int) -> None:
    """Set it if it differs, because that clears a cache in each of the thousands of loggers."""
    if logger.level != level:
        logger.setLevel(level)
