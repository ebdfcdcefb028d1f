"""What a run says as it goes: losses, measurements, and which of its halves waits for the other."""

import json
import time
from pathlib import Path

import torch
from torch import Tensor

Losses = dict[str, Tensor]


class Stopwatch:
    """Time spent inside ``with`` blocks on a device, without making a GPU wait to ask for it."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.clear()

    def clear(self) -> None:
        """Back to zero."""
        self.spent = 0.0
        self.events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    def __enter__(self) -> None:
        if self.cuda:
            self.events.append((torch.cuda.Event(True), torch.cuda.Event(True)))
            self.events[-1][0].record()
        self.started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self.cuda:
            self.events[-1][1].record()
        else:
            self.spent += time.perf_counter() - self.started

    def seconds(self) -> float:
        """The sum of the blocks; waits for the GPU."""
        if self.cuda:
            torch.cuda.synchronize()
        return self.spent + sum(start.elapsed_time(end) for start, end in self.events) / 1000


class Log:
    """Averages of losses and the speed since the last report: a line for people on stdout, and
    one of JSON in a file."""

    def __init__(self, file: Path, device: torch.device, *, per_step: int, workers: int) -> None:
        self.file, self.per_step, self.lanes = file, per_step, max(1, workers)
        self.model = Stopwatch(device)
        self.clear()

    def clear(self) -> None:
        """Forget everything collected and start the clocks."""
        self.sums: Losses = {}
        self.times: dict[str, int] = {}
        self.count, self.data = 0, 0.0
        self.model.clear()
        self.started = time.perf_counter()

    def add(self, losses: Losses, data_seconds: float) -> None:
        """Collect one step without waiting for the device."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value.detach()
            self.times[name] = self.times.get(name, 0) + 1
        self.count += 1
        self.data += data_seconds

    def speeds(self) -> dict[str, float]:
        """Samples per second in all processes: together, and of each half if it never waited.

        The data half is as fast as its workers are at once, the model half as fast as its device.
        """
        samples, model = self.count * self.per_step, self.model.seconds()
        return {
            "per_second": samples / (time.perf_counter() - self.started),
            "data_per_second": samples * self.lanes / max(self.data, 1e-9),
            "model_per_second": samples / max(model, 1e-9),
        }

    def report(self, step: int, **measured: float) -> None:
        """Say the averages, and begin anew."""
        speeds = self.speeds()
        means = {name: value.item() / self.times[name] for name, value in self.sums.items()}
        numbers = means | measured
        words = " ".join(f"{name} {value:.4f}" for name, value in numbers.items())
        whole, data, model = (f"{speed:.0f}/s" for speed in speeds.values())
        seen = step * self.per_step
        print(f"step {step} seen {seen} {words} ({whole}; data {data}, model {model})", flush=True)
        line = {"step": step, "seen": seen, **numbers, **speeds}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.clear()
