"""``sdloop tokens``: the tokens for the text encoders, printed without loading them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sdxl
from typer.testing import CliRunner, Result

from sdloop.cli import app
from sdloop.conditioning.tokens import tokenize
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.tokenizer import load_tokenizer
from sdloop.models.checkpoint.words import unknown_words


def tokens(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["tokens", *map(str, arguments)])


def told(*arguments: object) -> list[dict[str, Any]]:
    result = tokens(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(*arguments: object, code: int = 2) -> list[str]:
    result = tokens(*arguments)
    assert result.exit_code == code
    return result.stderr.splitlines()


def test_people_read_a_table() -> None:
    result = tokens("a (red:1.5) zebra")
    assert result.exit_code == 0
    assert (
        result.stdout
        == """\
a (red:1.5) zebra
  text_encoder reads 6 tokens:
    chunk  position  id    token            weight
    1      0         1738  <|startoftext|>
    1      1         320   a
    1      2         565   red              1.5
    1      3         89    z-
    1      4         68    e-
    1      5         869   br-
    1      6         320   a
    1      7         1739  <|endoftext|>
  unknown: zebra
"""
    )


@pytest.mark.parametrize(
    "prompt",
    ["a (red:1.5) frog BREAK [on] stilts", "a frog, " * 40, "", "東京 🐎", "<|endoftext|> a"],
)
def test_they_are_what_the_encoder_is_given(prompt: str) -> None:
    (seen,) = told(prompt)
    tokenizer = load_tokenizer(find_checkpoint("mini"), "tokenizer")
    given = tokenize(tokenizer, prompt)
    chunks = seen["encoders"]["text_encoder"]
    assert len(chunks) == len(given)
    for chunk, (ids, weights) in zip(chunks, given, strict=True):
        padding = chunk["padding"]
        shown = [t["id"] for t in chunk["tokens"]] + [tokenizer.pad_token_id] * padding
        assert torch.equal(torch.tensor([shown]), ids)
        meant = torch.tensor([[t["weight"] for t in chunk["tokens"]] + [1.0] * padding])
        assert torch.equal(meant, torch.ones(1, 77) if weights is None else weights)
        assert [t["position"] for t in chunk["tokens"]] == list(range(len(chunk["tokens"])))


def test_each_text_of_a_prompt_that_changes_is_told() -> None:
    seen = told("a [red:blue:0.5] frog AND a [cat|dog] :0.7", "--steps", "4")
    assert [(one["text"], one["weight"], one["steps"]) for one in seen] == [
        ("a red frog", 1.0, [[1, 2]]),
        ("a blue frog", 1.0, [[3, 4]]),
        ("a cat", 0.7, [[1, 1], [3, 3]]),
        ("a dog", 0.7, [[2, 2], [4, 4]]),
    ]
    lines = tokens("a [red:blue:0.5] frog AND a [cat|dog] :0.7").stdout.splitlines()
    assert [line for line in lines if line.startswith("step")] == [
        "steps 1 to 12: a red frog",
        "steps 13 to 25: a blue frog",
        "steps 1, 3, 5, 7, …, weight 0.7: a cat",
        "steps 2, 4, 6, 8, …, weight 0.7: a dog",
    ]


def test_without_emphasis_all_is_text() -> None:
    (seen,) = told("[a|b] AND (c)", "--emphasis", "none")
    (chunk,) = seen["encoders"]["text_encoder"]
    assert "".join(t["text"] for t in chunk["tokens"][1:-1]).replace("-", "") == "[a|b]and(c)"


def test_two_encoders_read_what_each_is_given(tiny_sdxl_model: Path) -> None:
    (seen,) = told("a cat", "--prompt-2", "the dog", "--model", tiny_sdxl_model)
    components = tiny_sdxl()
    for encoder, tokenizer, text in (
        ("text_encoder", components.tokenizer, "a cat"),
        ("text_encoder_2", components.tokenizer_2, "the dog"),
    ):
        (chunk,) = seen["encoders"][encoder]
        assert [t["id"] for t in chunk["tokens"]] == tokenizer(text).input_ids
    assert seen["unknown"] == []
    assert refused("a cat", "--prompt-2", "x") == [
        "sdloop: error: prompt_2 needs a model with two text encoders (SDXL), and mini has one"
    ]


def test_strict_ends_with_2_for_words_that_do_nothing() -> None:
    assert tokens("a red frog on stilts", "--strict").exit_code == 0
    unknown = refused("a plaid frog and a zebra", "--strict")
    assert unknown == ["sdloop: error: prompt has words that mini does not know: plaid, zebra"]
    assert refused("a [frog:rabbit:30]", "--strict") == [
        "sdloop: error: prompt has words that no step uses: rabbit"
    ]
    assert tokens("a [frog:rabbit:30]", "--strict", "--steps", "31").exit_code == 0
    assert tokens("a zebra").exit_code == 0


def test_a_prompt_that_cannot_be_read_shows_the_place() -> None:
    assert refused("a (frog:1.2.3) in a park") == [
        "sdloop: error: prompt: weight must be a number, got '1.2.3'",
        "  a (frog:1.2.3) in a park",
        "          ^",
    ]


def test_a_prompt_file_names_the_line_of_a_prompt_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("a cat\na (dog:..)\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["txt2img", "--from-file", str(file), "--seed", "4"])
    assert result.exit_code == 2
    first, *shown = result.stderr.splitlines()
    assert first == f"sdloop: error: {file}, line 2: prompt: weight must be a number, got '..'"
    assert shown == ["  a (dog:..)", "         ^"]


def test_words_that_no_step_sees_are_told_before_pictures_are_made() -> None:
    command = ["txt2img", "a [frog:rabbit:30]", "--seed", "4..5", "--model", "mini", "--dry-run"]
    result = CliRunner().invoke(app, command)
    assert result.stderr == 'sdloop: none of the 25 steps sees "rabbit"\n'
    plain = CliRunner().invoke(app, [*command, "--emphasis", "none"])
    assert plain.stderr == ""


def test_nothing_steers_the_terminal() -> None:
    assert "\x1b" not in tokens("a \x1b[31mfrog").stdout


def test_a_model_of_few_words_says_which_it_does_not_know() -> None:
    mini = find_checkpoint("mini")
    assert unknown_words(mini, "a Frog with 3 zebras, mice") == ("zebras",)


def test_words_are_told_without_torch() -> None:
    code = (
        "import sys; from sdloop.cli import app; app(['tokens', '-'], standalone_mode=False);"
        "print([m for m in ('torch', 'diffusers') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input="a frog\n", capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    first, *_, last = result.stdout.splitlines()
    assert (first, last) == ("a frog", "[]")


def test_the_second_prompt_changes_on_the_way_too(tiny_sdxl_model: Path) -> None:
    flags = ("--prompt-2", "the [cat:dog:0.4]", "--model", tiny_sdxl_model)
    first, last = told("a man", *flags)
    assert (first["steps"], last["steps"]) == ([[1, 10]], [[11, 25]])
    for seen, text in ((first, "the cat"), (last, "the dog")):
        (chunk,) = seen["encoders"]["text_encoder_2"]
        assert [t["id"] for t in chunk["tokens"]] == tiny_sdxl().tokenizer_2(text).input_ids
    assert told("a man", "--prompt-2", "a [cat:dog:30]", *flags[2:])[0]["cut"] == ["dog"]


def test_replaced_words_are_no_tokens_of_the_vocabulary() -> None:
    (seen,) = told("a red frog", "--replace-token", "red=0.5*red+0.5*green")
    (chunk,) = seen["encoders"]["text_encoder"]
    assert [(t["id"], t["text"]) for t in chunk["tokens"]][2] == (-1, "red")


def test_a_lora_that_is_not_in_its_folder_is_named(tmp_path: Path) -> None:
    failed = tokens("a frog <lora:ink>", "--lora-dir", tmp_path)
    assert failed.exit_code == 3
    assert "there is no LoRA 'ink'" in failed.stderr
