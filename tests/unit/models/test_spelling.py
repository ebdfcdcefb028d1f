"""Files under names that another system wrote, for all kinds of files; and damaged files."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1
from PIL import Image
from safetensors.torch import save, save_file

from sdloop.errors import FileError, ModelError, SdloopError
from sdloop.images.input.read import open_image
from sdloop.models.checkpoint.addresses import local_path
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.components.pickles import unpickled
from sdloop.pipeline.generate import generate
from sdloop.prompt.learned.facts import embedding_facts, read_bytes, tensors_in
from sdloop.prompt.learned.places import mentions
from sdloop.recipe.recipe import Recipe
from sdloop.spelling import existing

ONE, TWO = "Caf\u00e9", "Cafe\u0301"  # é in one character, and in two


def test_the_file_under_another_spelling(tmp_path: Path) -> None:
    (tmp_path / "a" / TWO).mkdir(parents=True)
    file = tmp_path / "a" / TWO / "x.PT"
    file.write_bytes(b"")
    for name in (f"a/{TWO}/x.PT", f"a/{ONE}/x.pt", f"a\\{ONE}\\x.PT", f"a\\{TWO}/x.Pt"):
        assert existing(tmp_path / name) == file
    (tmp_path / "a" / ONE).mkdir()  # two folders: only the exact name counts
    assert existing(tmp_path / "a" / ONE / "x.pt") == tmp_path / "a" / ONE / "x.pt"
    (file.parent / "x.pT").write_bytes(b"")
    for name in ("x.pt", "X.PT", "none.pt", "x.PT/deeper", "a" * 300, "nul\0"):
        path = file.parent / name
        assert existing(path) == path


def test_relative_names_stay_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a/b.safetensors").write_bytes(b"")
    assert existing(Path("a\\b.SAFETENSORS")) == Path("a/b.safetensors")
    assert local_path("a\\b.safetensors") == Path("a/b.safetensors")
    for name in ("a\\c.safetensors", "a\\c"):  # never a hub id
        with pytest.raises(ModelError, match="there is no f"):
            local_path(name)


def test_input_pictures_too(tmp_path: Path) -> None:
    Image.new("RGB", (2, 3)).save(tmp_path / f"{TWO}.PNG", "PNG")
    assert open_image(str(tmp_path / f"{ONE}.png")).image.size == (2, 3)


def test_an_embedding_with_an_accent_in_its_name(tmp_path: Path) -> None:
    """The same picture, however the file and the prompt write the accent."""
    save_file({"emb_params": torch.randn(1, 32)}, tmp_path / f"{TWO}.safetensors")
    made, model = set(), tiny_sd1()
    for word in (ONE, TWO):
        for name in (ONE, TWO):
            asked = Recipe(
                prompt=f"a {word} in a park", seed=1, steps=1, width=32, height=32,
                embeddings=[str(tmp_path / f"{name}.SAFETENSORS")],
            )  # fmt: skip
            made.add(generate(model, [asked])[0].image.tobytes())
    assert len(made) == 1
    assert embedding_facts(f"{tmp_path}\\{ONE}.safetensors").token == TWO
    assert not mentions("a Cafeteria", TWO)


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def table(value: Any) -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


def broken(data: bytes) -> list[bytes]:
    """A file with one byte changed, at many places; and cut short at many."""
    step = max(1, len(data) // 60)
    places = range(0, len(data), step)
    return [data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :] for at in places] + [
        data[:at] for at in places
    ]


VECTORS = {"emb_params": torch.ones(1, 32)}
DAMAGED = [
    *((".safetensors", data) for data in broken(save(VECTORS))),
    *((".pt", data) for data in broken(pickled(VECTORS))),
    (".safetensors", table(b"[" * 100_000)),
    *((".safetensors", table({"a": shape})) for shape in (None, [], {"shape": None}, {"shape": 1})),
    *((".safetensors", table({"__metadata__": note})) for note in (1, {"sdloop": "1"})),
    *((".pt", pickled(value)) for value in (1, [1], {"a": 1}, {"string_to_param": 1})),
]


@pytest.mark.filterwarnings("ignore:.*is a pickle")
def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    """No exception of a library passes: each file is read, or refused by name."""
    for number, (suffix, data) in enumerate(DAMAGED):
        file = tmp_path / f"{number}{suffix}"
        file.write_bytes(data)
        readers = [embedding_facts, lambda name: tensors_in(name, read_bytes(name))]
        readers += [lambda name: read_header(Path(name))]
        readers += [lambda name: unpickled(Path(name))] if suffix == ".pt" else []
        for reader in readers:
            try:
                reader(str(file))
            except SdloopError as error:
                assert str(file) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("token", [1, "", " ", ["a"]])
def test_a_token_that_is_no_word(tmp_path: Path, token: Any) -> None:
    note = {"sdloop": json.dumps({"training": {"token": token}})}
    save_file(VECTORS, tmp_path / "a.safetensors", note)
    with pytest.raises(FileError, match=r"a\.safetensors' is not a safetensors file, or it is"):
        embedding_facts(str(tmp_path / "a.safetensors"))
