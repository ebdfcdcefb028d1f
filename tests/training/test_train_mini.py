"""Training the embedded model, at sizes that take seconds: it resumes bit-equal, reports
invalid settings before the training, and its commands make a model that sdloop can run."""

import doctest
import importlib
import json
import multiprocessing
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from types import ModuleType

import byte_pairs
import cache_latents
import classifier
import compiling
import data_folder
import dataset
import denoising
import enlarge
import export
import guessing
import loading
import models
import muon
import numpy as np
import pytest
import scenes
import sharpening
import torch
import torch.nn.functional as F
import train_unet
import train_vae
import train_words
import training
from cache_latents import Bucket, make_buckets
from diffusers import StableDiffusionPipeline
from judge import Judge
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.models.checkpoint.find import find_checkpoint

TRAINING = Path(__file__).parents[2] / "examples/train_mini"
STEPS = ["--batch", "2", "--every", "2", "--report", "2", "--workers", "0", "--precision", "no"]
WORDS = [*STEPS, "--captions", "4", "--learn-from", "300", "--text-layers", "1"]
VAE = [*STEPS, "--pictures", "8", "--size", "32", "--channels", "8", "8", "8", "8"]
UNET = [*STEPS, "--samples", "8", "--cache", "10", "--wide", "0.5"]
WEIGHTS = "diffusion_pytorch_model.safetensors"
UNET_OF = ["--channels", "16", "16", "16"]


def run(module: ModuleType, out: Path, flags: list[str]) -> Namespace:
    """One of the three commands, in this process."""
    args = module.parse([*flags, "--out", str(out)])
    module.train(args)
    return args


def weights(file: Path, module: str = "model") -> dict[str, torch.Tensor]:
    return torch.load(file)[module]


def equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with words and a VAE, and four steps of its UNet; only to be read."""
    out = tmp_path_factory.mktemp("begun")
    torch.set_num_threads(1)
    run(train_words, out, WORDS)
    run(train_vae, out, VAE)
    run(train_unet, out, [*UNET, *UNET_OF])
    return out


@pytest.fixture
def readied(begun: Path, tmp_path: Path) -> Path:
    """A run that lacks the UNet alone."""
    for part in ("tokenizer", "text_encoder", "vae", "latents"):
        shutil.copytree(begun / part, tmp_path / "readied" / part)
    return tmp_path / "readied"


@pytest.mark.parametrize(
    "name", ["dataset", "data_folder", "training", "denoising", "train_words", "captions", "pen",
             "train_vae", "enlarge", "muon"],
)  # fmt: skip
def test_the_examples_in_the_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


# The order of the data


def test_each_time_around_has_every_thing_once_and_an_order_of_its_own() -> None:
    walk = [dataset.shuffled(place, 20) for place in range(60)]
    orders = [[thing for around, thing in walk if around == time] for time in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_no_two_processes_and_no_two_steps_share_a_place() -> None:
    shares = [training.Share(batch=4, rank=rank, world=3) for rank in range(3)]
    places = [place for turn in range(5) for share in shares for place in share.places(turn)]
    assert places == list(range(60))


def test_each_bucket_is_walked_without_a_gap() -> None:
    taken = [denoising.bucket_at(step, 0.2) for step in range(1000)]
    assert Counter(bucket for bucket, _ in taken) == {0: 800, 1: 100, 2: 100}
    for bucket in range(3):
        turns = [turn for number, turn in taken if number == bucket]
        assert turns == list(range(len(turns)))


def test_a_balanced_walk_meets_each_answer_equally_often() -> None:
    data, bucket = dataset.Scenes(), Bucket(size=(32, 32), first=0, count=2000)
    for balanced in (None, "doing"):
        rows = denoising.make_walk(data, bucket, balanced)
        doings = Counter(scenes.sample_scene(row).doing for row in rows)
        assert set(rows) == set(range(2000))
        assert (min(doings.values()) / max(doings.values()) > 0.8) == (balanced is not None)


def test_what_is_hard_is_met_thrice_as_often() -> None:
    data, bucket = dataset.Scenes(), Bucket(size=(32, 32), first=0, count=2000)
    once = Counter(scenes.sample_scene(row).subject for row in range(2000))
    rows = denoising.make_walk(data, bucket, oftener=["giraffe", "leopard"])
    met = Counter(scenes.sample_scene(row).subject for row in rows)
    hard = ("giraffe", "leopard")
    assert met == {name: count * (3 if name in hard else 1) for name, count in once.items()}


def text_batches(begun: Path) -> denoising.TextBatches:
    data = dataset.Scenes()
    buckets = make_buckets(data, 32, pictures=10, wide=0.5)
    return denoising.TextBatches(
        data=data,
        share=training.Share(batch=8),
        tokenizer=CLIPTokenizer.from_pretrained(begun / "tokenizer"),
        buckets=buckets,
        walks=tuple(denoising.make_walk(data, bucket) for bucket in buckets),
        wide=0.5,
    )


def test_a_scene_is_told_anew_each_time_and_seldom_not_at_all(begun: Path) -> None:
    make = text_batches(begun)
    told: dict[int, list[str]] = {}
    for step in range(0, 160, 2):  # the square bucket's steps
        rows, ids = make(step)
        texts = make.tokenizer.batch_decode(ids, skip_special_tokens=True)
        for row, text in zip(rows.tolist(), texts, strict=True):
            told.setdefault(row, []).append(text)
    everything = [text for texts in told.values() for text in texts]
    assert sorted(told) == list(range(5))
    assert all(len(set(texts)) > len(texts) / 4 for texts in told.values())
    assert 0.05 < everything.count("") / len(everything) < 0.15


def test_noisy_timesteps_come_oftener() -> None:
    _, timesteps = denoising.draw_noise(torch.zeros(4000, 1), torch.Generator().manual_seed(0))
    assert 0 <= timesteps.min() <= timesteps.max() <= 999
    assert 0.68 < (timesteps >= 500).float().mean() < 0.74  # 1 / sqrt(2)


def test_details_are_trained_where_there_is_less_noise_than_picture() -> None:
    shares = []
    for details in (False, True):
        _, timesteps = denoising.draw_noise(
            torch.zeros(4000, 1), torch.Generator().manual_seed(0), details=details
        )
        assert timesteps.min() >= 0 and timesteps.max() <= 999
        shares.append((timesteps < 270).float().mean().item())
    assert shares == pytest.approx([1 - 0.73**0.5, 0.27**0.7], abs=0.03)


# Resuming


class Killed(BaseException):
    pass


def killed_at(step: int, module: ModuleType, out: Path, flags: list[str]) -> None:
    """Run until the weights moved for the n-th time, and not on."""
    whole = training.Trainer.step

    def killing(trainer: training.Trainer, *given: object) -> dict[str, torch.Tensor]:
        losses = whole(trainer, *given)
        if trainer.done == step:
            raise Killed
        return losses

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training.Trainer, "step", killing)
        run(module, out, flags)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_vae_training_resumes_exactly(
    begun: Path, tmp_path: Path, workers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server that forks them would import torch first; the next test has one, and is slow.
    monkeypatch.setattr(loading, "worker_context", lambda: multiprocessing.get_context("fork"))
    flags = [*VAE, "--workers", workers]
    killed_at(3, train_vae, tmp_path, flags)
    assert torch.load(tmp_path / "vae.pt")["done"] == 2
    run(train_vae, tmp_path, flags)
    assert equal(weights(tmp_path / "vae.pt"), weights(begun / "vae.pt"))


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_unet_training_resumes_exactly(begun: Path, readied: Path, workers: str) -> None:
    flags = [*UNET, *UNET_OF, "--workers", workers]
    killed_at(3, train_unet, readied, flags)
    run(train_unet, readied, flags)
    for module in ("model", "average"):
        assert equal(weights(readied / "unet.pt", module), weights(begun / "unet.pt", module))


def test_training_with_muon_resumes_exactly(tmp_path: Path) -> None:
    flags = [*VAE, "--optimizer", "muon", "--channels", "8", "16", "16", "16"]
    run(train_vae, tmp_path / "whole", flags)
    killed_at(3, train_vae, tmp_path / "broken", flags)
    run(train_vae, tmp_path / "broken", flags)
    assert equal(*(weights(tmp_path / name / "vae.pt") for name in ("whole", "broken")))


def test_words_training_resumes_exactly(begun: Path, tmp_path: Path) -> None:
    flags = [*WORDS, "--every", "1"]
    killed_at(2, train_words, tmp_path, flags)
    run(train_words, tmp_path, flags)
    assert equal(weights(tmp_path / "words.pt"), weights(begun / "words.pt"))


def test_a_finished_run_does_nothing(begun: Path, readied: Path) -> None:
    shutil.copy(begun / "unet.pt", readied)
    run(train_unet, readied, [*UNET, *UNET_OF])
    assert not (readied / "unet.jsonl").exists()


def test_a_checkpoint_of_another_shape_is_refused(begun: Path, readied: Path) -> None:
    shutil.copy(begun / "unet.pt", readied)
    with pytest.raises(SystemExit, match=r"unet\.pt is of other shapes"):
        run(train_unet, readied, [*UNET, "--channels", "16", "16", "32"])


# What is learnt


def test_the_learned_tokenizer_knows_words_and_takes_any_text(tmp_path: Path) -> None:
    data = dataset.Scenes()
    merges = byte_pairs.learn_merges((data.caption(place, 0) for place in range(300)), merges=1000)
    tokenizer = byte_pairs.save_tokenizer(tmp_path, merges)
    assert tokenizer.tokenize("Frogs on stilts") == ["frogs</w>", "on</w>", "stilts</w>"]
    assert tokenizer.decode(tokenizer("東京 🐎").input_ids, skip_special_tokens=True) == "東京 🐎"


def test_the_answers_are_what_the_scene_is() -> None:
    data = dataset.Scenes()
    for place in range(100):
        scene = scenes.sample_scene(place)
        for (question, choices), right in zip(
            data.questions.items(), data.answers(place), strict=True
        ):
            assert [choices[number] for number in right] == [getattr(scene, question)]


def reader_of(begun: Path, data: dataset.Data) -> train_words.Reader:
    torch.manual_seed(0)
    text_encoder = CLIPTextModel.from_pretrained(begun / "text_encoder", dtype=torch.float32)
    return train_words.Reader(text_encoder, data)


def test_the_reader_is_asked_from_the_end_of_the_caption_on(begun: Path) -> None:
    data = dataset.Scenes()
    reader = reader_of(begun, data)
    tokenizer = CLIPTokenizer.from_pretrained(begun / "tokenizer")
    ids = byte_pairs.tokenize(tokenizer, ["a red frog", "two blue houses at night"], 12)
    right = train_words.right_answers(data, range(2))
    losses = reader(ids, right)
    parts, row = [], 0
    for question, logits in zip(data.questions, reader.logits(ids), strict=True):
        wanted = right[:, row : row + logits.shape[-1]].float().argmax(-1)
        row += logits.shape[-1]
        ended = ids == tokenizer.eos_token_id
        expected = F.cross_entropy(logits[ended], wanted[:, None].expand(ids.shape)[ended])
        assert torch.allclose(losses[question], expected, atol=1e-5)
        parts.append(expected)
    assert torch.allclose(losses["loss"], sum(parts), atol=1e-4)


def test_a_reader_that_knows_is_said_to_be_right(begun: Path, own: Path) -> None:
    """Of a picture of one's own the answer is a set of words."""
    data = data_folder.open_data(own, 1)
    reader = reader_of(begun, data)
    tokenizer = CLIPTokenizer.from_pretrained(begun / "tokenizer")
    said = torch.zeros(len(data.words))
    said[list(data.answers(dataset.HELD_OUT)[0])] = 1
    with torch.no_grad():
        reader.answer.weight.zero_()
        reader.answer.bias.copy_(said)
        assert train_words.measure_answers(reader, data, tokenizer) == {"word_right": 1.0}
        # Three of four words are right; the three that are least so hold two of them.
        reader.answer.bias.copy_(-said)
        assert train_words.measure_answers(reader, data, tokenizer) == {"word_right": 2 / 3}


@pytest.mark.parametrize("names", [(), ("--sharpen",), ("--sharpen", "--guesses-of")])
def test_the_frozen_encoder_keeps_its_weights(
    begun: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    folders = {"--sharpen": TRAINING / "judge", "--guesses-of": begun / "model"}
    more = [text for name in names for text in (name, str(folders[name]))]
    flags = [*STEPS, "--pictures", "8", "--batch", "4", "--start", str(begun / "vae")]
    run(train_vae, tmp_path, [*flags, "--freeze-encoder", *more])
    before, after = (load_file(out / "vae" / WEIGHTS) for out in (begun, tmp_path))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("encoder.", "quant_conv.")) for name in moved)
    assert any(name.startswith("decoder.") for name in moved)


def test_a_unet_that_knows_the_noise_guesses_the_very_latents(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real one, which has seen sixteen pictures, does not."""
    guesses = guessing.Guesses(begun / "model", scaling_factor=0.5)
    latents, noise = torch.randn(2, 2, 4, 4, 4)
    ids, places = torch.zeros(2, 77, dtype=torch.long), torch.tensor([0.8281, 0.2601])
    assert (guesses(latents, ids, noise, places) - latents).abs().mean() > 0.05

    def knows(noisy: torch.Tensor, timesteps: torch.Tensor, words: torch.Tensor) -> Namespace:
        assert timesteps.tolist() == [318, 178]
        velocity = guesses.schedule.get_velocity(latents * 0.5, noise, timesteps)
        return Namespace(sample=velocity)

    monkeypatch.setattr(guesses.unet, "forward", knows)
    assert torch.allclose(guesses(latents, ids, noise, places), latents, atol=1e-5)


def test_the_first_half_of_a_batch_is_guessed_and_has_no_plain_errors() -> None:
    class Empty(torch.nn.Module):
        def forward(self, latents: torch.Tensor, names: torch.Tensor) -> torch.Tensor:
            assert names.tolist() == [0, 1]
            return latents * torch.nan

    vae = models.make_vae(32, (8, 8, 8, 8))
    pictures, noise = torch.rand(4, 3, 32, 32), torch.randn(4, 4, 4, 4)
    guessed, plain = (
        train_vae.Reconstruction(vae, freeze_encoder=True, guesses=guesses)
        for guesses in (Empty(), None)
    )
    found = guessed(pictures, noise, None, torch.arange(4))
    right = plain(pictures[2:], noise[2:])
    assert found["l1"].item() == pytest.approx(right["l1"].item(), rel=1e-5)


def test_the_strength_of_a_line_is_the_same_wherever_it_is_and_less_when_blurred() -> None:
    line, moved = torch.zeros(2, 1, 3, 32, 32)
    line[..., 4], moved[..., 9] = 1, 1
    blurred = F.avg_pool2d(line, 3, 1, 1)
    strength = sharpening.line_strength(line)
    assert strength.shape == (1, 3, 4, 2)
    assert torch.equal(strength, sharpening.line_strength(moved))
    assert strength[0, 0, 0, 0] > 2 * sharpening.line_strength(blurred)[0, 0, 0, 0]
    assert strength[0, 0, 0, 1] == pytest.approx(0.01)  # no line there


def test_muon_moves_each_matrix_by_the_same_length_and_leaves_the_rest_to_adamw() -> None:
    layers = torch.nn.Sequential(torch.nn.Conv2d(16, 32, 3), torch.nn.Conv2d(32, 3, 3))
    optimizer = muon.Muon(layers.parameters())
    others, matrices = optimizer.param_groups
    assert [one.shape for one in matrices["params"]] == [(32, 16, 3, 3)]
    assert len(others["params"]) == 3
    before = [one.detach().clone() for one in layers.parameters()]
    layers(torch.randn(2, 16, 8, 8)).square().mean().backward()
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    optimizer.step()
    steps = [one - old for one, old in zip(layers.parameters(), before, strict=True)]
    assert steps[0].square().mean().sqrt().item() == pytest.approx(0.002, rel=0.2)
    assert all(step.abs().max().item() == pytest.approx(0.01, rel=0.1) for step in steps[1:])


@pytest.mark.parametrize(("fast", "error"), [(True, 0.05), (False, 1e-4)])
def test_muon_computes_in_bf16_only_where_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool, error: float
) -> None:
    monkeypatch.setattr(muon, "calculates_in_bf16", lambda device: fast)
    matrix = torch.randn(16, 24, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    values = left.mT @ muon.orthogonal(matrix) @ right.mT
    off = (values - values.diag().diag()).abs().max().item()
    assert off < error and (off > 1e-4) == fast


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "no")])
def test_the_forward_is_in_bf16_only_where_that_is_fast(
    monkeypatch: pytest.MonkeyPatch, fast: bool, precision: str
) -> None:
    monkeypatch.setattr("flags.calculates_in_bf16", lambda device: fast)
    assert train_unet.parse(["--out", "here"]).precision == precision
    assert classifier.parse(["--out", "here"]).precision == precision


@pytest.fixture(scope="module")
def small_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VAE of 16 pixels and factor 4 whose latents are those of the tests' larger one."""
    out = tmp_path_factory.mktemp("small")
    flags = ["--size", "16", "--factor", "4", "--channels", "8", "8", "8"]
    run(train_vae, out, [*VAE, *flags])
    return out / "vae"


def test_a_vae_begins_with_the_inner_levels_of_one_of_half_the_side(small_vae: Path) -> None:
    large, small = models.make_vae(32, (8, 8, 8, 8)), train_vae.load_vae(small_vae)
    copied = enlarge.copy_inner_levels(large, small)
    assert copied > 0.9 * len(small.state_dict())
    hidden = torch.randn(1, 8, 8, 8)
    for one, other in (
        (large.encoder.down_blocks[2], small.encoder.down_blocks[1]),
        (large.decoder.up_blocks[1], small.decoder.up_blocks[1]),
    ):
        assert torch.equal(one(hidden), other(hidden))
    for name, value in small.state_dict().items():
        assert enlarge.inner_name(name) in large.state_dict(), name
        assert value.isfinite().all()


def test_latents_are_pulled_towards_those_of_the_vae_they_must_be_like(small_vae: Path) -> None:
    small = train_vae.load_vae(small_vae)
    likeness = enlarge.Likeness(small)
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    same = small.encode(F.avg_pool2d(pictures, 2)).latent_dist.mean
    assert likeness(pictures, same) == 0
    deviation = 1 / small.config.scaling_factor
    assert likeness(pictures, same + deviation).item() == pytest.approx(1, rel=1e-4)
    model = train_vae.Reconstruction(
        models.make_vae(32, (8, 8, 8, 8)), freeze_encoder=False, likeness=likeness
    )
    noise = torch.randn(2, 4, 4, 4)
    free, pulled = (model(pictures, noise, torch.tensor(pull)) for pull in (0.0, 2.0))
    assert (pulled["loss"] - free["loss"]).item() == pytest.approx(
        2 * free["unlike"].item(), rel=1e-3
    )


def test_the_critic_and_the_decoder_leave_each_others_weights_alone() -> None:
    torch.manual_seed(0)
    sharp = sharpening.Sharpening(Judge())
    drawn, last = torch.rand(2, 3, 32, 32), torch.nn.Parameter(torch.tensor([0.2, 0.4, 0.6]))
    weights = list(sharp.critic.parameters())
    optimizer = torch.optim.Adam(weights, 0.01)
    for _ in range(10):  # until it knows something
        optimizer.zero_grad()
        hinge(sharp, drawn, last).backward()
        optimizer.step()
    optimizer.zero_grad()
    last.grad = None
    made = drawn * last.view(1, 3, 1, 1)
    loss, parts = sharp(drawn, made, F.l1_loss(made, drawn), last)
    loss.backward()
    knows = 1 - parts["critic"].item() / 2
    assert knows > 0.2
    learnt = [one.grad for one in weights]
    alone = torch.autograd.grad(hinge(sharp, drawn, last), weights)
    torch.testing.assert_close(learnt, list(alone))
    assert all(one.grad is None for one in sharp.trunk.parameters())
    # If the critic knew all, fooling it would weigh as much as everything else.
    plain = plain_gradient(sharp, drawn, last)
    wish = torch.autograd.grad(sharp.critic(drawn * last.view(1, 3, 1, 1)).mean(), last)[0]
    added = last.grad - plain
    assert added.norm().item() == pytest.approx(knows * plain.norm().item(), rel=0.02)
    assert F.cosine_similarity(added, -wish, dim=0) > 0.99


def hinge(
    sharp: sharpening.Sharpening, drawn: torch.Tensor, last: torch.nn.Parameter
) -> torch.Tensor:
    """The critic's own loss."""
    made = (drawn * last.view(1, 3, 1, 1)).detach()
    return (F.relu(1 - sharp.critic(drawn)) + F.relu(1 + sharp.critic(made))).mean()


def test_edges_of_half_the_energy_are_half_an_error() -> None:
    pictures = torch.rand(4, 3, 32, 32)
    error = sharpening.energy_error(pictures, pictures * 0.5**0.5)
    assert error.item() == pytest.approx(0.5, abs=1e-3)
    assert sharpening.energy_error(pictures, pictures.flip(3)).item() < 1e-6
    assert sharpening.energy_error(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)) == 0


def plain_gradient(
    sharp: sharpening.Sharpening, drawn: torch.Tensor, last: torch.nn.Parameter
) -> torch.Tensor:
    """Of all losses but the critic's."""
    made = drawn * last.view(1, 3, 1, 1)
    strength = F.l1_loss(sharpening.line_strength(made), sharpening.line_strength(drawn))
    loss = F.l1_loss(made, drawn) + sharpening.PERCEPTUAL_WEIGHT * sharp.compare(drawn, made)
    loss = loss + sharpening.STRENGTH_WEIGHT * strength
    loss = loss + sharpening.ENERGY_WEIGHT * sharpening.energy_error(drawn, made)
    return torch.autograd.grad(loss, last)[0]


class Detached(torch.nn.Module):
    """A compiled model with torch's fault: what comes before the decoder gets no gradient."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        own = dict(self.model.named_parameters())
        cut = {name: one.detach() if "encoder" in name else one for name, one in own.items()}
        return torch.func.functional_call(self.model, cut, inputs)


def test_a_run_whose_compiled_model_loses_gradients_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", Detached)
    with pytest.raises(SystemExit, match=r"--compile must be left out: \d+ of \d+ tensors"):
        run(train_vae, tmp_path, [*VAE, "--compile"])
    assert not (tmp_path / "vae.pt").exists()


def test_a_run_whose_compiled_model_is_right_learns_what_it_would_have_learnt(
    begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    checked: list[float] = []
    monkeypatch.setattr(training, "compile_model", SameAgain)
    monkeypatch.setattr(
        training, "check_gradients",
        lambda *given: checked.append(1.0) or compiling.check_gradients(*given),
    )  # fmt: skip
    run(train_vae, tmp_path, [*VAE, "--compile"])
    assert len(checked) == 1
    assert "compiled and eager gradients differ by 0.00%" in capsys.readouterr().out
    assert equal(weights(tmp_path / "vae.pt"), weights(begun / "vae.pt"))


class SameAgain(torch.nn.Module):
    """A compiled model that does as it should."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.model(*inputs)


def test_gradients_that_are_all_there_but_wrong_are_refused() -> None:
    torch.manual_seed(0)
    right, given = Squares(), (torch.randn(4, 3),)
    trained = list(right.parameters())
    compiling.check_gradients(right, SameAgain(right), trained, given)
    with pytest.raises(SystemExit, match=r"0 of 2 tensors.*differ by 1\d\.\d%"):
        compiling.check_gradients(right, Scaled(right), trained, given)


class Squares(torch.nn.Module):
    """A model as the trainers have them, that is as small as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 3)

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.layer(inputs).square().mean()}


class Scaled(SameAgain):
    """Gradients 15 % too large."""

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": 1.15 * super().forward(*inputs)["loss"]}


def test_the_average_follows_the_weights() -> None:
    average, model = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
    with torch.no_grad():
        average.weight.fill_(1.0)
        model.weight.fill_(3.0)
    denoising.follow(average, model, 0.75)
    assert average.weight.item() == 1.5


# What a run leaves


def test_the_log_says_how_fast_each_half_would_be_alone(begun: Path) -> None:
    lines = (begun / "unet.jsonl").read_text(encoding="utf-8").splitlines()
    reports = [json.loads(line) for line in lines]
    assert [report["step"] for report in reports] == [2, 4]
    for report in reports:
        assert {"loss", "held_out"} < report.keys()
        halves = report["data_per_second"], report["model_per_second"]
        assert 0 < report["per_second"] < min(halves)


def test_workers_count_as_lanes_of_the_data(tmp_path: Path) -> None:
    log = training.Log(tmp_path / "log", torch.device("cpu"), per_step=10, workers=4)
    log.add({}, data_seconds=0.5)
    log.add({}, data_seconds=1.5)
    assert log.speeds()["data_per_second"] == 40


def test_the_exported_folder_is_a_model_with_its_words(begun: Path) -> None:
    model = begun / "model"
    advice = find_checkpoint(str(model)).advice
    assert "frog" in advice.vocabulary["subjects"]
    assert advice.vocabulary.keys() > {"colours", "settings", "styles", "counts"}
    assert len(advice.prompts) == 10
    assert advice.guidance_scale == 1.5
    with Image.open(begun / "samples/0000004.png") as sheet:
        assert sheet.size == (5 * (32 + 4) + 4, 2 * (32 + 4) + 4)
    for file in model.rglob("*"):
        assert file.stat().st_mode & 0o444 == 0o444
        if file.suffix == ".json":
            assert str(begun) not in file.read_text(encoding="utf-8")


def test_what_ships_is_the_average_in_half_precision(begun: Path) -> None:
    shipped = load_file(begun / "model/unet" / WEIGHTS)
    average = {name: value.half() for name, value in weights(begun / "unet.pt", "average").items()}
    assert equal(shipped, average)
    assert not equal(average, weights(begun / "unet.pt"))


def test_diffusers_makes_wide_and_tall_pictures_of_the_exported_folder(begun: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(begun / "model", use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    words = load_file(begun / "model/text_encoder/model.safetensors")
    assert {value.dtype for value in words.values()} == {torch.float16}
    parts = pipeline.unet, pipeline.vae, pipeline.text_encoder
    assert {value.dtype for part in parts for value in part.parameters()} == {torch.float32}
    for width, height in ((48, 32), (32, 48)):
        picture = pipeline(
            "a frog", num_inference_steps=2, width=width, height=height, output_type="np"
        ).images[0]
        assert picture.shape == (height, width, 3)
        assert np.isfinite(picture).all()
    header = cache_latents.read_header(begun / "latents/32x32.safetensors")
    assert pipeline.vae.config.scaling_factor == float(header["scaling_factor"])


def test_the_latents_are_of_unit_size_and_of_three_shapes(begun: Path) -> None:
    shapes = {"32x32": (5, 4, 4, 4), "48x32": (2, 4, 4, 6), "32x48": (2, 4, 6, 4)}
    for name, shape in shapes.items():
        file = begun / f"latents/{name}.safetensors"
        latents = load_file(file)["latents"]
        assert (latents.dtype, tuple(latents.shape)) == (torch.float16, shape)
    square = load_file(begun / "latents/32x32.safetensors")["latents"].float()
    header = cache_latents.read_header(begun / "latents/32x32.safetensors")
    assert abs(square.std().item() * float(header["scaling_factor"]) - 1) < 0.01


def test_latents_of_another_encoder_are_refused(readied: Path) -> None:
    torch.manual_seed(1)
    models.make_vae(32, (8, 8, 8, 8)).save_pretrained(readied / "vae")
    with pytest.raises(SystemExit, match="of another encoder"):
        run(train_unet, readied, [*UNET, *UNET_OF])


def test_a_vae_of_another_encoder_is_not_shipped(begun: Path, tmp_path: Path) -> None:
    models.make_vae(32, (8, 8, 8, 8)).save_pretrained(tmp_path / "vae")
    with pytest.raises(SystemExit, match="must have the encoder"):
        export.export(begun, tmp_path / "model", dataset.Scenes(), vae=tmp_path / "vae")
    assert not (tmp_path / "model").exists()


def test_the_card_beside_an_exported_model_stays(begun: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("a card", encoding="utf-8")
    export.export(begun, tmp_path, dataset.Scenes())
    export.export(begun, tmp_path, dataset.Scenes(), guidance_scale=3.0)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "a card"
    assert find_checkpoint(str(tmp_path)).advice.guidance_scale == 3.0


def test_a_unet_too_large_to_ship_is_refused_before_it_is_trained(readied: Path) -> None:
    with pytest.raises(SystemExit, match=r"at most 0\.01 MiB, would be 0\.\d+"):
        run(train_unet, readied, [*UNET, *UNET_OF, "--largest", "0.01"])
    assert not (readied / "unet.pt").exists()


def test_the_default_parts_may_ship() -> None:
    unet = models.make_unet(16, train_unet.CHANNELS)
    vae = models.make_vae(128, train_vae.CHANNELS[8])
    export.check_size("unet", unet, export.LARGEST)
    halves = sum(value.numel() * 2 for part in (unet, vae) for value in part.parameters())
    assert halves < 19_500_000  # the text encoder and the tokenizer take up to 4 of the 24 MB


# Going on from an exported model


def test_training_goes_on_from_an_exported_model_alone(begun: Path, tmp_path: Path) -> None:
    out = tmp_path / "on"
    run(train_unet, out, [*UNET, "--init", str(begun / "model"), "--rate", "0"])
    shipped, kept = (load_file(folder / "model/unet" / WEIGHTS) for folder in (begun, out))
    assert equal(shipped, kept)
    configs = [json.loads((folder / "model/vae/config.json").read_text(encoding="utf-8"))
               for folder in (begun, out)]  # fmt: skip
    assert configs[0]["scaling_factor"] == configs[1]["scaling_factor"]
    run(train_unet, out, [*UNET, "--init", str(begun / "model"), "--samples", "12"])
    assert not equal(shipped, load_file(out / "model/unet" / WEIGHTS))


def test_a_run_without_words_or_vae_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"tokenizer must be there: run train_words\.py"):
        run(train_unet, tmp_path, [*UNET, *UNET_OF])


@pytest.mark.parametrize(
    ("module", "flags", "message"),
    [
        (train_vae, ["--factor", "6"], "--factor must be a power of two, got 6"),
        (train_vae, ["--channels", "8", "8"], "--channels must be 4 for a factor of 8"),
        (train_vae, ["--size", "24"], "--size must be a multiple of twice the factor"),
        (train_vae, ["--start", "x", "--size", "64"], "--size must be left to the VAE"),
        (
            train_vae,
            ["--like", "sdloop/mini/vae", "--size", "64", "--factor", "4"],
            "--like must name a VAE of half the --size, got 128 for 64",
        ),
        (train_vae, ["--freeze-encoder"], "--freeze-encoder must have an encoder to keep"),
        (train_vae, ["--guesses-of", "x"], "--guesses-of must have --freeze-encoder and --sharpen"),
        (train_unet, ["--wide", "1"], "--wide must be at least 0 and below 1, got 1.0"),
        (train_unet, ["--balance", "mood"], "--balance must be one of subject, colour, setting,"),
        (train_unet, ["--oftener", "frog", "unicorn"], "--oftener must name answers of the data, "),
        (train_unet, ["--init", "x", "--channels", "16", "16", "16"], "--channels must be left"),
        (train_words, ["--batch", "0"], "--batch must be at least 1, got 0"),
        (train_words, ["--held-out", "0"], "--held-out must be at least 1, got 0"),
    ],
)
def test_a_wrong_flag_is_named(
    module: ModuleType, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        module.parse([*flags, "--out", "nowhere"])
    assert message in " ".join(capsys.readouterr().err.split())


# One's own pictures


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of thirty pictures in two colours and three formats."""
    folder = tmp_path / "leaves"
    folder.mkdir()
    lines = []
    for number in range(30):
        green = number % 2
        colour = (30, 160, 60) if green else (200, 60, 30)
        file = f"{number}.{('png', 'jpg', 'webp')[number % 3]}"
        Image.new("RGB", (40 + number, 30), colour).save(folder / file)
        text = f"a {'green' if green else 'red'} leaf"
        lines.append(json.dumps({"file_name": file, "text": text}))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_the_last_pictures_are_held_out(own: Path) -> None:
    data = data_folder.open_data(own, 4)
    assert (data.count, data.held_out) == (26, 4)
    training_files = {data.entry(place).file.name for place in range(26 * 3)}
    held_out = [data.entry(place).file.name for place in dataset.held_out_places(data, 100)]
    assert held_out == ["26.webp", "27.png", "28.jpg", "29.webp"]
    assert len(training_files) == 26
    assert not training_files & set(held_out)
    assert data_folder.open_data(own, None).held_out == 2


def test_a_picture_is_cut_from_the_middle(own: Path) -> None:
    stripes = np.zeros((32, 96, 3), np.uint8)
    stripes[:, :32], stripes[:, 32:64], stripes[:, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    Image.fromarray(stripes).save(own / "29.webp", lossless=True)
    picture = data_folder.open_data(own, 1).picture(dataset.HELD_OUT, (16, 16))
    assert picture.shape == (16, 16, 3)
    assert picture[:, 4:12].min(axis=(0, 1)).tolist() == [0, 255, 0]


def test_a_picture_is_turned_as_its_camera_says(own: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter to the right
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, :32] = 255  # its left is the upright picture's top
    Image.fromarray(halves).save(own / "29.webp", exif=exif, lossless=True)
    picture = data_folder.open_data(own, 1).picture(dataset.HELD_OUT, (16, 16))
    assert picture[:6].min() > 200
    assert picture[10:].max() < 50


def test_grey_of_sixteen_bits_and_what_is_transparent_become_colours() -> None:
    grey = Image.fromarray(np.full((4, 4), 0x80FF, np.uint16))
    assert data_folder.to_rgb(grey).getpixel((0, 0)) == (0x80, 0x80, 0x80)
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert data_folder.to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 31: must be JSON"),
        ('["a", "b"]', "line 31: file_name must be a text that is not empty, got None"),
        ('{"file_name": "0.png"}', "line 31: text must be a text that is not empty, got None"),
        ('{"file_name": "0.png", "text": " "}', "line 31: text must be a text that is not empty"),
        ('{"file_name": "../0.png", "text": "x"}', "line 31: file_name must lie inside"),
        ('{"file_name": "31.png", "text": "x"}', "line 31: file_name must be a picture"),
        ('{"file_name": "metadata.jsonl", "text": "x"}', "line 31: file_name must be a picture"),
    ],
)
def test_a_bad_line_is_named(
    own: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (own / "metadata.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(SystemExit):
        train_vae.parse(["--out", "nowhere", "--data", str(own)])
    said = capsys.readouterr().err
    assert f"{own / 'metadata.jsonl'}, {message}" in said


def test_a_picture_that_breaks_off_is_named(own: Path) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(own / "28.jpg")
    whole = (own / "28.jpg").read_bytes()
    (own / "28.jpg").write_bytes(whole[: len(whole) // 2])
    data = data_folder.open_data(own, 2)
    with pytest.raises(data_folder.DataError, match=r"line 29: file_name must be a whole picture"):
        data.picture(dataset.HELD_OUT, (16, 16))


def test_a_folder_without_metadata_is_named(tmp_path: Path) -> None:
    with pytest.raises(data_folder.DataError, match=r"metadata\.jsonl: must be there"):
        data_folder.open_data(tmp_path, None)


def commands_in_readme() -> list[list[str]]:
    """The trial with one's own pictures, as the README has it."""
    readme = (TRAINING / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- a test runs this -->\n```sh\n(.*?)```", readme, re.DOTALL)
    lines = block[1].replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def test_ones_own_pictures_become_a_model_as_the_readme_says(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    *training_commands, last = commands_in_readme()
    names = ["train_words.py", "train_vae.py", "train_unet.py"]
    assert [Path(command[1]).name for command in training_commands] == names
    for command in training_commands:
        module = importlib.import_module(Path(command[1]).stem)
        flags = [*command[2:], "--precision", "no", "--workers", "0"]
        module.train(module.parse(flags))
    assert last[:2] == ["sdloop", "txt2img"]
    result = CliRunner().invoke(app, last[1:])
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "leaf.png") as picture:
        assert picture.size == (32, 32)
    advice = find_checkpoint("runs/leaves/model").advice
    assert set(advice.vocabulary["words"]) == {"a", "green", "red", "leaf"}
    assert set(advice.prompts) == {"a green leaf", "a red leaf"}


# Several processes


def torchrun(out: Path, flags: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [str(TRAINING / "train_vae.py"), *VAE, *flags, "--out", str(out)]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)


def wait_for_file(file: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while not file.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("average_every", ["0", "3"])
def test_two_processes_resume_exactly(tmp_path: Path, average_every: str) -> None:
    flags = ["--pictures", "120", "--average-every", average_every]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert torchrun(whole, flags).wait(300) == 0
    killed = torchrun(broken, flags)
    wait_for_file(broken / "vae.pt", killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert 0 < torch.load(broken / "vae.pt")["done"] < 30
    assert torchrun(broken, flags).wait(300) == 0
    assert torch.load(broken / "vae.pt")["done"] == 30
    assert equal(weights(whole / "vae.pt"), weights(broken / "vae.pt"))
    if average_every == "3":
        assert (broken / "vae-1.pt").is_file()
