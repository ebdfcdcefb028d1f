"""Hugging Face's libraries, and those below them, without what they tell their programmers."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LIBRARIES = r"(accelerate|diffusers|peft|torchsde|transformers)(\.|$)"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' log lines and warnings off stderr while they build or run our parts."""
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
