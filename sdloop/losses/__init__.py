"""The losses that steer a picture, as they are written, and the files that they name. No torch."""

from sdloop.losses.grammar import LEVELS, NAMES, NamedLoss, parse_loss
from sdloop.losses.source import source_of, source_sha256

__all__ = ["LEVELS", "NAMES", "NamedLoss", "parse_loss", "source_of", "source_sha256"]
