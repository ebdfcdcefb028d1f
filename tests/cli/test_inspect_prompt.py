"""sdloop inspect prompt: the text encoder's numbers, and attention maps as pictures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.commands import Command, work_in
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from PIL import Image

import sdloop
from sdloop.inspection.attention import AttentionMaps, heat, recorded
from sdloop.inspection.words import parting, walk
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

INSPECT = Command("inspect")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


@pytest.mark.parametrize("make", [tiny_sd1, tiny_sd2, tiny_sdxl])
def test_the_walk_is_the_encoders_own(make: Callable[[], Components]) -> None:
    components = make()
    tokenizer, encoder = components.tokenizer, components.text_encoder
    walked = walk(tokenizer, encoder, "a cat")
    ids = tokenizer("a cat").input_ids
    assert [token.id for token in walked.tokens] == ids
    assert walked.tokens[0].text == "<|startoftext|>"
    table = encoder.get_input_embeddings().weight.detach()
    padded = tokenizer("a cat", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        out = encoder(padded)[0][0]
    assert torch.allclose(walked.encoded, out, atol=1e-6)
    for place, token in enumerate(walked.tokens):
        assert token.place == place
        assert token.token_norm == pytest.approx(float(table[ids[place]].norm()))
        assert token.encoded_norm == pytest.approx(float(out[place].norm()), rel=1e-5)


def test_two_prompts_part_at_the_first_word_that_differs() -> None:
    components = tiny_sd1()
    one, other = (walk(components.tokenizer, components.text_encoder, text)
                  for text in ("a cat on a mat", "a cat in a hat"))  # fmt: skip
    alike = parting(one, other)
    shared = next(i for i, pair in enumerate(zip(one.tokens, other.tokens, strict=False))
                  if pair[0].id != pair[1].id)  # fmt: skip
    assert shared >= 3
    assert alike[:shared] == pytest.approx([1.0] * shared)
    assert max(alike[shared:]) < 0.9999


@pytest.mark.parametrize(("guidance_scale", "interval"), [(1.0, None), (7.5, None), (7.5, "..5")])
@pytest.mark.parametrize("make", [tiny_sd1, tiny_sdxl])
def test_attention_is_a_share_and_leaves_the_picture_alone(
    make: Callable[[], Components], guidance_scale: float, interval: str | None
) -> None:
    components = make()
    recipe = Recipe(prompt="a cat", seed=4, steps=2, width=32, height=24, scheduler="euler",
                    guidance_scale=guidance_scale, guidance_interval=interval)  # fmt: skip
    before = {name: module.processor for name, module in components.unet.named_modules()
              if name.endswith("attn2")}  # fmt: skip
    plain = np.asarray(generate(components, recipe)[0].image, int)
    with recorded(components.unet, size=(12, 16), guided=guidance_scale != 1) as maps:
        watched = np.asarray(generate(components, recipe)[0].image, int)
    assert abs(plain - watched).max() <= 1
    for name, module in components.unet.named_modules():
        assert not name.endswith("attn2") or module.processor is before[name]
    mean = maps.mean()
    assert mean.shape == (77, 12, 16)
    assert torch.allclose(mean.sum(dim=0), torch.ones(12, 16), atol=1e-5)
    assert mean.std(dim=(1, 2)).max() > 0


def test_only_the_prompts_half_is_counted() -> None:
    maps = AttentionMaps(size=(2, 2), guided=True)
    uncond, prompt = torch.zeros(1, 4, 3), torch.zeros(1, 4, 3)
    uncond[..., 0], prompt[..., 1] = 1, 1
    maps.add(torch.cat([uncond, prompt]))
    assert maps.mean().mean(dim=(1, 2)).tolist() == [0, 1, 0]
    maps.add(torch.cat([uncond, prompt]), twinned=False)  # two heads of a turn without guidance
    assert maps.mean().mean(dim=(1, 2)).tolist() == [0.25, 0.75, 0]
    with pytest.raises(ValueError, match="no UNet level for latents"):
        maps.add(torch.zeros(2, 3, 3))
    with pytest.raises(ValueError, match="no attention was recorded"):
        AttentionMaps(size=(2, 2), guided=True).mean()


def test_the_embedded_model_looks_at_red_where_it_paints_red() -> None:
    components = sdloop.load_components()
    recipe = Recipe(prompt="a red frog under a tree", seed=4, steps=10)
    with recorded(components.unet, size=(16, 16), guided=True) as maps:
        picture = generate(components, recipe)[0].image
    walked = walk(components.tokenizer, components.text_encoder, recipe.prompt)
    (place,) = [token.place for token in walked.tokens if token.text == "red"]
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), int)
    red = small[..., 0] - small[..., 1:].max(axis=2) > 60
    assert red.sum() > 10
    attention = maps.mean()[place].numpy()
    assert attention[red].mean() > 1.5 * attention[~red].mean()


def test_heat_is_where_the_attention_is() -> None:
    attention = torch.zeros(4, 4)
    attention[0, 0] = 1
    made = np.asarray(heat(Image.new("RGB", (32, 32), "grey"), attention), int)
    assert made[2, 2].sum() > 2 * made[28, 28].sum()


def test_the_table_and_the_sheet() -> None:
    flags = ["--seed", "4", "--steps", "2", "--scheduler", "euler"]
    result = INSPECT.run("prompt", "a cat", *flags, "--versus", "a dog on a mat", "-o", "w.png")
    assert result.exit_code == 0, result.stderr
    head, columns, first, *rest = result.stdout.splitlines()
    assert head == "text_encoder:"
    assert columns.split()[-2:] == ["versus", "alike"]
    assert first.split()[-2:] == ["<|startoftext|>", "1.000"]
    assert rest[-1] == "w.png"
    longest = len(tiny_sd1().tokenizer("a dog on a mat").input_ids)
    assert len(rest) == longest
    assert (
        Image.open("w.png").width
        == 132 * (1 + len(tiny_sd1().tokenizer("a cat").input_ids) - 2) - 4
    )


def test_json_without_a_sheet(tiny_sdxl_model: Path) -> None:
    result = INSPECT.run(
        "prompt", "a cat", "-m", str(tiny_sdxl_model), "--versus", "a dog", "--json"
    )
    one, two = map(json.loads, result.stdout.splitlines())
    assert (one["encoder"], two["encoder"]) == ("text_encoder", "text_encoder_2")
    assert len(one["alike"]) == max(len(one["tokens"]), len(one["versus"]))
    assert {"place", "id", "text", "token_norm", "encoded_norm"} <= set(one["tokens"][0])
    assert result.stderr == ""
    assert not list(Path().iterdir())


def test_bad_input_is_refused() -> None:
    assert INSPECT.refused("prompt").startswith(
        "prompt must be given, as in: sdloop inspect prompt"
    )
    assert "must end in .png" in INSPECT.refused("prompt", "a cat", "-o", "words.gif")
