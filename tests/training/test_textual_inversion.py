"""Textual inversion: works for every family, and is reproducible even when interrupted."""

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.forked import Nursery
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from sdloop.cli import app
from sdloop.conditioning.words import pairs_of
from sdloop.errors import FileError, NonFiniteError, SettingError
from sdloop.images.input.read import open_image
from sdloop.models.components.load import Components, load_components
from sdloop.training.files import read_state, state_bytes
from sdloop.training.loss import LEVELS, measure, noise_schedule
from sdloop.training.pictures import Pictures, encoded_pictures
from sdloop.training.settings import Training
from sdloop.training.train import State, first_state, train

PENGUIN = Path(__file__).parents[2] / "examples" / "penguin"
FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
QUICK = Training(token="<x>", init="man", steps=3, batch_size=2, vectors=2)


def pictures(components: Components, folder: str = "held-out") -> Pictures:
    files = sorted((PENGUIN / folder).glob("*.png"))
    return encoded_pictures(components, [open_image(str(file)) for file in files])


def last(components: Components, training: Training, state: State | None = None) -> State:
    begin = first_state(components, training) if state is None else state
    states = [state for state, _ in train(components, pictures(components), training, begin)]
    return states[-1]


def equal(one: State, other: State) -> bool:
    pairs = [
        (a, b)
        for part in ("rows", "means", "squares")
        for a, b in zip(getattr(one, part), getattr(other, part), strict=True)
    ]
    return one.step == other.step and all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_in_each_of_its_encoders(family: str) -> None:
    components = FAMILIES[family]()
    before = [tensor.clone() for tensor in components.unet.state_dict().values()]
    tables = [encoder.get_input_embeddings().weight for _, encoder in pairs_of(components)]
    encoders = [table.clone() for table in tables]
    begin, end = first_state(components, QUICK), last(components, QUICK)
    assert [tuple(rows.shape) for rows in end.rows] == [(2, 32)] * len(encoders)
    for start, moved in zip(begin.rows, end.rows, strict=True):
        assert 0 < (moved - start).abs().max() <= 3.1 * QUICK.learning_rate
    # Nothing else has moved, or keeps a gradient, or has become something that cannot learn.
    after = components.unet.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    for table, now in zip(encoders, tables, strict=True):
        assert torch.equal(table, now)
    assert all(p.requires_grad and p.grad is None for p in components.unet.parameters())


def test_the_first_step_is_adams() -> None:
    """Against torch's own optimizer, from the same gradients."""
    components = tiny_sd1()
    state, training = first_state(components, QUICK), replace(QUICK, learning_rate=0.01)
    rows = state.rows[0].clone().requires_grad_()
    optimizer = torch.optim.Adam([rows], lr=0.01)
    for moved, _ in train(components, pictures(components), training, state):
        rows.grad = (moved.means[0] - 0.9 * state.means[0]) / (1 - 0.9)
        optimizer.step()
        assert torch.allclose(rows, moved.rows[0], atol=1e-5)
        state = moved


def test_in_half_precision_the_vectors_stay_float32() -> None:
    components = tiny_sdxl()
    for module in (components.unet, components.text_encoder, components.text_encoder_2):
        module.to(torch.bfloat16)  # type: ignore[union-attr]
    state = last(components, replace(QUICK, steps=1))
    assert all(rows.dtype == torch.float32 and rows.isfinite().all() for rows in state.rows)
    components.unet.to(torch.float16)
    with pytest.raises(SettingError, match="dtype must be bf16 or fp32 for training, got fp16"):
        last(components, QUICK)


def test_a_seed_is_one_training() -> None:
    components = tiny_sd1()
    assert equal(last(components, QUICK), last(components, QUICK))
    assert not equal(last(components, QUICK), last(components, replace(QUICK, seed=1)))
    assert not equal(last(components, QUICK), last(components, replace(QUICK, flips=False)))


def test_going_on_from_a_file_is_never_having_stopped(tmp_path: Path) -> None:
    components = tiny_sdxl()
    halfway = last(components, replace(QUICK, steps=1))
    file = tmp_path / "x.training.safetensors"
    file.write_bytes(state_bytes(replace(QUICK, steps=1), halfway, "pictures", "weights"))
    state = read_state(file, QUICK, "pictures", "weights")
    assert equal(state, halfway)
    assert equal(last(components, QUICK, state), last(components, QUICK))


@pytest.mark.parametrize(
    ("changes", "pictures", "message"),
    [
        ({"seed": 5}, "p", "seed must be 0 as in the resumed training, got 5"),
        ({"init": "king"}, "p", "init must be 'man' as in the resumed training, got 'king'"),
        ({}, "q", "the pictures must be the same as in the resumed training"),
    ],
)
def test_another_training_is_not_gone_on_with(
    tmp_path: Path, changes: dict[str, Any], pictures: str, message: str
) -> None:
    file = tmp_path / "x.training.safetensors"
    file.write_bytes(state_bytes(QUICK, first_state(tiny_sd1(), QUICK), "p", "w"))
    with pytest.raises(SettingError, match=message):
        read_state(file, replace(QUICK, **changes), pictures, "w")
    file.write_bytes(b"nothing")
    with pytest.raises(FileError, match="not a training that can be resumed"):
        read_state(file, QUICK, "p", "w")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": "two words"}, "token must be a word without any of ()[]|\\, got 'two words'"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"vectors": 33}, "vectors must be at most 32"),
        ({"learning_rate": 2.0}, "learning_rate must be between"),
        ({"templates": ("a photo",)}, "template must contain {} exactly once, got 'a photo'"),
        ({"templates": ()}, "templates must have at least one item, got none"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        replace(QUICK, **settings)


def test_the_loss_is_the_error_of_what_the_unet_predicts() -> None:
    """Of a UNet that predicts nothing: the noise's own square, and the velocity's."""
    for make, prediction in ((tiny_sd1, "epsilon"), (tiny_sd2, "v_prediction")):
        components = make()
        for weights in components.unet.conv_out.parameters():
            weights.data.zero_()
        schedule = noise_schedule(components)
        assert schedule.config.prediction_type == prediction
        seen = pictures(components)
        told = measure(components, schedule, seen, QUICK, first_state(components, QUICK).rows)
        assert told == pytest.approx(1, abs=0.1 if prediction == "epsilon" else 0.9)
        assert LEVELS * len(seen.plain) == 64


# On the embedded model.


def note_in(file: Path) -> dict[str, Any]:
    with safe_open(file, framework="pt") as opened:
        return dict(json.loads(opened.metadata()["sdloop"]))


def run(*arguments: object, init: str = "parrot", token: str = "<penguin>") -> Result:
    command = ["train-embedding", str(PENGUIN / "pictures"), "--token", token, "--init", init]
    return CliRunner().invoke(app, [*command, *map(str, arguments)])


def test_the_held_out_loss_falls_and_the_word_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdloop.training.loss.LEVELS", 4)
    file = tmp_path / "penguin.safetensors"
    flags = ("--steps", 20, "--learning-rate", 0.005, "--batch-size", 2, "--sample-every", 20)
    result = run("--held-out", PENGUIN / "held-out", *flags, "-o", file)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{file}\n"
    before, after = (
        float(x) for x in re.findall(r"held-out loss with .*: ([0-9.]+)", result.stderr)
    )
    assert after < 0.93 * before
    with Image.open(tmp_path / "penguin-step-00020.png") as row:
        assert row.size == (512, 128)
    assert [tensor.shape for tensor in load_file(file).values()] == [(1, 128)]
    training = note_in(file)
    assert training["loss"] == pytest.approx(after, abs=1e-4)
    assert Training.from_dict(training["training"]).init == "parrot"
    picture = ["a <penguin>", "--embedding", str(file), "--seed", "1", "--steps", "1"]
    made = CliRunner().invoke(app, ["txt2img", *picture, "-o", str(tmp_path / "a.png")])
    assert made.exit_code == 0, made.stderr


def test_resume_gives_the_same_file(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdloop.training.loss.LEVELS", 2)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    quick = ("--batch-size", 1, "-q", "-m", tiny_model)
    for flags in (("-o", whole, "--steps", 4), ("-o", parts, "--steps", 2)):
        assert run(*flags, *quick, init="man").exit_code == 0
    assert whole.read_bytes() != parts.read_bytes()
    refused = run("-o", parts, "--steps", 4, *quick, init="man")
    assert (refused.exit_code, "already exists" in refused.stderr) == (3, True)
    assert run("-o", parts, "--steps", 4, "--resume", *quick, init="man").exit_code == 0
    assert whole.read_bytes() == parts.read_bytes()
    done = run("-o", parts, "--steps", 4, "--resume", *quick, init="man")
    assert done.exit_code == 2
    assert "steps must be more than the 4 steps done, got 4" in done.stderr


def test_interrupted_it_keeps_what_was_learned(
    tiny_model: Path, tmp_path: Path, nursery: Nursery
) -> None:
    file = tmp_path / "penguin.safetensors"
    flags = ["--token", "<p>", "--init", "man", "--batch-size", "1", "--steps", "100000"]
    ends = ["--save-every", "1", "-m", str(tiny_model), "-o", str(file)]
    process = nursery.open("train-embedding", str(PENGUIN / "pictures"), *flags, *ends)
    state = file.with_suffix(".training.safetensors")
    waited = time.monotonic() + 120
    while not state.exists() and time.monotonic() < waited:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    done = process.end()
    assert done.returncode == 130, done.stderr
    assert "the result so far is saved, --resume continues" in done.stderr
    assert note_in(file)["step"] == note_in(state)["step"] >= 1


def test_sdxl_writes_both_its_words_and_their_token(
    tiny_sdxl_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdloop.training.loss.LEVELS", 2)
    file = tmp_path / "word.safetensors"
    flags = ["--token", "<p>", "--init", "man", "--steps", "1", "-m", str(tiny_sdxl_model), "-q"]
    command = ["train-embedding", str(PENGUIN / "held-out"), *flags, "-o", str(file)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    assert sorted(load_file(file)) == ["clip_g", "clip_l"]
    picture = ["a <p>", "--embedding", str(file), "--steps", "1", "-m", str(tiny_sdxl_model)]
    made = CliRunner().invoke(app, ["txt2img", *picture, "--outdir", str(tmp_path), "--dry-run"])
    assert json.loads(made.stdout)["embeddings"] == [f"{file}:<p>"]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["-o", "x.pt"], 2, "output must end in .safetensors, got 'x.pt'"),
        (["--token", "<x>"], 2, "output must be given, as in: sdloop train-embedding"),
        (["-o", "x.safetensors", "--save-every", "0"], 2, "save_every must be at least 1"),
        (["-o", "x.safetensors", "--init", "zyzzyva"], 2, "'zyzzyva' must be a single token"),
        (["-o", "x.safetensors", "--resume"], 3, "is not a training that can be resumed"),
        (["-o", "x.safetensors", "--held-out", "nowhere"], 3, "cannot read"),
    ],
)
def test_what_the_command_refuses(flags: list[str], code: int, message: str) -> None:
    result = run(*flags)
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


# The penguin.


def test_the_penguins_are_drawn_by_the_script(tmp_path: Path) -> None:
    for count, first, folder in ((8, 1, "pictures"), (4, 101, "held-out")):
        command = [sys.executable, str(PENGUIN / "draw.py"), str(count), str(first), str(tmp_path)]
        subprocess.run(command, check=True)
        assert len(list((PENGUIN / folder).iterdir())) == count
        for file in (PENGUIN / folder).iterdir():
            with Image.open(file) as shipped, Image.open(tmp_path / file.name) as drawn:
                assert shipped.tobytes() == drawn.tobytes()


def test_the_shipped_word_knows_penguins_that_it_has_not_seen() -> None:
    """What its page in the docs says of it, and that the file says the same."""
    components = load_components()
    file = PENGUIN / "my-penguin.safetensors"
    note = note_in(file)
    training = Training.from_dict(note["training"])
    rows, begin = tuple(load_file(file).values()), first_state(components, training).rows
    schedule, seen = noise_schedule(components), pictures(components)
    before = measure(components, schedule, seen, training, begin)
    after = measure(components, schedule, seen, training, rows)
    assert (before, after) == pytest.approx((note["loss_of_init"], note["loss"]), abs=1e-3)
    assert (before, after) == pytest.approx((0.657, 0.504), abs=1e-3)
    page = PENGUIN.parent.parent / "docs" / "commands" / "train-embedding.md"
    told = page.read_text(encoding="utf-8")
    assert f"from {before:.3f}, with the vector of" in told
    assert f"to {after:.3f}" in told


def test_what_is_no_number_ends_the_training() -> None:
    components = tiny_sd1()
    next(components.unet.conv_out.parameters()).data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="NaN or infinite at step 1; remedy: a lower"):
        last(components, QUICK)
