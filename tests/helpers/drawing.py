"""``sdloop batch --on`` whose processes draw a plain colour where a model would make a picture.

All else is as always: the driver, the units, the keys, and how files are written. Its processes
start without torch, so that a test can kill many of them. A prompt can bring one down: "kills", or
"hangs", which does so once. While the file ``stillborn`` exists, they die at their start.

``drawing.py ARGUMENTS`` is ``sdloop ARGUMENTS``.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdloop.batch import run
from sdloop.batch.finish import AlreadyThere, Failed, Outcome, Written
from sdloop.batch.planned import Planned
from sdloop.batch.units import Task
from sdloop.cli.make import ray_pool
from sdloop.cli.make.unit_runner import RunnerSettings, UnitRunner
from sdloop.errors import AlreadyMade, FileError
from sdloop.metadata.atomic import write_whole
from sdloop.metadata.picture import encoded

SECONDS = 0.05  # for a picture


class Draws(UnitRunner):
    """What Ray starts: see ``ray_pool``."""

    def __init__(self, settings: RunnerSettings) -> None:
        super().__init__(settings)
        if Path("stillborn").exists():
            with Path("stillborn").open("a") as file:
                file.write("one more\n")
            raise ModuleNotFoundError("No module named 'torch'")
        run._Runner._make = _draw  # type: ignore[method-assign]


def _draw(self: Any, task: Task) -> Iterator[Outcome]:
    """In the place of ``run._Runner._make``: write the pictures of a batch without sampling."""
    drawn = self._thread.submit(lambda: [_drawn(one) for one in task.wanted])
    self._flying.append((task, drawn))
    yield from self._landed(1)


def _drawn(planned: Planned) -> Outcome:
    time.sleep(SECONDS)
    if "kills" in planned.recipe.prompt:
        os.kill(os.getpid(), signal.SIGKILL)
    if "hangs" in planned.recipe.prompt and not Path("hung").exists():
        Path("hung").touch()
        time.sleep(10_000)
    image = Image.new("RGB", (16, 16), f"#{planned.key[:6]}")
    made = {"sdloop": json.dumps({"made": {"key": planned.key}})}
    data, how = encoded(image, planned.path, made), {"exists": planned.exists, "key": planned.key}
    try:
        path = write_whole(planned.path, data, **how, once=True)
    except AlreadyMade:
        return AlreadyThere(planned=planned)
    except FileError as error:
        return Failed(planned=planned, error=error)
    picture: Any = None
    sha256 = hashlib.sha256(data).hexdigest()
    return Written(planned=planned, path=path, picture=picture, size=len(data), sha256=sha256)


def draw(patch: pytest.MonkeyPatch) -> None:
    """Let Ray start these processes; they need not find this file."""
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    patch.setattr(ray_pool, "UnitRunner", Draws)


def main() -> None:
    from sdloop.__main__ import main as sdloop

    draw(pytest.MonkeyPatch())
    sdloop()


if __name__ == "__main__":
    import helpers.drawing

    sys.argv[0] = "sdloop"
    helpers.drawing.main()
