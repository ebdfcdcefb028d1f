"""Each layer of a LoRA has a strength of its own: ``W + up @ down * alpha / rank``.

diffusers 0.42 is no measure here. As a report to it:

    ``load_lora_weights`` sets wrong scales for kohya files whose alphas differ from layer to
    layer (``networks/resize_lora.py`` writes such files; so do trainers with a rank for each
    block). ``get_peft_kwargs`` takes the alpha of most layers as ``lora_alpha`` and writes the
    others to ``alpha_pattern``, under keys that match no module:

    - attention layers of the UNet are ``….attn1.processor.to_q_lora.down.weight`` there
      (``_get_alpha_name`` splits at ``".lora."``, which these names do not have), and the module
      is ``….attn1.to_q``;
    - those of text encoders are ``….self_attn.to_q_lora`` or ``….mlp.fc1.lora_linear_layer``, with
      ``text_model.`` before them, and the modules are ``….self_attn.q_proj`` and ``….mlp.fc1``;
    - a layer without an alpha gets the ``lora_alpha`` of the others, where kohya means its rank.

    ``peft`` then uses ``lora_alpha`` for them, without an error. To see it: give each layer of a
    file another alpha, load it, and compare ``module.scaling`` with ``alpha / rank``.

So the weights are merged by hand here. Where all alphas are equal, the pictures are diffusers'
own (``tests/parity/test_lora.py``).
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.loras import Pairs, kohya_tensors, lora_pairs, save_peft
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.lora import find_lora
from sdloop.models.components.adapters import adapted
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
PARTS = ("unet", "text_encoder", "text_encoder_2")


@dataclass
class Mixed:
    """A LoRA of many ranks and alphas: its matrices, its alphas (None is left out), its file."""

    pairs: Pairs
    alphas: dict[tuple[str, str], float | None]
    file: Path

    def merged(
        self, components: Components, scale: float, text_scale: float | None = None
    ) -> Components:
        """``components`` with weights of their own, to which the LoRA is added by hand."""
        text_scale = scale if text_scale is None else text_scale
        whole = {part: copy.deepcopy(getattr(components, part)) for part in PARTS}
        for part, layers in self.pairs.items():
            for layer, (down, up) in layers.items():
                weight = whole[part].get_submodule(layer).weight
                alpha, rank = self.alphas[part, layer], down.shape[0]
                added = (up.flatten(1) @ down.flatten(1)).reshape(weight.shape)
                strength = 1.0 if alpha is None else alpha / rank
                weight.data += added * strength * (scale if part == "unet" else text_scale)
        return replace(components, **whole)


def mixed(
    components: Components,
    file: Path,
    *,
    seed: int = 0,
    parts: tuple[str, ...] = (),
    alphas: Iterable[float | None] = (1.0, 4.0, None, 0.5, 8.0, None, 2.0),
    ranks: Iterable[int] = (1, 4, 2, 3),
) -> Mixed:
    """Save a LoRA in kohya's layout whose layers take turns with these alphas and ranks."""
    turns, cuts = list(alphas), list(ranks)
    pairs: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
    own: dict[tuple[str, str], float | None] = {}
    for part, layers in lora_pairs(components, seed=seed, parts=parts).items():
        pairs[part] = {}
        for number, (layer, (down, up)) in enumerate(layers.items()):
            rank = cuts[number % len(cuts)]
            pairs[part][layer] = down[:rank].contiguous(), up[:, :rank].contiguous()
            own[part, layer] = turns[number % len(turns)]
    tensors = kohya_tensors(pairs, {})
    written = iter([name for name in tensors if name.endswith(".alpha")])
    for alpha, name in zip(own.values(), written, strict=True):
        del tensors[name]
        if alpha is not None:
            tensors[name] = torch.tensor(alpha)
    save_file(tensors, file)
    return Mixed(pairs=pairs, alphas=own, file=file)


def output(components: Components, part: str, layer: str, x: Tensor) -> Any:
    return getattr(components, part).get_submodule(layer)(x)


def check_layers(found: Components, wanted: Components, pairs: Pairs) -> None:
    """Every layer that a LoRA changes makes of numbers what the merged weights make."""
    for part, layers in pairs.items():
        for layer in layers:
            weight = getattr(wanted, part).get_submodule(layer).weight
            rest = (9, 9) if weight.ndim == 4 else ()
            x = torch.randn(2, weight.shape[1], *rest, generator=torch.Generator().manual_seed(1))
            ours, theirs = output(found, part, layer, x), output(wanted, part, layer, x)
            assert torch.allclose(ours, theirs, atol=1e-4, rtol=1e-4), f"{part}.{layer}"


@pytest.mark.parametrize("scale", [1.0, 0.7, -1.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_layer_has_its_own_strength(family: str, scale: float, tmp_path: Path) -> None:
    """Attention, feed-forward and convolutions of the UNet, and every text encoder."""
    components = FAMILIES[family]()
    lora = mixed(components, tmp_path / "mixed.safetensors")
    found = adapted(components, [(find_lora(str(lora.file)), scale)])
    check_layers(found, lora.merged(components, scale), lora.pairs)


@pytest.mark.parametrize(("text_scale", "scale"), [(0.8, 0.5), (0.0, 0.7), (-1.0, 0.0)])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_encoders_have_a_scale_of_their_own(
    family: str, text_scale: float, scale: float, tmp_path: Path
) -> None:
    components = FAMILIES[family]()
    lora = mixed(components, tmp_path / "mixed.safetensors")
    found = adapted(components, [(find_lora(str(lora.file)), (text_scale, scale))])
    check_layers(found, lora.merged(components, scale, text_scale), lora.pairs)


def test_two_scales_in_a_picture(tmp_path: Path) -> None:
    """One equal to none of them; both alike are one scale; and 0 leaves a part as it is."""
    components = tiny_sd1()
    lora = mixed(components, tmp_path / "mixed.safetensors")

    def made(scales: str, model: Components = components) -> bytes:
        usual: dict[str, Any] = {"seed": 4, "steps": 1, "width": 32, "height": 32}
        loras = [f"{lora.file}:{scales}"] if scales else []
        recipe = Recipe(prompt="a cat", loras=loras, **usual)
        (picture,) = generate(model, [recipe])
        return picture.image.tobytes()

    pictures = {scales: made(scales) for scales in ("", "0.8", "0.5", "0.8:0.5", "0.5:0.8", "0:0")}
    assert pictures[""] == pictures["0:0"]
    assert len(set(pictures.values())) == 5
    assert made("0.8:0.80") == pictures["0.8"]


@pytest.mark.parametrize(
    ("alphas", "ranks"),
    [
        ((1.0, 2.0, 4.0), (4,)),
        ((3.0,), (1, 4)),
        ((None,), (1, 4, 4)),
        ((3.0, None), (4,)),
        ((3.0, 3.0, None), (2, 4)),
        ((0.0, 1.0), (4,)),
    ],
    ids=["alphas", "ranks", "no-alphas", "half", "half-ranks", "zero"],
)
def test_alphas_and_ranks_of_every_mixture(
    alphas: tuple[Any, ...], ranks: tuple[int, ...], tmp_path: Path
) -> None:
    components = tiny_sd1()
    lora = mixed(components, tmp_path / "mixed.safetensors", alphas=alphas, ranks=ranks)
    found = adapted(components, [(find_lora(str(lora.file)), 0.8)])
    check_layers(found, lora.merged(components, 0.8), lora.pairs)


def test_several_add_up(tmp_path: Path) -> None:
    """Two of mixed alphas and one for a text encoder alone."""
    components = tiny_sdxl()
    first = mixed(components, tmp_path / "1.safetensors", seed=1)
    second = mixed(components, tmp_path / "2.safetensors", seed=2, alphas=(None, 6.0, 1.5))
    third = mixed(components, tmp_path / "3.safetensors", seed=3, parts=("text_encoder_2",))
    scaled = [(first, 0.5), (second, -0.4), (third, 1.0)]
    wanted = components
    for lora, scale in scaled:
        wanted = lora.merged(wanted, scale)
    found = adapted(components, [(find_lora(str(lora.file)), scale) for lora, scale in scaled])
    check_layers(found, wanted, first.pairs)


@pytest.mark.parametrize("parts", [("unet",), ("text_encoder",), ()])
def test_the_picture_is_that_of_the_merged_weights(parts: tuple[str, ...], tmp_path: Path) -> None:
    components = tiny_sd1()
    lora = mixed(components, tmp_path / "mixed.safetensors", parts=parts)
    plain = Recipe(prompt="a cat", seed=4, steps=2, guidance_scale=3.0, width=32, height=32)
    recipe = Recipe.from_dict({**plain.to_dict(), "loras": [f"{lora.file}:0.5"]})
    found = generate(components, recipe)[0].latents
    wanted = generate(lora.merged(components, 0.5), plain)[0].latents
    torch.testing.assert_close(found, wanted, atol=2e-3, rtol=2e-3)
    assert not torch.allclose(found, generate(components, plain)[0].latents, atol=0.05)


def test_alphas_beside_names_of_diffusers(tmp_path: Path) -> None:
    """Some converters keep kohya's alphas under diffusers' names of the layers."""
    components = tiny_sd1()
    lora = mixed(components, tmp_path / "kohya.safetensors", parts=("unet",))
    file = save_peft(lora.pairs, tmp_path / "named.safetensors")
    alphas = {
        f"unet.{layer}.alpha": torch.tensor(alpha)
        for (_, layer), alpha in lora.alphas.items()
        if alpha is not None
    }
    save_file(load_file(file) | alphas, file)
    found = adapted(components, [(find_lora(str(file)), 1.0)])
    check_layers(found, lora.merged(components, 1.0), lora.pairs)


@pytest.mark.parametrize("layer", ["self_attn.q_proj", "self_attn.out_proj", "mlp.fc2"])
@pytest.mark.parametrize("part", ["text_encoder", "text_encoder_2"])
def test_one_layer_of_one_text_encoder(part: str, layer: str, tmp_path: Path) -> None:
    components = tiny_sdxl()
    (name,) = (n for n, _ in getattr(components, part).named_modules() if n.endswith(f"0.{layer}"))
    weight = getattr(components, part).get_submodule(name).weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    lora = Mixed({part: {name: (down, up)}}, {(part, name): 5.0}, tmp_path / "one.safetensors")
    tensors = kohya_tensors(lora.pairs, {})
    tensors |= {name: torch.tensor(5.0) for name in tensors if name.endswith(".alpha")}
    # kohya_tensors takes "lora_te" for the only text encoder; in SDXL it is the first of two.
    save_file({n.replace("lora_te_", "lora_te1_"): t for n, t in tensors.items()}, lora.file)
    found = adapted(components, [(find_lora(str(lora.file)), 0.5)])
    check_layers(found, lora.merged(components, 0.5), lora.pairs)


def test_the_projection_of_the_second_text_encoder(tmp_path: Path) -> None:
    components = tiny_sdxl()
    weight: Tensor = components.text_encoder_2.text_projection.weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    pairs: Mapping[str, Any] = {"text_encoder_2": {"text_projection": (down, up)}}
    lora = Mixed(pairs, {("text_encoder_2", "text_projection"): 5.0}, tmp_path / "p.safetensors")
    start = "lora_te2_text_projection"
    tensors = {f"{start}.lora_down.weight": down, f"{start}.lora_up.weight": up}
    save_file({**tensors, f"{start}.alpha": torch.tensor(5.0)}, lora.file)
    found = adapted(components, [(find_lora(str(lora.file)), 0.5)])
    check_layers(found, lora.merged(components, 0.5), lora.pairs)


_TE = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{_TE}.alpha": torch.ones(2)}, r"q_proj must be one number, got \(2,\)"),
        ({f"{_TE}.alpha": torch.tensor(torch.nan)}, "alpha holds NaN or infinity"),
        ({f"{_TE}.lora_up.weight": None}, "q_proj is incomplete: it has no up"),
        ({f"{_TE}.lora_up.weight": torch.ones(32, 3)}, "does not fit the model: down"),
        ({f"{_TE}.lora_up.weight": torch.ones(32)}, "does not fit the model"),
        (
            {f"{_TE}.lora_down.weight": torch.ones(0, 32), f"{_TE}.lora_up.weight": None}
            | {f"{_TE}.lora_up.weight": torch.ones(32, 0)},
            "does not fit the model: down",
        ),
    ],
    ids=["alpha-2", "alpha-nan", "no-up", "ranks", "flat", "rank-0"],
)
def test_what_is_refused_in_one_line(
    changes: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    tensors: dict[str, Tensor | None] = {
        f"{_TE}.lora_down.weight": torch.ones(4, 32),
        f"{_TE}.lora_up.weight": torch.ones(32, 4),
        f"{_TE}.alpha": torch.tensor(2.0),
    }
    file = tmp_path / "wrong.safetensors"
    save_file({n: t for n, t in (tensors | changes).items() if t is not None}, file)
    with pytest.raises(ModelError, match=message) as error:
        adapted(tiny_sd1(), [(find_lora(str(file)), 1.0)])
    assert "\n" not in str(error.value)
