"""``sdloop batch``: which pictures are made or skipped, failures, and the messages."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import Command, pixels, work_in
from helpers.forked import Nursery
from PIL import Image

from sdloop.batch.claims import NAME, Claims
from sdloop.batch.devices import local_device
from sdloop.batch.fitting import fitting, largest_batch
from sdloop.batch.found import found_in
from sdloop.errors import FileError
from sdloop.images.input.read import open_image
from sdloop.metadata.keys import key_of
from sdloop.metadata.picture import read_record
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.load import load_components
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.recipe.recipe import Recipe

BATCH = Command("batch")
PLAN = ("a red house", "--seed", "1..5", "--outdir", "out")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "work", monkeypatch, tiny_model)


def names(folder: str = "out") -> list[str]:
    """All that is in a folder, hidden files too."""
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


def test_what_is_there_is_not_made_again(place: Path) -> None:
    made = BATCH.make(*PLAN)
    assert made == [f"out/a-red-house-{seed}.png" for seed in range(1, 6)]
    assert names() == [Path(name).name for name in made]
    before = {name: Path(name).stat().st_mtime_ns for name in made}
    Path(made[2]).unlink()
    assert BATCH.make(*PLAN) == [made[2]]
    kept = {name: Path(name).stat().st_mtime_ns for name in made if name != made[2]}
    assert kept == {name: before[name] for name in kept}
    assert BATCH.make(*PLAN) == []
    assert names() == [Path(name).name for name in made]


def test_it_is_the_key_that_tells_and_not_the_name(place: Path) -> None:
    first, second, *_ = BATCH.make(*PLAN)
    Path("out/nice").mkdir()
    Path(first).rename("out/nice/my favourite.png")
    assert BATCH.make(*PLAN) == []
    # A picture of other settings under a name of the plan stays, and so does one that was cut.
    Path(second).write_bytes(Path("out/nice/my favourite.png").read_bytes())
    Path("out/a-red-house-3.png").write_bytes(Path("out/a-red-house-3.png").read_bytes()[:-9])
    assert BATCH.make(*PLAN) == ["out/a-red-house-2-2.png", "out/a-red-house-3-2.png"]
    assert BATCH.make(*PLAN) == []


def test_another_model_is_another_picture(place: Path, tiny_model: Path, tmp_path: Path) -> None:
    from helpers.tiny import save_diffusers_folder, tiny_sd1
    from safetensors.torch import load_file, save_file

    save_diffusers_folder(tiny_sd1(), tmp_path / "other")
    assert len(BATCH.make(*PLAN, "-m", str(tmp_path / "other"))) == 5
    weights = tmp_path / "other" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_out.bias"] += 0.25
    save_file(tensors, weights)
    assert len(BATCH.make(*PLAN, "-m", str(tmp_path / "other"))) == 5


def test_another_input_picture_is_another_picture(place: Path) -> None:
    """The plan is read from JSON lines, where a picture can be started from."""
    Image.new("RGB", (32, 32), "red").save("in.png")
    line = {"prompt": "a house", "seed": 4, "image": "in.png", "strength": 0.5, "steps": 4}
    Path("plan.jsonl").write_text(json.dumps(line))
    run = ("--from-file", "plan.jsonl", "--outdir", "out")
    assert len(BATCH.run(*run).stdout.splitlines()) == 1
    assert BATCH.run(*run).stdout == ""
    Image.new("RGB", (32, 32), "blue").save("in.png")
    assert len(BATCH.run(*run).stdout.splitlines()) == 1


def test_redo_makes_all_again(place: Path) -> None:
    made = BATCH.make(*PLAN)
    before = [Path(name).stat().st_mtime_ns for name in made]
    bytes_before = [Path(name).read_bytes() for name in made]
    assert BATCH.make(*PLAN, "--redo") == made
    assert all(Path(n).stat().st_mtime_ns > b for n, b in zip(made, before, strict=True))
    assert [Path(name).read_bytes() for name in made] == bytes_before
    assert names() == [Path(name).name for name in made]


def test_one_at_a_time_it_is_the_file_of_a_single_run(place: Path) -> None:
    made = BATCH.make(*PLAN, "--batch-size", "1")
    single = Command("txt2img").make("a red house", "--seed", "3", "--outdir", "single")
    assert Path(single[0]).read_bytes() == Path(made[2]).read_bytes()


def test_in_batches_it_is_the_same_picture(place: Path) -> None:
    made = BATCH.make(*PLAN)
    together = BATCH.make(*PLAN[:-1], "together", "--batch-size", "4")
    for one, other in zip(made, together, strict=True):
        pairs = zip(pixels(one), pixels(other), strict=True)
        assert max(abs(a - b) for a, b in pairs) <= 1
        assert key_of(Path(one)) == key_of(Path(other))


def test_a_picture_that_is_missing_gets_the_neighbours_it_had(place: Path) -> None:
    """SampledBatch with fewer, its last bits could differ."""
    plan = (*PLAN, "--batch-size", "4")
    made = BATCH.make(*plan)
    before = Path(made[1]).read_bytes()
    sizes: list[int] = []
    Path(made[1]).unlink()
    with pytest.MonkeyPatch.context() as patch:
        import sdloop.pipeline.sample

        real = sdloop.pipeline.sample.stages_of

        def counted(components: Any, batch: Sequence[Any], own: Any) -> Any:
            sizes.append(len(batch))
            return real(components, batch, own)

        patch.setattr(sdloop.pipeline.sample, "stages_of", counted)
        assert BATCH.make(*plan) == [made[1]]
    assert sizes == [4]
    assert Path(made[1]).read_bytes() == before


def test_each_line_of_json_tells_of_one_file(place: Path) -> None:
    lines = [json.loads(line) for line in BATCH.make(*PLAN, "--json")]
    assert [line["seed"] for line in lines] == [1, 2, 3, 4, 5]
    for line in lines:
        path = Path(line["path"])
        assert line["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert line["key"] == key_of(path)
        assert line["seconds"] > 0
        steps = len(read_record(path).made["sigmas"])  # PNDM looks three times in two steps
        assert line["seconds_per_step"] == pytest.approx(line["seconds"] / steps, abs=1e-3)
        assert line["peak_memory"] > 10**7
        assert "seconds" not in read_record(path).made


def test_a_picture_twice_in_a_plan_is_made_once(place: Path) -> None:
    Path("prompts.txt").write_text("a house --d 4\na cat --d 4\na house --d 4\n")
    made = BATCH.make("--from-file", "prompts.txt", "--outdir", "out", "--batch-size", "3")
    assert [Path(name).name for name in made] == ["a-house-4.png", "a-cat-4.png"]


def test_progress_is_told_at_the_end(place: Path) -> None:
    told = BATCH.run(*PLAN, "--steps", "2").stderr.splitlines()[-1]
    assert told.startswith("sdloop: 5 done, 0 left, 0 failed, ")
    assert told.endswith(" pictures a minute")
    told = BATCH.run(*PLAN, "--steps", "2").stderr.splitlines()[-1]
    assert told == "sdloop: 5 done (5 were there), 0 left, 0 failed"
    assert BATCH.run(*PLAN, "--steps", "2", "--quiet").stderr == ""


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--shard", "0/3"), "shard must be like 3/8, from 1/8 to 8/8, or auto, got '0/3'"),
        (("--shard", "4/3"), "shard must be like 3/8, from 1/8 to 8/8, or auto, got '4/3'"),
        (("--batch-size", "some"), "batch_size must be a whole number or auto, got 'some'"),
        (("--batch-size", "0"), "batch_size must be at least 1, got 0"),
        (("--metadata", "none"), "metadata must be full for a batch"),
        (("--gpus", "some"), "gpus must be all, or numbers as in 0,1,3, got 'some'"),
        (("--gpus", "0", "--device", "cpu"), "gpus starts one process per GPU"),
        (("--gpus", "0", "-i", "-"), "image must be a file with gpus or on, got -"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    place: Path, arguments: tuple[str, ...], message: str
) -> None:
    assert BATCH.refused(*PLAN, *arguments, "--quiet").startswith(message)


# What fails.


def failing(patch: pytest.MonkeyPatch, seeds: dict[int, int], error: Exception) -> None:
    """Let the pictures of these seeds fail so many times."""
    import sdloop.pipeline.sample

    real = sdloop.pipeline.sample.stages_of

    def stages_of(components: Any, batch: Sequence[Any], own: Any) -> Any:
        for recipe in batch:
            if seeds.get(recipe.seed, 0) > 0:
                seeds[recipe.seed] -= 1
                raise error
        return real(components, batch, own)

    patch.setattr(sdloop.pipeline.sample, "stages_of", stages_of)


@pytest.mark.parametrize("size", ["1", "4"])
def test_one_failure_does_not_end_the_batch(place: Path, size: str) -> None:
    from sdloop.errors import NonFiniteError

    plan = (*PLAN, "--steps", "2", "--batch-size", size)
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, {3: 99}, NonFiniteError("the latents are not finite numbers"))
        done = BATCH.run(*plan)
    assert done.exit_code == 5
    assert names() == [f"a-red-house-{seed}.png" for seed in (1, 2, 4, 5)]
    [told] = [line for line in done.stderr.splitlines() if "its recipe" in line]
    assert told.startswith("sdloop: error: the latents are not finite numbers; its recipe: {")
    assert json.loads(told.partition("its recipe: ")[2])["seed"] == 3
    assert "1 of the pictures failed; run the same command again" in done.stderr
    again = BATCH.run(*plan)
    assert (again.exit_code, again.stdout) == (0, "out/a-red-house-3.png\n")


def test_what_may_pass_is_tried_once_more(place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, {3: 1}, RuntimeError("the driver had a bad day"))
        made = BATCH.make(*PLAN)
        assert made[-1] == "out/a-red-house-3.png"  # when all others were done
        assert len(made) == 5
        failing(patch, {3: 2}, RuntimeError("the driver had a bad day"))
        done = BATCH.run(*PLAN, "--redo", "--steps", "2")
    assert done.exit_code == 5
    assert len(done.stdout.splitlines()) == 4


def test_a_disk_that_is_full_for_a_moment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sdloop.batch.finish

    real, moods = sdloop.batch.finish.write_whole, iter([True, False, True])

    def write_whole(*arguments: Any, **options: Any) -> Path:
        if not next(moods, True):
            raise FileError("cannot write: No space left on device")
        return real(*arguments, **options)

    monkeypatch.setattr(sdloop.batch.finish, "write_whole", write_whole)
    made = BATCH.make(*PLAN)
    assert made[-1] == "out/a-red-house-2.png"
    assert len(made) == 5


def test_a_name_that_is_taken_costs_no_sampling(place: Path) -> None:
    Path("out").mkdir()
    Path("out/2.png").write_bytes(b"mine")
    plan = ("a red house", "--seed", "1..3", "-o", "out/{seed}.png", "--steps", "2")
    done = BATCH.run(*plan)
    assert done.exit_code == 5
    assert done.stdout.splitlines() == ["out/1.png", "out/3.png"]
    assert "'out/2.png' already exists" in done.stderr
    assert Path("out/2.png").read_bytes() == b"mine"


# Memory that does not suffice.


def test_a_batch_that_does_not_fit_is_halved(place: Path) -> None:
    from diffusers import UNet2DConditionModel

    real, sizes = UNet2DConditionModel.forward, []

    def forward(self: Any, sample: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        sizes.append(len(sample) // 2)  # with guidance, each is there twice
        if len(sample) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, sample, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UNet2DConditionModel, "forward", forward)
        done = BATCH.run(*PLAN, "--steps", "2", "--batch-size", "5")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) == 5
    assert sizes[:3] == [5, 3, 2]
    assert "warning: not enough memory for a batch of 5: continuing with 3" in done.stderr


def test_one_that_never_fits_does_not_end_the_batch(place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, {3: 99}, torch.OutOfMemoryError("CUDA out of memory"))
        done = BATCH.run(*PLAN, "--steps", "2", "--batch-size", "4")
    assert done.exit_code == 5
    assert len(names()) == 4
    assert "out of memory for 1 picture(s) of 32x32 at once" in done.stderr


@pytest.mark.parametrize(
    "one, more, room, size",
    [(10, 1, 100, 32), (10, 10, 100, 8), (10, 30, 100, 4), (90, 20, 100, 1), (200, 9, 100, 1)],
)
def test_as_many_as_fit_are_made_at_once(one: int, more: int, room: int, size: int) -> None:
    assert fitting(lambda count: one + (count - 1) * more, room) == size


def test_each_process_of_a_launcher_has_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variables that ``accelerate launch`` sets."""
    assert local_device("auto") == "auto"
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert local_device("auto") == "auto"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert [local_device(name) for name in ("auto", "cuda:0")] == ["cuda:1", "cuda:0"]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert local_device("auto") == "cpu"


def test_on_a_cpu_it_is_one(tiny_model: Path) -> None:
    model = loaded_model(load_components(find_checkpoint(str(tiny_model))))
    assert largest_batch(model, Recipe(prompt="a house", seed=1), open_image) == 1


# Claims.


def test_claims_of_one_process_leave_nothing(tmp_path: Path) -> None:
    with Claims(tmp_path / "new") as claims:
        assert claims.take(["a" * 64, "b" * 64])
        assert (tmp_path / "new" / NAME).exists()
    assert list((tmp_path / "new").iterdir()) == []


def test_another_process_has_claims_of_its_own(tmp_path: Path) -> None:
    """Of keys that it takes together it gets all or none."""
    code = (
        "import sys; from pathlib import Path; from sdloop.batch.claims import Claims\n"
        f"with Claims(Path({str(tmp_path)!r})) as claims:\n"
        "    print(claims.take(['b' * 64, 'c' * 64]), claims.take(['c' * 64]), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with Claims(tmp_path) as claims:
        assert claims.take(["a" * 64, "b" * 64])
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "False True\n"
        assert not claims.take(["c" * 64])
        other.kill()
        other.communicate()
        assert claims.take(["c" * 64])
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_go_unless_somebody_writes_them(tmp_path: Path) -> None:
    from sdloop.batch.leftovers import remove_leftovers
    from sdloop.metadata.atomic import _new_temporary

    old = tmp_path / ".sdloop-0011223344556677.part"
    old.write_bytes(b"half")
    path, file = _new_temporary(tmp_path)
    with file:
        started = time.monotonic()
        remove_leftovers([], [tmp_path])
        assert 0.5 < time.monotonic() - started < 5  # a young one may not be locked yet
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_picture_with_a_key_does_not_count(place: Path) -> None:
    Path("out").mkdir()
    Path("out/empty.png").write_bytes(b"")
    Path("out/text.png").write_text("no picture")
    Image.new("RGB", (8, 8)).save("out/plain.png")
    Path("out/link").symlink_to(Path("out").absolute())
    assert len(found_in(Path("out"))) == 0
    BATCH.make(*PLAN)
    assert len(found_in(Path("out"))) == 5
    Path("out/deep/er").mkdir(parents=True)
    Path("out/a-red-house-1.png").rename("out/deep/er/1.png")
    assert [len(found_in(Path("out"), depth=depth)) for depth in (0, 1, 2, None)] == [4, 4, 5, 5]


# Processes of their own.


def test_a_finished_plan_needs_no_torch(place: Path, tiny_model: Path) -> None:
    BATCH.make(*PLAN)
    code = (
        "import json, sys\n"
        "from sdloop.cli import app\n"
        f"try: app(['batch', *{PLAN!r}, '--steps', '2', '-m', {str(tiny_model)!r}])\n"
        "except SystemExit as ending: print(ending.code)\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'diffusers') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n[]\n"
    assert done.stderr.endswith("sdloop: 5 done (5 were there), 0 left, 0 failed\n")


def test_the_first_signal_finishes_what_is_in_flight(place: Path, nursery: Nursery) -> None:
    plan = ("a red house", "--seed", "1..400", "--steps", "10", "--outdir", "out")
    running = nursery.open("batch", *plan, "--batch-size", "2")
    made = [running.stdout.readline()]
    running.send_signal(signal.SIGINT)
    done = running.end()
    made += done.stdout.splitlines()
    assert done.returncode == 130
    assert len(made) % 2 == 0  # whole batches
    assert sorted(Path(name.strip()).name for name in made) == names()
    assert "stopping after the pictures that are in work" in done.stderr
    assert done.stderr.endswith(
        "sdloop: interrupted; run the same command again to make the rest\n"
    )
