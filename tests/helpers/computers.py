"""A Ray cluster of several computers, all of them this one, and what can happen to it."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

MEMORY = {"object_store_memory": 80 * 2**20}


@dataclass
class Computers:
    """Two computers with a processor each, and one that only leads."""

    cluster: Any
    client_port: int
    nodes: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def lose_one(self) -> None:
        """A computer is taken away, and another one comes."""
        self.cluster.remove_node(self.nodes.pop(0), allow_graceful=False)
        self.nodes.append(self.cluster.add_node(num_cpus=1, **MEMORY))

    def kill_a_process(self) -> None:
        for number, line in commands():
            if line.startswith(("ray::Draws", "ray::UnitRunner")):
                os.kill(number, signal.SIGKILL)
                return


def commands() -> Iterator[tuple[int, str]]:
    """The processes here, with their command lines."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield int(process.name), (process / "cmdline").read_text()


def family_of(number: int) -> list[int]:
    """A process with all that it has started, and those that they have."""
    found = [number]
    for one in found:
        with suppress(OSError):
            for thread in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return found


def has_ended(number: int) -> bool:
    """Whether a process has ended that its parent has not waited for."""
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


@contextmanager
def several_computers() -> Iterator[Computers]:
    """They ask for a token."""
    with pytest.MonkeyPatch.context() as patch:
        # Ray reads these when it is imported.
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "f" * 64)
        patch.setenv("RAY_worker_niceness", "0")  # or they wait for everything else here
        patch.setenv("RAY_agent_register_timeout_ms", "300000")  # on a busy machine
        pytest.importorskip("ray", reason="Ray is in the extra sdloop[cluster]")
        import ray
        from ray._private import services
        from ray.cluster_utils import Cluster

        # A computer that starts is given 30 seconds, which is not enough on a busy machine.
        patch.setattr(services, "get_node", partial(_patiently, services.get_node))

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        head = {"num_cpus": 0, "ray_client_server_port": port, **MEMORY}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        nodes = [cluster.add_node(num_cpus=1, **MEMORY) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
        ray._private.worker._worker_logs_enabled = False  # as ``ray_pool`` has it
        try:
            yield Computers(cluster, port, nodes)
        finally:
            ray.shutdown()
            cluster.shutdown()


def _patiently(get_node: Callable[..., Any], *arguments: Any) -> Any:
    """Ask for up to five minutes."""
    until = time.monotonic() + 300
    while True:
        try:
            return get_node(*arguments)
        except RuntimeError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.1)


def content(folder: str | Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.png")}
