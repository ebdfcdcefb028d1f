"""Training the small CLIP, at sizes that take seconds, and the quality of the shipped one."""

import json
import re
import stat
from argparse import Namespace
from pathlib import Path

import contrast
import dataset
import numpy as np
import pytest
import top_and_bottom
import torch
import torch.nn.functional as F
import train_clip
import training
import wear
import zero_shot
from data_folder import open_data
from diffusers import AutoencoderKL
from helpers.tiny import save_tiny_clip
from judge import HELD_OUT
from PIL import Image
from questions import questions
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPTokenizer

import sdloop
from sdloop.inspection.ranking import words_of
from sdloop.models.checkpoint.clip import find_clip
from sdloop.models.clip.load import load_clip

MINI = Path(sdloop.__file__).parent / "mini"
JUDGE = Path(train_clip.__file__).parent / "judge"
STEPS = ["--batch", "3", "--every", "2", "--report", "2", "--workers", "0", "--precision", "no"]
CLIP = [*STEPS, "--init", str(MINI), "--pictures", "12", "--width", "48", "--layers", "1"]


@pytest.fixture(autouse=True)
def few_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_clip, "MEASURED", 4)


def run(out: Path, flags: list[str]) -> Namespace:
    args = train_clip.parse([*flags, "--out", str(out)])
    train_clip.train(args)
    return args


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps of a CLIP; only to be read."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_clip, "MEASURED", 4)
        run(out, CLIP)
    return out


# What is learnt from


def test_a_twist_is_untrue_and_the_first_is_about_the_subject() -> None:
    data = dataset.Scenes()
    changed = set()
    for place in range(200):
        facts = torch.tensor([data.facts(place)])
        claims = [data.claim(place, 0, twist) for twist in range(3)]
        assert claims[0][0] == data.caption(place, 0)
        stated = torch.tensor([numbers for _, numbers in claims])
        assert contrast.true_of(stated[:1], facts).item()
        differing = (stated[1:] != facts) & (stated[1:] >= 0)
        assert differing[0].nonzero().flatten().tolist() == [0]
        assert differing[1].sum() <= 1
        # A style that becomes the cartoon may be left unsaid, and is then not untrue.
        assert contrast.true_of(stated[2:], facts).item() == (differing[1].sum() == 0)
        changed.update(differing[1].nonzero().flatten().tolist())
        assert len({text for text, _ in claims}) >= 2
    assert changed == set(range(6))


def test_texts_of_ones_own_are_facts(tmp_path: Path) -> None:
    texts = ["a leaf", "a fern", "a leaf", "a root", "a twig"]
    lines = []
    for number, text in enumerate(texts):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
        lines.append(json.dumps({"file_name": f"{number}.png", "text": text}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    data = open_data(tmp_path, 1)
    facts = {data.caption(place, 0): tuple(data.facts(place)) for place in range(4)}
    assert len(set(facts.values())) == 3
    for place in range(8):
        assert data.claim(place, 0, 0) == (data.caption(place, 0), data.facts(place))
        assert tuple(data.claim(place, 0, 1)[1]) in facts.values()
    run(tmp_path / "out", [*CLIP, "--data", str(tmp_path), "--pictures", "3", "--held-out", "1"])
    assert (tmp_path / "out/clip/model.safetensors").is_file()


def test_a_caption_is_true_of_every_picture_that_it_fits() -> None:
    claims = torch.tensor([[1, -1], [1, 7], [-1, -1]])
    facts = torch.tensor([[1, 7], [1, 8], [2, 7]])
    assert contrast.true_of(claims, facts).tolist() == [
        [True, True, True], [True, False, True], [False, False, True]
    ]  # fmt: skip


def test_true_ones_share_the_answer() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 5.0, 1.0], [1.0, 1.0, 1.0]])
    right = torch.tensor([[True, True, False], [False, True, False], [False, False, False]])
    first = -logits[0].log_softmax(-1)[:2].mean()
    second = F.cross_entropy(logits[1:2], torch.tensor([1]))
    assert torch.allclose(contrast.shared_entropy(logits, right), (first + second) / 2)


def test_worn_pictures_are_softer_the_same_each_time_and_not_all_of_them() -> None:
    vae = AutoencoderKL.from_pretrained(MINI / "vae", torch_dtype=torch.float32)
    data = dataset.Scenes()
    pictures = train_clip.to_floats(
        torch.from_numpy(np.stack([data.picture(place, (64, 64)) for place in range(16)]))
    )
    worn = wear.wear(pictures, vae, torch.Generator().manual_seed(0))
    assert torch.equal(worn, wear.wear(pictures, vae, torch.Generator().manual_seed(0)))
    moved = (worn - pictures).abs().mean(dim=(1, 2, 3))
    assert moved[0] > 0.01  # one of sixteen goes through the VAE
    assert 0 < (moved == 0).sum() < 14
    assert moved.max() < 0.3
    flat = torch.full((1, 3, 8, 8), 0.5)
    assert torch.allclose(wear.blurred(flat), flat)


# Training


def test_training_resumes_exactly(begun: Path, tmp_path: Path) -> None:
    whole = training.Trainer.step

    def killing(trainer: training.Trainer, *given: object) -> dict[str, torch.Tensor]:
        losses = whole(trainer, *given)
        if trainer.done == 3:
            raise KeyboardInterrupt
        return losses

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Trainer, "step", killing)
        run(tmp_path, CLIP)
    assert torch.load(tmp_path / "clip.pt")["done"] == 2
    run(tmp_path, CLIP)
    one, two = (load_file(out / "clip/model.safetensors") for out in (begun, tmp_path))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_says_how_well_it_learns(begun: Path) -> None:
    lines = (begun / "clip.jsonl").read_text(encoding="utf-8").splitlines()
    reports = [json.loads(line) for line in lines]
    assert [report["step"] for report in reports] == [2, 4]
    for report in reports:
        whole = report["by_picture"] + report["by_caption"] + report["answers"]
        assert report["loss"] == pytest.approx(whole, rel=1e-5)
        assert 0 <= report["found"] <= 1
        assert 0 <= report["beats_twists"] <= 1


def test_captions_are_read_at_some_steps_alone(tmp_path: Path) -> None:
    run(tmp_path, [*CLIP, "--read-every", "4"])
    lines = (tmp_path / "clip.jsonl").read_text(encoding="utf-8").splitlines()
    first, second = (json.loads(line) for line in lines)
    assert "by_caption" not in second
    assert first["by_caption"] > 1
    batches = contrast.ClaimBatches(
        data=dataset.Scenes(),
        share=training.Share(batch=2),
        tokenizer=CLIPTokenizer.from_pretrained(MINI / "tokenizer"),
        size=(64, 64),
        read_every=4,
    )
    assert [len(batches(step)) for step in range(5)] == [5, 2, 2, 2, 5]


def test_what_it_leaves_is_a_clip_in_halves_that_loads_as_floats(begun: Path) -> None:
    folder = begun / "clip"
    trained = torch.load(begun / "clip.pt")["model"]
    own = {name.removeprefix("clip."): value for name, value in trained.items() if "clip." in name}
    theirs = CLIPModel.from_pretrained(folder)
    ours = load_clip(str(folder), device="cpu").model
    for model in (theirs, ours):
        state = model.state_dict()
        assert state.keys() == own.keys()
        assert all(torch.equal(state[name], own[name].half().float()) for name in own)
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {
        torch.float16
    }
    words = CLIPTokenizer.from_pretrained(folder)
    assert words.tokenize("frogs on stilts") == ["frogs</w>", "on</w>", "stilts</w>"]
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o644
        if file.suffix == ".json":
            assert str(begun) not in file.read_text(encoding="utf-8")


def test_a_run_without_its_parts_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"tokenizer must be there: run train_words\.py"):
        run(tmp_path, [*STEPS, "--pictures", "3"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--width", "100"], "--width must be a multiple of 48, got 100"),
        (["--read-every", "0"], "--read-every must be at least 1, got 0"),
    ],
)
def test_wrong_flags_are_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train_clip.parse(["--out", "x", *flags])
    assert message in capsys.readouterr().err


# The one that ships


def test_the_top_is_held_against_the_bottom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sorted by a CLIP that knows nothing, of pictures that are made once."""
    flags = ["--judge", str(JUDGE), "--clip", str(save_tiny_clip(tmp_path / "clip"))]
    flags += ["--out", str(tmp_path / "out"), "--prompts", "2", "--seeds", "9", "--steps", "1"]
    top_and_bottom.main(flags)
    first = capsys.readouterr().out
    made = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.png")}
    assert len(made) == 18
    words = words_of([str(file) for file in sorted(made)])
    assert set(words.values()) == {question.prompt for question in questions(2)}
    top_and_bottom.main(flags)
    assert capsys.readouterr().out == first
    assert {file: file.stat().st_mtime_ns for file in made} == made
    counts = [
        tuple(map(int, re.findall(r"(\d+) of (\d+)", line)[0])) for line in first.splitlines()
    ]
    assert [asked for _, asked in counts] == [2, 18, 2]
    assert counts[1][0] >= counts[0][0]


def test_found_pictures_are_right_in_all_that_is_said() -> None:
    found = top_and_bottom.Found(question=questions(1)[0], right=(True,) * 8 + (False,) * 8)
    assert found.part == 2
    shares = top_and_bottom.shares([found, found])
    assert [(one.right, one.asked) for one in shares.values()] == [(4, 4), (16, 32), (0, 4)]


def test_the_shipped_folder_is_small_and_names_no_machine() -> None:
    folder = find_clip("mini").path
    files = list(folder.iterdir())
    assert sum(file.stat().st_size for file in files) < 8_000_000
    assert {file.suffix for file in files} == {".json", ".txt", ".safetensors", ".md"}
    for file in files:
        assert file.stat().st_mode & 0o444 == 0o444
        if file.suffix == ".json":
            assert "_name_or_path" not in file.read_text(encoding="utf-8")
    assert (folder / "vocab.json").read_bytes() == (MINI / "tokenizer/vocab.json").read_bytes()


LEAST = {"subject": 0.9, "colour": 0.9, "setting": 0.95, "style": 0.93, "count": 0.95, "doing": 0.9}


def test_the_shipped_one_tells_held_out_scenes_apart() -> None:
    """The card has the shares of 500; the first sixty may be a little worse."""
    answers = zero_shot.ask(load_clip(device="cpu"), range(HELD_OUT, HELD_OUT + 60))
    assert {name: found.choices for name, found in answers.items()} == {
        "subject": 18, "colour": 11, "setting": 8, "style": 4, "count": 3, "doing": 6
    }  # fmt: skip
    for name, found in answers.items():
        assert found.told.share >= LEAST[name], (name, found.told.share)
        assert found.alone.share >= LEAST[name] - 0.2, (name, found.alone.share)
