"""The parts that one command leaves for the next, or that come from an exported model."""

import shutil
from functools import partial
from pathlib import Path

from files import replace_folder

NEEDED = {"tokenizer": "train_words.py", "text_encoder": "train_words.py", "vae": "train_vae.py"}


def gather(run: Path, model: Path | None) -> None:
    """See that a run has what the later commands need; what it lacks is copied from an exported
    model, if there is one."""
    for part, command in NEEDED.items():
        if model and not (run / part).is_dir():
            replace_folder(run / part, partial(shutil.copytree, model / part))
        if not (run / part).is_dir():
            raise SystemExit(f"{run / part} must be there: run {command}, or give --init")
