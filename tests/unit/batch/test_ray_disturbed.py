"""``--on ray`` when things break; its processes draw a colour where a model would make a picture.

With the model too: see ``test_ray_cluster.py``.
"""

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import drawing
from helpers.commands import Command, work_in
from helpers.computers import Computers, commands, content, family_of, has_ended, wait_for
from helpers.forked import Nursery
from helpers.s3_server import BUCKET, Bucket

import sdloop.batch.driver

pytestmark = pytest.mark.slow

BATCH = Command("batch")
PLAN = ("a frog", "--seed", "1..200", "--batch-size", "4")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    drawing.draw(monkeypatch)
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


def make(*arguments: str, code: int = 0) -> tuple[list[str], str]:
    """What is told of the pictures that are made, and everything else."""
    told = BATCH.run(*arguments, "--on", "ray")
    assert told.exit_code == code, told.stderr
    return told.stdout.splitlines(), told.stderr


def planned(prompts: list[str]) -> tuple[str, ...]:
    lines = (json.dumps({"prompt": one, "seed": seed}) for seed, one in enumerate(prompts))
    Path("plan.jsonl").write_text("\n".join(lines))
    return "--from-file", "plan.jsonl", "--batch-size", "4", "--outdir"


@pytest.mark.parametrize("kills", [4, 20])
def test_killed_at_random(nursery: Nursery, place: Path, computers: Computers, kills: int) -> None:
    """Computers, processes and drivers: no picture is lost, and none is told of twice."""
    make(*PLAN, "--outdir", "undisturbed")
    arguments = ["batch", *PLAN, "--outdir", "out", "--on", computers.address]
    dice, log, told = random.Random(kills), place / "log", Counter[str]()
    harm = {"computer": computers.lose_one, "process": computers.kill_a_process, "driver": None}
    fates = [*harm, *dice.choices([*harm], k=kills - len(harm))]
    while fates or len(content("out")) < 200:
        child = driver(nursery, arguments, place, log)
        while fates:
            before = len(content("out"))
            if before > 180:  # or it would be finished too soon
                break
            wait_for(lambda: len(content("out")) > before + dice.randrange(8))  # noqa: B023
            what = harm[fates.pop()]
            if what is None:
                os.kill(child, signal.SIGKILL)
                break
            what()
        assert nursery.wait(child) in (0, -signal.SIGKILL), log.with_name("log.err").read_text()
        told += Counter(log.read_text().splitlines())
        log.write_text("")
        for name in make_room(dice) if fates else ():
            told.pop(f"out/{name}", None)
    assert content("out") == content("undisturbed")
    assert set(told) <= {f"out/{name}" for name in content("out")} and set(told.values()) == {1}


def make_room(dice: random.Random) -> list[str]:
    """If nearly all pictures are there, remove most, or there would be nothing left to disturb."""
    names = sorted(content("out"))
    gone = dice.sample(names, 150) if len(names) > 180 else []
    for name in gone:
        Path("out", name).unlink()
    return gone


def driver(nursery: Nursery, arguments: list[str], place: Path, log: Path) -> int:
    """The number of a driver that Ray's processes draw for."""
    with log.open("ab") as out, log.with_name("log.err").open("ab") as errors:
        request = {"run": arguments, "script": drawing.__file__, "folder": str(place)}
        return nursery.child(request, out, errors)


def test_one_that_kills_and_one_that_hangs(
    place: Path, computers: Computers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdloop.batch.driver, "PATIENCE", 60.0)
    prompts = ["a frog"] * 40
    prompts[3], prompts[19] = "it kills", "it hangs"
    plan = (*planned(prompts), "out")
    told, errors = make(*plan, code=5)
    assert set(told) <= {f"out/{name}" for name in content("out")}  # others may be "there"
    assert len(told) == len(set(told)) and len(content("out")) == 39 and Path("hung").exists()
    assert errors.count("its process died 2 times") == 1
    assert "it was silent for" in errors  # longer before its first picture
    Path("plan.jsonl").write_text(Path("plan.jsonl").read_text().replace("it kills", "a frog"))
    told, _ = make(*plan)
    assert len(told) == 1


def test_processes_that_die_at_their_start(place: Path, computers: Computers) -> None:
    Path("stillborn").touch()

    def mend() -> None:
        wait_for(lambda: Path("stillborn").read_text().count("one more") >= 3)
        Path("stillborn").unlink()

    thread = threading.Thread(target=mend)
    thread.start()
    told, errors = make("a frog", "--seed", "1..8", "--outdir", "out")
    thread.join()
    assert len(told) == 8
    assert "warning: ModuleNotFoundError: No module named 'torch'" in errors


def test_a_store_that_is_busy_for_a_minute(
    place: Path, computers: Computers, store: Bucket
) -> None:
    plan = ("a frog", "--seed", "1..100", "--outdir", f"s3://{BUCKET}/busy")

    def busy() -> None:
        wait_for(lambda: len(store.pictures()) > 10)
        store.busy = 10**9
        time.sleep(60)
        store.busy = 0

    thread = threading.Thread(target=busy)
    thread.start()
    first = BATCH.run(*plan, "--on", "ray")
    thread.join()
    assert first.exit_code == 5, first.stderr
    assert "the store does not answer" in first.stderr
    told, (again, _) = first.stdout.splitlines(), make(*plan)
    assert len(told + again) == len({*told, *again}) == len(store.pictures()) == 100
    store.objects.clear()


def test_a_store_that_refuses(place: Path, computers: Computers, store: Bucket) -> None:
    """What could not be written is made by the same command later."""
    plan = ("a frog", "--seed", "1..60", "--outdir", f"s3://{BUCKET}/closed")

    def close() -> None:
        wait_for(lambda: len(store.pictures()) > 10)
        store.closed = True

    thread = threading.Thread(target=close)
    thread.start()
    told, errors = make(*plan, code=5)
    thread.join()
    store.closed = False
    assert 10 < len(told) < 60
    assert "check the credentials" in errors
    again, _ = make(*plan)
    assert len(told + again) == len({*told, *again}) == len(store.pictures()) == 60
    store.objects.clear()


def test_a_full_disk(place: Path, computers: Computers) -> None:
    Path("out").mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "out")
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        told, errors = make("a frog", "--seed", "1..40", "--outdir", "out", code=5)
        assert 5 < len(told) < 40 and "No space left on device" in errors
        assert not [path.name for path in Path("out").iterdir() if path.suffix == ".part"]
        subprocess.run(("mount", "-o", "remount,size=8m", "out"), check=True)
        again, _ = make("a frog", "--seed", "1..40", "--outdir", "out")
        assert len(told + again) == len({*told, *again}) == len(content("out")) == 40
    finally:
        subprocess.run(("umount", "out"), check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_and_the_second_stops(
    nursery: Nursery, place: Path, computers: Computers, number: signal.Signals
) -> None:
    Path("plan.txt").write_text("a frog\nit hangs\n")
    plan = ["--from-file", "plan.txt", "--seed", "1..100", "--batch-size", "4", "--outdir", "out"]
    log = place / "log"
    child = driver(nursery, ["batch", *plan, "--on", computers.address], place, log)
    wait_for(Path("hung").exists)
    os.kill(child, number)
    wait_for(lambda: "stopping" in log.with_name("log.err").read_text())
    os.kill(child, number)
    assert nursery.wait(child) == 130
    Path("hung").unlink()
    Path("plan.txt").write_text("a frog\n")
    plan[3] = "1..1000"
    child = driver(nursery, ["batch", *plan, "--on", computers.address], place, log)
    before = len(content("out"))
    wait_for(lambda: len(content("out")) > before)
    os.kill(child, number)
    assert nursery.wait(child) == 130
    told = log.read_text().splitlines()
    assert before < len(content("out")) < 1000 and len(told) == len(set(told))


def test_two_drivers_on_one_bucket(nursery: Nursery, place: Path, store: Bucket) -> None:
    """Each with its own Ray. A picture is made and told of by one; to the other it is there."""
    plan = ("a frog", "--seed", "1..600", "--batch-size", "4", "--on", "ray", "--outdir")
    logs = [place / "one", place / "other"]
    drivers = [driver(nursery, ["batch", *plan, f"s3://{BUCKET}/two"], place, log) for log in logs]
    assert [nursery.wait(one) for one in drivers] == [0, 0], (place / "log.err").read_text()
    told = [log.read_text().splitlines() for log in logs]
    assert all(told), "one of them had nothing to do"
    assert Counter(told[0] + told[1]) == Counter(
        f"s3://{BUCKET}/{name}" for name in store.pictures() if name.startswith("two/")
    )
    assert BATCH.run(*plan, "alone").exit_code == 0
    made = {name.removeprefix("two/"): one for name, one in store.pictures().items()}
    assert {name: made[name] for name in content("alone")} == content("alone")


def test_as_a_client(nursery: Nursery, place: Path, computers: Computers) -> None:
    """``ray://``: the driver is no part of the cluster. It may be killed, too."""
    address, log = f"ray://127.0.0.1:{computers.client_port}", place / "log"
    arguments = ["batch", *PLAN, "--outdir", "out", "--on", address]
    child = driver(nursery, arguments, place, log)
    wait_for(lambda: len(content("out")) >= 20)
    os.kill(child, signal.SIGKILL)
    nursery.wait(child)
    child = driver(nursery, arguments, place, log)
    assert nursery.wait(child) == 0, log.with_name("log.err").read_text()
    told = log.read_text().splitlines()
    assert len(content("out")) == 200 and len(told) == len(set(told))


def test_a_lost_cluster(nursery: Nursery, place: Path, computers: Computers) -> None:
    """The end of what answers a client, in the middle of it: one line, and the right exit code."""
    address, log = f"ray://127.0.0.1:{computers.client_port}", place / "log"
    arguments = ["batch", *PLAN, "--outdir", "out", "--on", address]
    child = driver(nursery, arguments, place, log)
    wait_for(lambda: len(content("out")) >= 20)
    for number, line in commands():
        if "ray.util.client.server" in line and "specific-server" in line:
            os.kill(number, signal.SIGKILL)
    assert nursery.wait(child) == 5
    errors = log.with_name("log.err").read_text()
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("sdloop: error: the Ray cluster does not answer any")


@pytest.mark.parametrize("kills", [3, 50])
def test_everything_is_killed(nursery: Nursery, place: Path, kills: int) -> None:
    """The driver, its own local Ray, and all processes of it, at any moment."""
    arguments = ["batch", *PLAN, "--outdir", "out", "--on", "ray"]
    dice, log = random.Random(kills), place / "log"
    for moment in range(kills + 1):
        child, began = driver(nursery, arguments, place, log), time.monotonic()
        if moment == kills:
            break
        seconds, goal = dice.uniform(0, 20), 201
        if dice.random() < 0.5:
            seconds, goal = 300.0, min(200, len(content("out")) + dice.randrange(60))
        wait_for(  # a driver whose Ray was too slow to start has ended
            lambda: (
                time.monotonic() - began > seconds  # noqa: B023
                or len(content("out")) >= goal  # noqa: B023
                or has_ended(child)  # noqa: B023
            )
        )
        for one in family_of(child):
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        nursery.wait(child)
        make_room(dice)
    assert nursery.wait(child) == 0
    assert len(content("out")) == 200
    make_again = driver(nursery, [*arguments[:-4], "--outdir", "alone", "--on", "ray"], place, log)
    assert nursery.wait(make_again) == 0
    assert content("out") == content("alone")
