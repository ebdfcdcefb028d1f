"""The messages between client and worker, and the command line's messages about workers."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.worker.messages import (
    Alive,
    Ask,
    BadMessage,
    Call,
    Carried,
    Done,
    Message,
    Signal,
    Status,
    Streams,
    Waiting,
    decoded,
    encoded,
)
from sdloop.worker.options import seconds, worker_options
from sdloop.worker.place import folder, identity

STATUS = Status(
    pid=1, model="mini", calls=2, waiting=0, busy=True, idle_seconds=0.5, keep_alive=-1.0
)


@pytest.mark.parametrize(
    "message",
    [
        Call(argv=["txt2img", "東京\udc80\n"], environment={"A": "1"}, umask=18, keep_alive=300.0),
        Streams(),
        Signal(number=2),
        Ask(what="stop"),
        Waiting(place=3),
        Alive(turns=4),
        Carried(seed=7),
        Carried(path="a.png"),
        Done(code=0),
        STATUS,
    ],
)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    line = encoded(message)
    assert line.count(b"\n") == 1
    assert decoded(line) == message


@given(st.binary())
def test_garbage_is_no_message(data: bytes) -> None:
    with pytest.raises(BadMessage):
        decoded(data)


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind": "done"}',
        b'{"kind": "done", "code": "0"}',
        b'{"kind": "done", "code": true}',
        b'{"kind": "done", "code": 0, "more": 1}',
        b'{"kind": "call", "argv": [1], "environment": {}, "umask": 0, "keep_alive": 1}',
        b'{"kind": "call", "argv": [], "environment": {"A": 1}, "umask": 0, "keep_alive": 1}',
        b'{"kind": "nothing"}',
        b"[" * 100_000,
    ],
)
def test_a_message_of_another_shape_is_refused(line: bytes) -> None:
    with pytest.raises(BadMessage):
        decoded(line)


@pytest.mark.parametrize(
    ("argv", "environment"),
    [
        ([], {}),
        (["--version"], {}),
        (["models"], {}),
        (["txt2img", "a frog", "--help"], {}),
        (["txt2img", "a frog", "--dry-run"], {}),
        (["batch", "a frog", "--gpus=all"], {}),
        (["batch", "a frog", "--on", "ray"], {}),
        (["txt2img", "a frog", "--worker", "never"], {}),
        (["txt2img", "a frog", "--worker=never"], {"SDLOOP_WORKER": "always"}),
        (["txt2img", "a frog"], {"SDLOOP_WORKER": "never"}),
        (["txt2img", "a frog", "--keep-alive", "0"], {}),
        (["txt2img", "a frog", "--keep-alive", "soon"], {}),
        (["txt2img", "a frog", "--worker", "maybe"], {}),
    ],
)
def test_some_calls_are_for_no_worker(argv: list[str], environment: dict[str, str]) -> None:
    assert worker_options(argv, environment) is None


def test_flags_are_read_as_the_command_line_reads_them() -> None:
    one = worker_options(["txt2img", "a frog", "-m", "mini", "--worker", "always", "-q"], {})
    assert one is not None
    assert (one.mode, one.quiet, one.keep_alive) == ("always", True, 300.0)
    loaded = ("--dtype", "fp16"), ("--device", "cpu"), ("--memory", "low")
    for other in (["-m", "other"], ["--model=other"], *loaded):
        another = worker_options(["txt2img", "a frog", "-m", "mini", *other], {})
        assert another is not None
        assert another.model != one.model
    words = worker_options(["txt2img", "--keep-alive", "2h", "--", "--worker=never"], {})
    assert words is not None
    assert words.keep_alive == 7200


def test_times_are_read() -> None:
    assert [seconds(text) for text in ("90", "90s", "5m", "2h", "-1", "1.5m")] == [
        *(90, 90, 300, 7200, -1, 90)
    ]
    assert [seconds(text) for text in ("", "m", "5 m", "5d", "٥")] == [None] * 5


def test_who_has_another_environment_gets_another_worker() -> None:
    mine = identity({"HF_HOME": "/a", "EDITOR": "vi"})
    assert identity({"HF_HOME": "/a", "EDITOR": "ed"}) == mine
    assert identity({"HF_HOME": "/b", "EDITOR": "vi"}) != mine
    assert identity({"HF_HOME": "/a", "CUDA_VISIBLE_DEVICES": "1"}) != mine


def test_changed_code_gets_another_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.worker.place.PACKAGE", tmp_path)
    (tmp_path / "loop.py").write_text("a = 1\n")
    before = identity({})
    (tmp_path / "loop.py").write_text("a = 12\n")
    assert identity({}) != before


def test_the_folder_is_ours_alone_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    path = folder()
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o755)
    assert folder() is None
    path.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    assert folder() is None
    path.unlink()
    if os.getuid() == 0:
        path.mkdir(mode=0o700)
        os.chown(path, 12345, -1)
        assert folder() is None
