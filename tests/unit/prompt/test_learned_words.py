"""Learned words: their syntax in prompts, their files, and the resulting prompts."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sdxl
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from sdloop.conditioning.encode import condition, encode_prompt
from sdloop.conditioning.reading import TextInput
from sdloop.conditioning.tokens import tokenize
from sdloop.conditioning.words import pairs_of, with_vectors, with_words, word_vector, words_of
from sdloop.errors import FileError, SettingError
from sdloop.pipeline.generate import generate
from sdloop.prompt.learned.facts import embedding_facts
from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.prompt.learned.places import mentions, places
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

SD1, SDXL = tiny_sd1(), tiny_sdxl()


def recipe(prompt: str = "a <frog> in a park", **settings: Any) -> Recipe:
    usual = {"seed": 1, "steps": 2, "width": 32, "height": 32}
    return Recipe(prompt=prompt, **(usual | settings))


def vectors(count: int = 1, width: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def frog(tmp_path: Path) -> str:
    save_file({"<frog>": vectors()}, tmp_path / "frog.safetensors")
    return str(tmp_path / "frog.safetensors")


# How they are written.


@pytest.mark.parametrize(
    ("text", "file", "token"),
    [
        ("frog.pt", "frog.pt", None),
        ("a/b.SAFETENSORS:<x>", "a/b.SAFETENSORS", "<x>"),
        ("a:b.bin:c:d", "a:b.bin", "c:d"),
    ],
)
def test_an_embedding_is_a_file_and_a_token(text: str, file: str, token: str | None) -> None:
    found = parse_embedding(text)
    assert (found.file, found.token, str(found)) == (file, token, text)


@pytest.mark.parametrize("text", ["", "frog", "frog.png", ".pt", "frog.pt:", "frog.pt: x"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="embeddings must"):
        parse_embedding(text)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("puppy=cat", [(1, "cat")]),
        ("puppy = 0.5*puppy + .5 * skunk", [(0.5, "puppy"), (0.5, "skunk")]),
        ("king=king - man + woman", [(1, "king"), (-1, "man"), (1, "woman")]),
        ("puppy=-1*puppy+2*my-frog.pt", [(-1, "puppy"), (2, "my-frog.pt")]),
    ],
)
def test_a_replacement_is_a_sum(text: str, terms: list[tuple[float, str]]) -> None:
    assert [(term.factor, term.name) for term in parse_replacement(text).terms] == terms


@pytest.mark.parametrize("text", ["puppy", "=cat", "puppy=", "a b=c", "a=b+", "a=2*", "a=b=c"])
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="replace_tokens must"):
        parse_replacement(text)


@pytest.mark.parametrize(
    ("text", "word", "there"),
    [
        ("a <Frog>s", "<frog>", True),
        ("frogs", "frog", False),
        ("bullfrog", "frog", False),
        ("a frog, a dog", "frog", True),
        ("(frog:1.2)", "frog", True),
        ("frog2", "frog", True),
        ("bad-hands-55", "bad-hands-5", False),
    ],
)
def test_a_word_is_found_in_the_text(text: str, word: str, there: bool) -> None:
    assert mentions(text, word) is there


@given(st.text(), st.lists(st.text(min_size=1), max_size=4))
def test_the_pieces_of_a_text_are_the_text(text: str, words: list[str]) -> None:
    assert "".join(piece for piece, _ in places(text, words)) == text


def test_of_two_words_the_longer_stands_there() -> None:
    found = [word for _, word in places("<a> <a>_1", ["<a>", "<a>_1"])]
    assert found == ["<a>", None, "<a>_1"]


# What their files say.


def a1111(tensor: Tensor) -> dict[str, Any]:
    return {"string_to_token": {"*": 265}, "string_to_param": {"*": tensor}, "name": "x", "step": 1}


@pytest.mark.parametrize(
    ("name", "content", "token", "widths", "count"),
    [
        ("a.safetensors", {"<frog>": vectors()[0]}, "<frog>", (32,), 1),
        ("a.safetensors", {"<frog>": vectors(3)}, "<frog>", (32,), 3),
        ("a.safetensors", {"emb_params": vectors(2)}, "a", (32,), 2),
        ("a.safetensors", {"clip_g": vectors(2, 48), "clip_l": vectors(2)}, "a", (32, 48), 2),
        ("a.bin", {"<frog>": vectors()[0]}, "<frog>", (32,), 1),
        ("a.pt", a1111(vectors(2)), "a", (32,), 2),
        ("a.pt", a1111(torch.nn.Parameter(vectors(2))), "a", (32,), 2),
    ],
)
def test_every_format_is_told(
    tmp_path: Path, name: str, content: Any, token: str, widths: tuple[int, ...], count: int
) -> None:
    path = tmp_path / name
    (save_file if name.endswith("s") else torch.save)(content, path)
    facts = embedding_facts(str(path))
    assert (facts.token, facts.widths, facts.count) == (token, widths, count)


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_no_pickle_is_run(tmp_path: Path) -> None:
    path, made = tmp_path / "a.pt", tmp_path / "made"
    torch.save({**a1111(vectors()), "more": Evil(made)}, path)
    with pytest.raises(
        FileError, match=r"a\.pt' holds more than tensors.*none of its code was run"
    ) as e:
        embedding_facts(str(path))
    assert str(e.value).endswith(": it asks for posix.mkdir")  # and no advice how to run it
    assert not made.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.pt", [1, 2], "it holds a list"),
        ("a.bin", {"x": 3}, "its 'x' is not a tensor"),
        ("a.bin", {"x": vectors(), "y": vectors()}, r"it holds 2 tensors \(x, y\)"),
        (
            "a.safetensors",
            {"x": vectors()[None]},
            r"must hold equally many vectors.*got x \[1, 1, 32\]",
        ),
        ("a.safetensors", {"x": vectors(0)}, "holds no vectors"),
        (
            "a.safetensors",
            {"clip_l": vectors(2), "clip_g": vectors(3)},
            "equally many vectors per encoder",
        ),
    ],
)
def test_what_is_no_embedding_is_refused(
    tmp_path: Path, name: str, content: Any, message: str
) -> None:
    path = tmp_path / name
    (save_file if name.endswith("s") else torch.save)(content, path)
    with pytest.raises(FileError, match=message):
        embedding_facts(str(path))


@pytest.mark.parametrize("data", [b"", b"hello", b"\x10" + b"\0" * 7 + b"[1, 2, 3, 4, 5]"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".bin"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(FileError, match="damaged"):
        embedding_facts(str(path))


# A Recipe with them.


def test_a_recipe_finds_token_and_hash_in_the_file(frog: str) -> None:
    made = resolve(recipe(embeddings=[frog]), SD1)
    assert made.embeddings == (f"{frog}:<frog>",)
    assert made.embeddings_sha256 is not None
    assert Recipe.from_dict(made.to_dict()) == made
    assert resolve(made, SD1) == made


def test_a_recipe_refuses_another_file(frog: str) -> None:
    made = resolve(recipe(embeddings=[frog]), SD1)
    save_file({"<frog>": vectors(seed=1)}, frog)
    with pytest.raises(FileError, match="not the file that the recipe was made with"):
        resolve(made, SD1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prompt": "a frog"}, "must be used in a prompt, and '<frog>' is not in 'a frog'"),
        ({"embeddings": []}, r"embeddings must be a list of at least one text, got \[\]"),
        ({"embeddings": "x.pt"}, "embeddings must be a list"),
        ({"embeddings_sha256": ["0"]}, "embeddings_sha256 must be 64 hex digits, got '0'"),
        ({"embeddings_sha256": ["0" * 64] * 2}, "one hash for each file, got 2 for 1"),
        ({"embeddings": None, "embeddings_sha256": ["0" * 64]}, "but none are given"),
        ({"replace_tokens": ["<frog>=cat"]}, "one meaning, got '<frog>' twice"),
        ({"replace_tokens": ["bird=cat"]}, "must be used in a prompt, and 'bird'"),
    ],
)
def test_what_a_recipe_refuses(frog: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        resolve(recipe(**({"embeddings": [frog]} | settings)), SD1)


def test_a_word_must_survive_the_prompts_grammar(frog: str) -> None:
    with pytest.raises(SettingError, match=r"without \(\)\[\]\|.*'\(x\)': choose another word"):
        resolve(recipe("a (x)", embeddings=[f"{frog}:(x)"]), SD1)
    second = recipe("a cat", prompt_2="a <frog>", embeddings=[frog])
    with pytest.raises(SettingError, match=r"prompt_2"):
        resolve(second, SD1)


def test_a_word_may_be_in_any_prompt_of_a_mixture(frog: str) -> None:
    asked = recipe("a man", mix_prompts=["a <frog>"], mix_weights=[1, 1], embeddings=[frog])
    mixture = generate(SD1, asked)[0]
    plain = generate(SD1, recipe("a man"))[0]
    assert not torch.equal(mixture.latents, plain.latents)


@pytest.mark.parametrize(
    ("widths", "family"),
    [
        ((768,), "for SD 1.x"),
        ((1024,), "for SD 2.x"),
        ((768, 1280), "for SDXL, with vectors of width 768 and 1280; mini needs width 32"),
        ((128,), "for the embedded mini"),
        ((5,), "for a model with text encoders of width 5"),
    ],
)
def test_a_wrong_width_says_whose_it_is(
    tmp_path: Path, widths: tuple[int, ...], family: str
) -> None:
    names = ("<frog>",) if len(widths) == 1 else ("clip_l", "clip_g")
    path = tmp_path / "frog.safetensors"
    save_file({n: vectors(1, width) for n, width in zip(names, widths, strict=True)}, path)
    with pytest.raises(SettingError, match=family):
        resolve(recipe(embeddings=[f"{path}:<frog>"]), SD1)


def test_the_key_knows_the_file_by_what_is_in_it(frog: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes(Path(frog).read_bytes())
    other = tmp_path / "other.safetensors"
    save_file({"<frog>": vectors(seed=1)}, other)
    for field, text in (("embeddings", "{}"), ("replace_tokens", "park=park+{}")):
        prompt = "a <frog> in a park"
        keys = [
            content_key(resolve(recipe(prompt, **{field: [text.format(file)]}), SD1), {})
            for file in (frog, elsewhere, other)
        ]
        assert keys[0] == keys[1] != keys[2]
    assert content_key(resolve(recipe("a park", replace_tokens=["park=cat"]), SD1), {}) != (
        content_key(resolve(recipe("a park", replace_tokens=["park=2*cat"]), SD1), {})
    )


# What becomes of a prompt.


def test_vectors_stand_where_the_word_is() -> None:
    known = with_vectors(SD1, [{"<frog>": vectors(2)}])
    ids = tokenize(known.tokenizer, "a <frog>, a <Frog>")[0].ids[0]
    a, comma = (SD1.tokenizer(text).input_ids[1] for text in ("a", ","))
    begin, end = SD1.tokenizer("").input_ids
    assert ids[:10].tolist() == [begin, a, -1, -2, comma, a, -1, -2, end, end]


def test_vectors_are_weighted_and_stay_in_one_chunk() -> None:
    known = with_vectors(SD1, [{"<frog>": vectors(2)}])
    first, second = tokenize(known.tokenizer, "the " * 74 + "(<frog>:1.5) a")
    end = SD1.tokenizer("").input_ids[-1]
    assert first.ids[0, 74:].tolist() == [SD1.tokenizer("the").input_ids[1], end, end]
    assert second.ids[0, 1:3].tolist() == [-1, -2]
    assert second.weights is not None
    assert second.weights[0, :4].tolist() == [1, 1.5, 1.5, 1]


def test_words_may_be_added_to_words() -> None:
    one, two = vectors(2), vectors(1, seed=1)
    both = with_vectors(SD1, [{"<a>": one, "<b>": two}])
    nested = with_vectors(with_vectors(SD1, [{"<a>": one}]), [{"<b>": two}])
    ids = tokenize(nested.tokenizer, "<a> a <b>")[0].ids
    assert ids[0, 1:6].tolist() == [-1, -2, SD1.tokenizer("a").input_ids[1], -3, ids[0, -1]]
    assert nested.tokenizer.decode([-1, -2, -3]) == "<a> <b>"
    read = TextInput(text="<a> a <b>")
    assert torch.equal(encode_prompt(both, read).embeds, encode_prompt(nested, read).embeds)


def test_the_names_of_ids_are_texts() -> None:
    known = with_vectors(SD1, [{"<frog>": vectors(2)}]).tokenizer
    ids = known("a <frog> man").input_ids[1:-1]
    assert known.convert_ids_to_tokens(ids) == ["a</w>", "<frog>", "<frog>", "man</w>"]
    assert known.decode(ids) == "a <frog> man"


def test_without_the_word_nothing_changes_bit_for_bit(frog: str) -> None:
    before = generate(SD1, recipe("a cat"))[0]
    knowing = with_words(SD1, words_of(resolve(recipe(embeddings=[frog]), SD1)))
    assert torch.equal(generate(knowing, recipe("a cat"))[0].latents, before.latents)
    told = generate(SD1, recipe("a <frog>", embeddings=[frog]))[0]
    assert not torch.equal(told.latents, before.latents)
    assert torch.equal(generate(SD1, recipe("a cat"))[0].latents, before.latents)
    assert set(SD1.text_encoder.state_dict()) == set(tiny_sd1().text_encoder.state_dict())


def test_pictures_with_other_words_share_a_batch_and_not_their_words(frog: str) -> None:
    one, two = recipe("a <frog>", embeddings=[frog]), recipe("a <frog>")
    three = recipe("a man", replace_tokens=["man=0.5*man+0.5*king"])
    together = generate(SD1, [one, two, three], batch_size=3)
    for picture, alone in zip(together, (one, two, three), strict=True):
        expected = generate(SD1, alone)[0].latents
        assert torch.allclose(picture.latents, expected, atol=2e-4)
    assert not torch.allclose(together[0].latents, together[1].latents, atol=1e-2)


def test_a_file_with_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frog.safetensors"
    save_file({"<frog>": vectors() * float("nan")}, path)
    with pytest.raises(FileError, match="holds NaN"):
        generate(SD1, recipe(embeddings=[str(path)]))


# Surgery.


@pytest.mark.parametrize("components", [SD1, SDXL], ids=["sd1", "sdxl"])
def test_a_word_in_anothers_place_is_the_other_prompt(components: Any) -> None:
    asked = recipe("a man in a park", replace_tokens=["man=the"], guidance_scale=1.0)
    made = condition(components, resolve(asked, components))
    other = condition(components, recipe("a the in a park", guidance_scale=1.0))
    assert torch.equal(made.prompt_embeds, other.prompt_embeds)
    if made.pooled_prompt_embeds is not None:
        assert torch.equal(made.pooled_prompt_embeds, other.pooled_prompt_embeds)


def test_a_file_in_a_words_place(frog: str) -> None:
    asked = recipe("a man", replace_tokens=[f"man={frog}"], guidance_scale=1.0)
    made = condition(SD1, resolve(asked, SD1)).prompt_embeds
    token = recipe("a <frog>", embeddings=[frog], guidance_scale=1.0)
    assert torch.equal(made, condition(SD1, resolve(token, SD1)).prompt_embeds)


def test_several_vectors_have_no_room_in_a_words_place(tmp_path: Path) -> None:
    path = tmp_path / "frog.safetensors"
    save_file({"<frog>": vectors(2)}, path)
    with pytest.raises(SettingError, match=r"must use files with one vector, .* has 2"):
        resolve(recipe("a man", replace_tokens=[f"man={path}"]), SD1)


@pytest.mark.parametrize("replacement", ["zyzzyva=man", "man=zyzzyva"])
def test_a_word_of_several_tokens_is_refused_by_their_names(replacement: str) -> None:
    asked = recipe("a man zyzzyva", replace_tokens=[replacement])
    with pytest.raises(SettingError, match=r"'zyzzyva' must be a single token.*got \d: 'z.*a</w>'"):
        generate(SD1, asked)


def test_the_encoder_walked_by_hand() -> None:
    """Token embedding + position embedding, then the layers: the encoder's own output."""
    encoder, halves = SD1.text_encoder, ["man=0.5*man+0.5*king"]
    asked = resolve(recipe("a man in a park", replace_tokens=halves, guidance_scale=1.0), SD1)
    ids = tokenize(SD1.tokenizer, "a man in a park")[0].ids
    with torch.no_grad():
        tokens = encoder.get_input_embeddings()(ids)
        words = [word_vector(SD1.tokenizer, encoder, word)[0] for word in ("man", "king")]
        place = ids[0].tolist().index(SD1.tokenizer("man").input_ids[1])
        tokens[0, place] = 0.5 * words[0] + 0.5 * words[1]
        layers = getattr(encoder, "text_model", encoder)
        hidden = tokens + layers.embeddings.position_embedding(torch.arange(77))[None]
        mask = torch.full((77, 77), -torch.inf).triu(1)[None, None]
        for layer in layers.encoder.layers:
            hidden = layer(hidden, attention_mask=mask)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        expected = layers.final_layer_norm(hidden)
    made = condition(SD1, asked).prompt_embeds
    assert torch.allclose(made, expected, atol=1e-6)
    plain = encode_prompt(SD1, TextInput(text="a man in a park")).embeds
    assert not torch.allclose(made, plain, atol=1e-3)


def test_vectors_may_stand_in_a_slot_of_a_template() -> None:
    means = [
        {"{man|king}": (word_vector(*pair, "man") + word_vector(*pair, "king")) / 2}
        for pair in pairs_of(SDXL)
    ]
    slot = encode_prompt(with_vectors(SDXL, means), TextInput(text="a {man|king} in a park"))
    asked = recipe("a man in a park", replace_tokens=["man=.5*man+.5*king"], guidance_scale=1.0)
    made = condition(SDXL, resolve(asked, SDXL))
    assert torch.allclose(slot.embeds, made.prompt_embeds, atol=1e-6)


def test_the_end_is_where_the_prompt_ends() -> None:
    """SDXL's summary is read at the end token, which old configs look for as the highest id."""
    assert SDXL.text_encoder_2 is not None
    assert SDXL.text_encoder_2.text_model.eos_token_id == 2
    pair = pairs_of(SDXL)
    same = [{"<man>": word_vector(*one, "man")} for one in pair]
    learned = encode_prompt(with_vectors(SDXL, same), TextInput(text="a <man> in a park"))
    plain = encode_prompt(SDXL, TextInput(text="a man in a park"))
    assert torch.equal(learned.embeds, plain.embeds)
    assert learned.pooled is not None
    assert plain.pooled is not None
    assert torch.equal(learned.pooled, plain.pooled)


def test_fields_are_for_one_command() -> None:
    from sdloop.batch.settings import NOT_FOR_ALL

    fields = {f.name for f in dataclasses.fields(Recipe)}
    assert {name for name in fields if "embedding" in name or "token" in name} <= {*NOT_FOR_ALL}
