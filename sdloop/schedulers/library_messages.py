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
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=_LIBRARIES)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
