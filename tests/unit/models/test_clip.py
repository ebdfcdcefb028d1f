"""CLIP scores: the same numbers as transformers, correct gradients, and one-line errors for
incomplete CLIP models."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fake_hub import COMMIT, forge_cache, serve
from helpers.tiny import save_tiny_clip
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

from sdloop.errors import ModelError
from sdloop.models.checkpoint.clip import find_clip
from sdloop.models.clip.load import Clip, load_clip
from sdloop.models.clip.score import clip_scores, embed_pixels, embed_texts, tokens_left_out
from sdloop.prompt.plain import plain_words

TEXTS = ["a frog", "a red house at night", "three cats, by the sea " * 30]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return load_clip(str(folder), device="cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """One to damage."""
    return Path(shutil.copytree(folder, tmp_path / "clip"))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height))


PICTURES = [noise(32, 32), noise(96, 64, 1), noise(45, 131, 2).convert("L")]


def by_transformers(folder: Path, pictures: list[Image.Image], texts: list[str]) -> torch.Tensor:
    """The scores as torchmetrics' CLIPScore takes them: transformers' processor and model."""
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    seen = CLIPImageProcessor.from_pretrained(folder)(
        [picture.convert("RGB") for picture in pictures], return_tensors="pt"
    )
    ids = CLIPTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.no_grad():
        out = model(**seen, **ids)
    return 100 * (out.image_embeds * out.text_embeds).sum(-1)


def test_scores_are_those_of_transformers_own_forward(clip: Clip, folder: Path) -> None:
    """Any size and mode of picture, cut texts included, however many at once."""
    expected = by_transformers(folder, PICTURES, TEXTS)
    for batch_size in (1, 2, 16):
        scores = clip_scores(clip, PICTURES, TEXTS, batch_size=batch_size)
        torch.testing.assert_close(torch.tensor(scores), expected, rtol=0, atol=2e-4)
    assert expected.std() > 1


def test_scores_are_the_same_each_time(clip: Clip, folder: Path) -> None:
    again = load_clip(str(folder), device="cpu")
    assert clip_scores(clip, PICTURES, TEXTS) == clip_scores(again, PICTURES, TEXTS)


def test_each_picture_has_its_own_prompt(clip: Clip) -> None:
    with pytest.raises(ValueError, match="each picture needs its prompt, got 3 and 1"):
        clip_scores(clip, PICTURES, TEXTS[:1])
    assert clip_scores(clip, [], []) == []


def pixels_of(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: f"{picture.size}")
def test_tensors_score_as_pictures_do(clip: Clip, picture: Image.Image) -> None:
    with torch.no_grad():
        images, texts = embed_pixels(clip, pixels_of(picture)), embed_texts(clip, TEXTS[:1])
    (expected,) = clip_scores(clip, [picture], TEXTS[:1])
    resized = min(picture.size) != 32
    assert 100 * (images * texts).sum().item() == pytest.approx(
        expected, abs=0.5 if resized else 1e-4
    )


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (64, 48)])
def test_gradients_are_true(clip: Clip, size: tuple[int, int]) -> None:
    """By a central difference along a random direction, through resizing and the model."""
    generator = torch.Generator().manual_seed(0)
    pixels = 0.3 + 0.4 * torch.rand(2, 3, *size, generator=generator)
    direction = torch.randn(pixels.shape, generator=generator)
    texts = embed_texts(clip, TEXTS[:1])

    def score(moved: torch.Tensor) -> torch.Tensor:
        return (embed_pixels(clip, moved) * texts).sum()

    pixels.requires_grad_()
    (gradient,) = torch.autograd.grad(score(pixels), pixels)
    step = 1e-2 * direction
    with torch.no_grad():
        slope = (score(pixels + step) - score(pixels - step)) / 2e-2
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=0.03, abs=1e-3)
    assert gradient.abs().max() > 0
    assert all(value.grad is None for value in clip.model.parameters())


def test_tokens_beyond_the_window_are_counted(clip: Clip) -> None:
    whole = len(clip.tokenizer(TEXTS[2]).input_ids)
    assert [tokens_left_out(clip, text) for text in TEXTS] == [0, 0, whole - 77]
    assert whole > 77


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a frog, 16:9", "a frog, 16:9"),
        ("a (red:1.5) [old] frog", "a red old frog"),
        (r"a \(red\) frog", "a (red) frog"),
        ("a [rabbit:frog:0.5] BREAK in  a park", "a frog in a park"),
        ("a [rabbit:frog:99]", "a rabbit"),
        ("a frog AND snow :0.5 AND red :-1", "a frog, snow"),
        ("a (blue:0) frog", "a frog"),
        ("", ""),
    ],
)
def test_plain_words(prompt: str, words: str) -> None:
    assert plain_words(prompt, steps=20) == words
    assert plain_words(prompt, steps=20, emphasis="none") == prompt


# What cannot be loaded


def without(*names: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return remove


def edited(name: str, **values: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / name
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return edit


def renamed_weight(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["text_projection.other"] = tensors.pop("text_projection.weight")
    save_file(tensors, file)


def nan_weight(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    tensors["text_projection.weight"][0] = torch.nan
    save_file(tensors, file)


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (without("config.json"), "is not a complete model: config.json is missing"),
        (without("model.safetensors"), "is not a complete model: model.safetensors is missing"),
        (without("preprocessor_config.json"), "preprocessor_config.json is missing"),
        (without("tokenizer.json"), "is not a complete model: vocab.json or merges.txt is missing"),
        (edited("config.json", model_type="siglip"), "must be a CLIP, got a model of the type 'si"),
        (edited("config.json", projection_dim=8), "has the shape"),
        (
            edited("config.json", vision_config={"image_size": 32, "num_attention_heads": 5}),
            "has an invalid config",
        ),
        (edited("preprocessor_config.json", crop_size=16), "crops pictures to 16 pixels, from 32"),
        (
            edited("preprocessor_config.json", size="large"),
            "preprocessor_config.json does not suit a CLIP",
        ),
        (renamed_weight, "text_projection.weight is missing"),
        (nan_weight, "text_projection.weight holds NaN or infinity"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"{}"), "model.safetensors"),
    ],
)
def test_a_damaged_clip_is_refused(
    copy: Path, damage: Callable[[Path], object], complaint: str
) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=re.escape(complaint)) as caught:
        load_clip(str(copy), device="cpu")
    assert "\n" not in str(caught.value)


def test_what_is_no_clip_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"")
    for name, complaint in {
        str(tiny_model): "is a model that makes pictures, not a CLIP",
        str(tmp_path / "a.safetensors"): "is a file, but a CLIP is a folder",
        "./nothing": "there is no folder nothing",
        "org/none": "org/none is not in the cache, and HF_HUB_OFFLINE is set",
    }.items():
        with pytest.raises(ModelError, match=re.escape(complaint)):
            find_clip(name)


# The hub


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub that nobody answers for."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "hub"


def test_a_cached_clip_needs_no_network(cache: Path, folder: Path) -> None:
    snapshot = forge_cache(cache, "org/clip", folder)
    found = find_clip("org/clip")
    assert (found.path, found.revision) == (snapshot, COMMIT)
    assert load_clip(found, device="cpu").name == "org/clip"


def test_a_clip_is_fetched_once(cache: Path, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "pytorch_model.bin").write_bytes(b"a pickle")
    with serve("org/clip", copy) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        files = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        with pytest.raises(ModelError, match="org/clip is not in the cache; `hf download org/clip"):
            find_clip("org/clip", may_fetch=False)
        find_clip("org/clip")
        first = sorted(hub.asked)
        find_clip("org/clip")
    assert first == sorted(hub.asked)
    assert "model.safetensors" in hub.asked
    assert "pytorch_model.bin" not in hub.asked
