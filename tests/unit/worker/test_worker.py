"""The warm worker as a process: a call prints and writes the same as without a worker."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from helpers.commands import pixels
from helpers.controls import save_adapter, save_control, save_union
from helpers.forked import Nursery
from helpers.image_adapters import save_image_adapter
from helpers.pictures import sketch
from helpers.tiny import save_diffusers_folder, save_safety_checker, tiny_sd1
from helpers.vision import save_clipseg, save_depth_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sdloop
from sdloop.worker.messages import MAX_BYTES

HEAVY = ("torch", "diffusers", "transformers", "numpy", "PIL", "typer")
FROG = ["txt2img", "a frog", "--steps", "2", "--seed"]
PATIENCE = 120.0


@dataclass(frozen=True)
class User:
    """Somebody with a runtime folder of their own, in a folder of pictures."""

    runtime: Path
    folder: Path
    mode: str = "always"

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, **self.own, **more}

    @property
    def own(self) -> dict[str, str]:
        return {"XDG_RUNTIME_DIR": str(self.runtime), "SDLOOP_WORKER": self.mode}

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "sdloop", *arguments],
            env=self.environment(**more),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, stdin: str | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **more)
        out, err = process.communicate(stdin, timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def make(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def workers(self) -> list[int]:
        """The processes that listen here."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"sdloop.cli.server" in line and os.fsencode(self.runtime) in line:
                    found.append(int(entry.name))
        return found

    def worker(self) -> int:
        (pid,) = self.workers()
        return pid

    def socket(self) -> Path:
        (path,) = (one for one in self.runtime.rglob("*") if one.is_socket())
        return path

    def left(self) -> list[Path]:
        return [path for path in self.runtime.rglob("*") if not path.is_dir()]


def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def somebody(folder: Path) -> Iterator[User]:
    """The runtime folder has a short name, as a socket's must be."""
    with tempfile.TemporaryDirectory(prefix="sdloop-run-") as runtime:
        one = User(runtime=Path(runtime), folder=folder / "pictures")
        one.folder.mkdir()
        yield one
        for pid in one.workers():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    with somebody(tmp_path) as one:
        yield one


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user with the same worker in several tests."""
    with somebody(tmp_path_factory.mktemp("warm")) as one:
        yield one


@pytest.fixture
def lasting(warm: User, monkeypatch: pytest.MonkeyPatch) -> User:
    """The same environment in every test: a worker serves those alone who have its own."""
    monkeypatch.setenv("HOME", str(warm.folder.parent))
    monkeypatch.setenv("HF_HOME", str(warm.folder.parent / "huggingface"))
    shutil.rmtree(warm.folder)
    warm.folder.mkdir()
    return warm


@pytest.fixture
def served(lasting: User) -> User:
    """Somebody whose worker has made a picture already."""
    if not lasting.workers():
        lasting.make(*FROG, "1", "-o", "first.png")
    (lasting.folder / "first.png").unlink(missing_ok=True)
    return lasting


def test_only_the_second_call_starts_a_worker(lasting: User, nursery: Nursery) -> None:
    lasting.run("worker", "stop")  # this test is the first, unless tests were shared out otherwise
    until(lambda: not lasting.workers())
    careful = replace(lasting, mode="auto")
    first = nursery.sdloop(*FROG, "1", folder=careful.folder, **careful.own)
    assert (first.returncode, careful.workers()) == (0, [])
    assert all(path.suffix == ".recent" for path in careful.left())
    second = careful.run(*FROG, "2", "--keep-alive", "90s")
    assert second.returncode == 0
    assert "a background worker keeps the model" in second.stderr
    until(lambda: "leaves in" in careful.make("worker", "status"))
    (left,) = re.findall(r"leaves in (\d+) s", careful.make("worker", "status"))
    assert 0 < int(left) <= 90


def test_a_call_is_what_it_is_without_a_worker(
    served: User, nursery: Nursery, tmp_path: Path
) -> None:
    pid = served.worker()
    made = "out/a-red-frog-4.png"
    for arguments, stdin in [
        (["txt2img", "-", "--steps", "2", "--seed", "4..5", "--outdir", "out"], "a red frog\n"),
        (["img2img", made, "a rabbit", "--seed", "4", "--strength", "0.5"], None),
        ([*FROG, "4", "-o", made], None),  # which is there already
        (["txt2img", "a frog", "--steps", "0"], None),
        (["txt2img", "a frog", "--stpes", "2"], None),
        ([*FROG, "4", "-m", "not/there.safetensors"], None),
    ]:
        ours = served.run(*arguments, stdin=stdin)
        theirs = nursery.sdloop(*arguments, stdin=stdin or "", folder=tmp_path)
        assert (ours.returncode, ours.stdout, ours.stderr) == (
            *(theirs.returncode, theirs.stdout, theirs.stderr),
        )
    assert pixels_in(served.folder / "out") == pixels_in(tmp_path / "out")
    assert pixels_in(served.folder) == pixels_in(tmp_path)
    assert served.worker() == pid


def pixels_in(folder: Path) -> dict[str, bytes]:

    return {path.name: pixels(path) for path in folder.glob("*.png")}


def save_parts(folder: Path) -> None:
    """Everything that pictures are steered with."""
    components = tiny_sd1()
    sketch(48, 32).save(folder / "photo.png")
    sketch(48, 32).rotate(180).save(folder / "mask.png")
    save_control(components, folder / "net")
    save_union(components, folder / "union", addition_time_embed_dim=8)
    save_adapter(components, folder / "adapter")
    save_image_adapter(components, folder / "models/ip.safetensors")
    save_image_adapter(components, folder / "models/plus.safetensors", "plus")
    save_clipseg(folder / "seg")
    save_depth_model(folder / "depths")


def test_pictures_that_steer_do_the_same_without_a_worker(
    served: User, nursery: Nursery, tmp_path: Path, tiny_model: Path
) -> None:
    save_parts(served.folder)
    alone = shutil.copytree(served.folder, tmp_path / "alone")
    cat = ["a cat", "-m", str(tiny_model), "--steps", "2", "--overwrite", "--seed"]
    seen = ["--image-prompt", "photo.png:0.6", "--ip-adapter", "models/ip.safetensors"]
    calls = [
        ["txt2img", *cat, "4", "--control", "net=canny:photo.png:0.8", *seen],
        ["txt2img", *cat, "5", "--control", "union#pose=photo.png", "--preprocess-model", "depths",
         "--control", "union=depth:photo.png", "--t2i", "adapter=grey:photo.png:0.5"],
        ["inpaint", "photo.png", *cat, "6", "--mask", "text:the face", "--mask-model", "seg",
         *seen],
        ["batch", *cat, "7,8", "--control", "net=photo.png", "--sweep", "preprocess=canny,grey",
         *seen, "--outdir", "swept"],
        ["img2img", "photo.png", *cat, "9", "--region", "a dog=mask.png:0.8",
         "--region", "a hat=0.5,0,0.5,1"],
        ["txt2img", *cat, "10", "--image-prompt", "models/ip.safetensors=photo.png:0.6",
         "--image-prompt", "models/plus.safetensors=photo.png=mask.png",
         "--size", "48x32"],
        ["txt2img", *cat, "11", "--seamless", "xy"],
        ["txt2img", *cat, "11", "-o", "plain.png"],  # its padding is the usual one again
    ]  # fmt: skip
    made: list[set[bytes]] = []
    for seed in range(2):  # other weights of the same name are noticed
        save_image_adapter(tiny_sd1(), served.folder / "models/ip.safetensors", seed=seed)
        save_clipseg(served.folder / "seg", seed=seed)
        shutil.copytree(served.folder / "models", alone / "models", dirs_exist_ok=True)
        shutil.copytree(served.folder / "seg", alone / "seg", dirs_exist_ok=True)
        for arguments in calls if not seed else (calls[0], calls[2], calls[5]):
            ours = served.run(*arguments)
            theirs = nursery.sdloop(*arguments, folder=alone)
            assert (ours.returncode, ours.stdout) == (0, theirs.stdout), ours.stderr
        for name in ("", "swept"):
            assert pixels_in(served.folder / name) == pixels_in(alone / name)
        made.append(set(pixels_in(served.folder).values()))
    again = made[0] & made[1]
    assert (len(made[0]), len(again)) == (9, 6)  # what had no other weights, and two input pictures


def test_a_safety_checker_that_changes_is_noticed(
    served: User, nursery: Nursery, tmp_path: Path
) -> None:
    model = save_diffusers_folder(tiny_sd1(), tmp_path / "model")
    call = ["txt2img", "a cat", "-m", str(model), "--steps", "2", "--seed", "4..5", "--overwrite",
            "--safety", "flag"]  # fmt: skip
    for threshold, flagged in ((-1.1, True), (1.1, False)):
        save_safety_checker(model, threshold)
        ours, theirs = served.run(*call), nursery.sdloop(*call, folder=tmp_path)
        assert (ours.returncode, ours.stdout, ours.stderr) == (0, theirs.stdout, theirs.stderr)
        assert ours.stderr.count("checker flags this picture") == 2 * flagged
        assert pixels_in(served.folder) == pixels_in(tmp_path)


def test_a_client_imports_next_to_nothing(served: User) -> None:
    code = (
        "import json, sys\n"
        "from sdloop.worker.call import call\n"
        f"code = call({[*FROG, '7']!r})\n"
        f"print(json.dumps([code, [name for name in {HEAVY} if name in sys.modules]]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=served.environment(),
        cwd=served.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0, []]


def test_files_are_the_callers_own(served: User) -> None:
    process = subprocess.run(
        ["/bin/sh", "-c", f"umask 007; exec {sys.executable} -m sdloop {FROG[0]} frog --seed 8"],
        env=served.environment(),
        cwd=served.folder,
        check=True,
        capture_output=True,
        text=True,
    )
    path = served.folder / process.stdout.strip()
    assert path.stat().st_mode & 0o777 == 0o660


def test_ctrl_c_ends_that_call_and_not_the_worker(served: User) -> None:
    pid = served.worker()
    process = served.start(*FROG[:3], "1000", "--seed", "1..9")
    until(lambda: "busy" in served.run("worker", "status").stdout)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "idle" in served.run("worker", "status").stdout
    assert served.worker() == pid
    served.make(*FROG, "4", "-o", "after.png")


def test_a_call_whose_client_is_killed_stops(served: User) -> None:
    pid = served.worker()
    process = served.start(*FROG[:3], "1000", "--seed", "1..9")
    until(lambda: "busy" in served.run("worker", "status").stdout)
    process.kill()
    process.communicate()
    until(lambda: "idle" in served.run("worker", "status").stdout)
    served.make(*FROG, "4", "-o", "after.png")
    assert served.worker() == pid


def test_who_waits_is_told_so_and_may_leave(served: User) -> None:
    first = served.start(*FROG[:3], "1000", "--seed", "1")
    until(lambda: "busy" in served.run("worker", "status").stdout)
    second = served.start(*FROG, "2")
    until(lambda: "1 waiting" in served.run("worker", "status").stdout)
    second.send_signal(signal.SIGINT)
    _, err = second.communicate(timeout=PATIENCE)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=PATIENCE)
    assert "waiting for the worker: 1 in the queue before this call" in err
    assert (first.returncode, second.returncode) == (130, 130)
    assert not (served.folder / "a-frog-2.png").exists()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=9), one),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode() + b"\n")
    | st.sampled_from(["call", "signal", "ask", "done"]).map(
        lambda kind: json.dumps({"kind": kind, "argv": [kind], "number": 9}).encode() + b"\n"
    )
)
def test_garbage_ends_its_connection_only(served: User, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(served.socket()))
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_what_is_too_long_or_half_ends_its_connection_only(served: User) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(served.socket()))
        try:
            connection.sendall(b"[" * (MAX_BYTES + (1 << 20)))
            assert connection.recv(1) == b""
        except OSError:
            pass  # closed before all was said
    assert "idle" in served.run("worker", "status").stdout


def test_weights_that_change_are_noticed(served: User, nursery: Nursery, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(Path(sdloop.__file__).parent / "mini", model)
    arguments = [*FROG, "4", "-m", str(model), "--overwrite", "-o"]
    served.make(*arguments, "before.png")
    (weights,) = (model / "vae").glob("*.safetensors")
    data = bytearray(weights.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    weights.write_bytes(data)
    served.make(*arguments, "after.png")
    assert nursery.sdloop(*arguments, "alone.png", folder=tmp_path).returncode == 0
    after = pixels(served.folder / "after.png")
    assert after == pixels(tmp_path / "alone.png") != pixels(served.folder / "before.png")


def test_a_loss_that_changes_is_noticed(served: User) -> None:
    code = "def loss(picture):\n    return picture[:, {}].mean(dim=(1, 2))\n"
    guided = [*FROG, "4", "--loss", "mine:loss=150", "-o"]
    for number, channel in enumerate((0, 2)):
        (served.folder / "mine.py").write_text(code.format(channel) + "#" * number)
        served.make(*guided, f"{channel}.png")
    assert pixels(served.folder / "0.png") != pixels(served.folder / "2.png")


def test_a_worker_that_dies_in_the_middle_costs_no_picture(served: User, nursery: Nursery) -> None:
    whole = sorted(f"a-frog-{seed}.png" for seed in range(1, 5))
    plan = ("txt2img", "a frog", "--seed", "1..4", "--steps", "15")
    process = nursery.open(*plan, folder=served.folder, **served.own)
    until(lambda: any(served.folder.glob("*.png")), PATIENCE)
    os.kill(served.worker(), signal.SIGKILL)
    done = process.end()
    assert done.returncode == 0, done.stderr
    assert "the worker has ended; continuing without it" in done.stderr
    assert done.stdout.splitlines() == whole
    assert sorted(path.name for path in served.folder.glob("*.png")) == whole
    served.run("worker", "status")  # which takes the dead one's socket away
    assert served.left() == []


@pytest.mark.slow
@pytest.mark.parametrize("round", range(10))
def test_killed_at_any_moment(user: User, round: int) -> None:
    whole = sorted(f"a-frog-{seed}.png" for seed in range(1, 7))
    process = user.start("txt2img", "a frog", "--seed", "1..6", "--steps", "10")
    until(lambda: user.workers(), PATIENCE)
    time.sleep(round * 1.2)
    for pid in user.workers():
        os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert out.splitlines() == whole
    assert sorted(path.name for path in user.folder.glob("*.png")) == whole


@pytest.mark.slow
def test_twenty_clients_at_once_get_one_worker(user: User) -> None:
    clients = [user.start(*FROG, str(seed)) for seed in range(20)]
    seen: set[int] = set()
    while any(client.poll() is None for client in clients):
        seen |= set(user.workers())
        time.sleep(0.05)
    assert [client.returncode for client in clients] == [0] * 20
    assert len(seen) == 1
    assert len(list(user.folder.glob("*.png"))) == 20


@pytest.mark.slow
def test_a_stuck_worker_is_passed_by(user: User) -> None:
    user.make("worker", "start")
    os.kill(user.worker(), signal.SIGSTOP)
    done = user.run(*FROG, "1")
    assert (done.returncode, done.stdout) == (0, "a-frog-1.png\n")
    assert "the worker is not responding; continuing without it" in done.stderr


def test_it_ends_when_nobody_comes(user: User) -> None:
    user.make("worker", "start", "--keep-alive", "2s")
    until(lambda: not user.workers())
    assert user.left() == []


def test_stop_leaves_nothing(user: User) -> None:
    started = user.make("worker", "start", "--keep-alive", "-1")
    assert started.startswith(f"worker {user.worker()}: has no model yet")
    folder = user.socket().parent
    assert (folder.stat().st_mode & 0o777, user.socket().stat().st_mode & 0o777) == (0o700, 0o600)
    assert user.make("worker", "stop").startswith("stopped worker")
    until(lambda: not user.workers())
    assert user.left() == []
    assert user.run("worker", "status").returncode == 1


def refused(*arguments: str) -> str:
    from typer.testing import CliRunner

    from sdloop.cli import app

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    return result.stderr


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--worker", "maybe"], "worker must be one of auto, always, never, got 'maybe'"),
        (["--keep-alive", "soon"], "keep_alive must be like 90s, 5m, 2h or -1, got 'soon'"),
    ],
)
def test_bad_input_is_refused(flags: Sequence[str], complaint: str) -> None:
    assert complaint in refused("txt2img", "a frog", *flags)
