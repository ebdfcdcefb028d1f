"""The files of a training: the learned word, and the state from which it can be resumed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sdloop.errors import FileError, SettingError
from sdloop.training.settings import Training
from sdloop.training.train import State

PARTS = ("rows", "means", "squares")


def embedding_bytes(training: Training, state: State, facts: Mapping[str, Any]) -> bytes:
    """The word's file, in the format of diffusers; for SDXL, with A1111's names of both encoders.

    Its metadata contain, as JSON, the training settings and ``facts``.
    """
    names = (training.token,) if len(state.rows) == 1 else ("clip_l", "clip_g")
    tensors = dict(zip(names, state.rows, strict=True))
    note = {"schema": 1, "training": training.to_dict(), "step": state.step, **facts}
    return save(tensors, _noted(note))


def state_bytes(training: Training, state: State, pictures: str, weights: str) -> bytes:
    """The state, with the settings and the hashes of the training's pictures and weights."""
    tensors = {
        f"{part}.{number}": one for part in PARTS for number, one in enumerate(getattr(state, part))
    }
    note = {
        "step": state.step,
        "training": training.to_dict(),
        "pictures": pictures,
        "weights": weights,
    }
    return save(tensors, _noted(note))


def _noted(note: Mapping[str, Any]) -> dict[str, str]:
    """One entry only: safetensors writes several entries in random order."""
    return {"sdloop": json.dumps(note, sort_keys=True)}


def read_state(path: Path, training: Training, pictures: str, weights: str) -> State:
    """Read the state in ``path``, to resume with the same settings; only ``steps`` may differ.

    Raises ``FileError`` if it is not a state file, ``SettingError`` if a setting, the pictures or
    the weights differ.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            note = json.loads((opened.metadata() or {})["sdloop"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        before = Training.from_dict(note["training"])
        state = State(step=int(note["step"]), **{part: _numbered(tensors, part) for part in PARTS})
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise FileError(f"{str(path)!r} is not a training that can be resumed: {error}") from error
    was, now = before.to_dict(), training.to_dict()
    for name in was:
        if was[name] != now[name] and name != "steps":
            raise SettingError(
                f"{name} must be {was[name]!r} as in the resumed training, got {now[name]!r}"
            )
    if (note["pictures"], note["weights"]) != (pictures, weights):
        what = "pictures" if note["pictures"] != pictures else "model"
        raise SettingError(f"the {what} must be the same as in the resumed training")
    return state


def _numbered(tensors: Mapping[str, Tensor], part: str) -> tuple[Tensor, ...]:
    count = sum(name.startswith(f"{part}.") for name in tensors)
    return tuple(tensors[f"{part}.{number}"] for number in range(count))
