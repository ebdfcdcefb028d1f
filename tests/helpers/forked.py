"""Processes that start in milliseconds, because torch is already imported.

``Nursery`` talks to a process that has imported everything and may have loaded a model. That
process forks a child for each command or script. For files, locks and signals, the child is a
separate process like any other.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class Nursery:
    """Each child runs ``sdloop`` with the arguments it is given; its stdout goes to a file.

    ``model`` is the one that all commands use, loaded once.
    """

    def __init__(self, model: Path | None = None) -> None:
        self.known: dict[int, tuple[dict[str, bytes], float]] = {}
        self._process = subprocess.Popen(
            [sys.executable, __file__, *([] if model is None else [str(model)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self._ask({"ready": True}) is True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def start(self, arguments: Sequence[str], folder: Path, log: Path) -> int:
        """The number of a new child, at work in ``folder``."""
        return self._start(list(arguments), folder, log)

    def script(
        self, path: Path, arguments: Sequence[str], folder: Path
    ) -> subprocess.CompletedProcess[str]:
        """``python path arguments``, run to its end in ``folder``."""
        with tempfile.TemporaryDirectory() as logs:
            log = Path(logs, "out")
            child = self._start(list(arguments), folder, log, script=str(path))
            code = self.wait(child)
            errors = log.with_name("out.err").read_text(encoding="utf-8")
            printed = log.read_text(encoding="utf-8")
        return subprocess.CompletedProcess([str(path), *arguments], code, printed, errors)

    def _start(self, arguments: list[str], folder: Path, log: Path, **more: str) -> int:
        request = {"run": arguments, "folder": str(folder), "log": str(log), **more}
        return int(self._ask(request | {"environment": dict(os.environ)}))

    def wait(self, child: int) -> int:
        """How it ended: its exit code, or minus the signal's number."""
        return int(self._ask({"wait": child}))

    def run(self, arguments: Sequence[str], folder: Path, log: Path) -> int:
        return self.wait(self.start(arguments, folder, log))

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _serve(model: Path | None) -> None:
    import torch

    import sdloop.cli.make.batch_run
    import sdloop.pipeline.generate  # what a child would import
    import sdloop.pipeline.loaded_model
    from sdloop.models.checkpoint.find import find_checkpoint
    from sdloop.models.components.load import load_components

    torch.set_num_threads(1)
    if model is not None:
        components = load_components(find_checkpoint(str(model)))
        sdloop.cli.make.batch_run.loaded = lambda checkpoint, command: components
    for line in sys.stdin:
        request = json.loads(line)
        answer: Any = True
        if "run" in request:
            answer = os.fork()
            if answer == 0:
                _be_child(request)
        elif "wait" in request:
            answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
        print(json.dumps(answer), flush=True)


def _be_child(request: dict[str, Any]) -> None:
    from sdloop.cli import app

    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(os.open(request["log"] + ".err", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = 1
    try:
        if "script" in request:
            sys.argv = [request["script"], *request["run"]]
            sys.path[0] = str(Path(request["script"]).parent)
            runpy.run_path(request["script"], run_name="__main__")
            code = 0
        else:
            app(request["run"], prog_name="sdloop")
    except SystemExit as ending:
        code = int(ending.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # whatever happens, a child must not go on as its parent
            os._exit(code)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
