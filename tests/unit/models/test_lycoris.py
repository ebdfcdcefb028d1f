"""LoHa, LoKr, full differences and DoRA give the weights that lycoris-lora gives, within 1e-6.

lycoris-lora 4.1 merges LoHa and LoKr with ``(alpha / rank) ** 2``; its own training and its
``forward`` use ``alpha / rank``. So its merge is the measure where the alpha is the rank, and its
``get_weight``, of which ``forward`` makes the layer's weight, where it is not.
"""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.ldm import ldm_unet_names
from helpers.lycoris_files import RANK, Layers, Random, layers_to_change, save_lycoris
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.lora import find_lora
from sdloop.models.components.adapters import adapted
from sdloop.models.components.load import Components
from sdloop.models.components.sgm_names import sgm_names
from sdloop.pipeline.generate import generate
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.recipe.loras import Lora
from sdloop.recipe.recipe import Recipe

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
KINDS = (
    *("lora", "lora-tucker", "dolora", "loha", "loha-tucker", "doloha"),
    *("lokr", "lokr-full", "lokr-tucker", "dolokr", "full"),
)
LAYER = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def random_layers(components: Components, *, seed: int = 0, alpha: float | None = None) -> Layers:
    """A LoRA of all kinds, which take turns; without an ``alpha`` it is the rank."""
    random, kinds = Random(seed), itertools.cycle(KINDS)
    layers = {}
    for (part, name, weight), kind in zip(layers_to_change(components), kinds, strict=False):
        own = random.of_kind(kind, weight)
        if kind != "full":
            own["alpha"] = torch.tensor(float(alpha or RANK))
        if kind.startswith("do"):
            of_inputs = name.endswith("to_k")
            shape = [1] * weight.ndim
            shape[of_inputs] = weight.shape[of_inputs]
            own["dora_scale"] = random(*shape).abs() + 0.5
        layers[part, name] = own
    return layers


def merged_by_lycoris(layer: Any, own: dict[str, Tensor]) -> Tensor:
    """The weight that lycoris-lora makes of a layer's own."""
    functional = pytest.importorskip("lycoris.functional.lokr", reason="pip install '.[test]'")
    from lycoris.modules import get_module, make_module

    if "lokr_t2" in own:  # whose rank lycoris-lora 4.1 reads from the wrong side
        halves = own["lokr_w1"], None, None, None, own["lokr_w2_a"], own["lokr_w2_b"]
        return layer.weight + functional.kron_weight(*halves, own["lokr_t2"], scale=strength(own))
    kind, values = get_module({f"a.{name}": tensor for name, tensor in own.items()}, "a")
    scale = own.get("dora_scale")
    if scale is not None and scale.shape[0] == 1:  # it makes modules for the outputs only
        values = (*values[:-1], None)
    module = make_module(kind, values, "a", layer)
    if scale is not None:
        module.wd, module.wd_on_out = True, scale.shape[0] != 1
        module.dora_scale = torch.nn.Parameter(scale)
    if "alpha" not in own or own["alpha"] == RANK:
        return module.get_merged_weight(1.0, layer.weight.shape)[0]
    added = module.get_weight(layer.weight.shape) if kind.name in ("loha", "kron") else None
    added = module.get_diff_weight(1.0, layer.weight.shape)[0] if added is None else added
    whole = layer.weight + added
    return whole if scale is None else module.apply_weight_decompose(whole)


def strength(own: dict[str, Tensor]) -> float:
    return float(own["alpha"]) / RANK


@torch.no_grad()
def check_weights(found: Components, plain: Components, layers: Layers, scale: float) -> None:
    for (part, name), own in layers.items():
        before = getattr(plain, part).get_submodule(name)
        after = getattr(found, part).get_submodule(name)
        wanted = before.weight + scale * (merged_by_lycoris(before, dict(own)) - before.weight)
        ours = after.weight
        if hasattr(after, "lora_up"):  # it runs beside the layer
            down, up = after.lora_down[0], after.lora_up[0]
            ours = ours + (up.flatten(1) @ down.flatten(1)).view(ours.shape) * after.scales[0]
        assert (ours - wanted).abs().max() < 1e-6, (part, name, *own)


@pytest.mark.parametrize("alpha", [None, 1.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_are_those_of_lycoris(family: str, alpha: float | None, tmp_path: Path) -> None:
    components = FAMILIES[family]()
    layers = random_layers(components, alpha=alpha)
    assert len(layers) > 3 * len(KINDS)
    file = find_lora(str(save_lycoris(layers, tmp_path / "all.safetensors")))
    assert not file.ordinary
    check_weights(adapted(components, [(file, 1.0)]), components, layers, 1.0)
    if alpha:
        check_weights(adapted(components, [(file, -0.6)]), components, layers, -0.6)


def one_layer(tmp_path: Path, **tensors: Tensor) -> str:
    """A file for ``LAYER``, whose weight is 64 by 64; ``__`` stands for a dot."""
    start = f"lora_unet_{LAYER.replace('.', '_')}"
    path = tmp_path / "one.safetensors"
    save_file({f"{start}.{name.replace('__', '.')}": t for name, t in tensors.items()}, path)
    return str(path)


def weight_with(file: str, layer: str = LAYER, scale: float = 1.0) -> Tensor:
    found = adapted(COMPONENTS, [(find_lora(file), scale)])
    return found.unet.get_submodule(layer).weight.detach()


COMPONENTS = tiny_sd1()
WEIGHT: Tensor = COMPONENTS.unet.get_submodule(LAYER).weight.detach()


def test_by_hand(tmp_path: Path) -> None:
    """The formulas of the papers, written out."""
    random = Random(1)
    a, b, c, d = random(64, 2), random(2, 64), random(64, 2), random(2, 64)
    alpha = torch.tensor(1.0)
    file = one_layer(tmp_path, hada_w1_a=a, hada_w1_b=b, hada_w2_a=c, hada_w2_b=d, alpha=alpha)
    torch.testing.assert_close(weight_with(file), WEIGHT + ((a @ b) * (c @ d)) / 2)

    small, large = random(4, 2), random(16, 32)
    blocks = [torch.cat([small[i, j] * large for j in range(2)], dim=1) for i in range(4)]
    file = one_layer(tmp_path, lokr_w1=small, lokr_w2=large, alpha=alpha)
    torch.testing.assert_close(weight_with(file), WEIGHT + torch.cat(blocks))

    norms = random(64, 1).abs()
    changed = WEIGHT + a @ b / 2
    wanted = changed / (changed**2).sum(dim=1, keepdim=True).sqrt() * norms
    pair = {"lora_up__weight": a, "lora_down__weight": b, "alpha": alpha}
    file = one_layer(tmp_path, dora_scale=norms, **pair)
    torch.testing.assert_close(weight_with(file), wanted)
    torch.testing.assert_close(weight_with(file, scale=0.3), WEIGHT + 0.3 * (wanted - WEIGHT))


def test_a_dora_of_peft(tmp_path: Path) -> None:
    """Under diffusers' names; peft's own merge is the measure, for a convolution too."""
    peft = pytest.importorskip("peft", reason="pip install '.[test]'")
    unet, layers = tiny_sd1().unet, [LAYER, "mid_block.resnets.0.conv1"]
    config = peft.LoraConfig(
        r=2, lora_alpha=2, target_modules=layers, use_dora=True, init_lora_weights=False
    )
    model = peft.inject_adapter_in_model(config, unet)
    for name, weight in model.named_parameters():
        if "magnitude" in name:
            weight.data *= 1.5
    state = peft.get_peft_model_state_dict(model)
    path = tmp_path / "dora.safetensors"
    save_file({f"unet.{name}": tensor.contiguous() for name, tensor in state.items()}, path)
    assert any(name.endswith("lora_magnitude_vector") for name in load_file(path))
    for layer in layers:
        wrapped = model.get_submodule(layer)
        wrapped.merge()
        assert (weight_with(str(path), layer) - wrapped.base_layer.weight).abs().max() < 1e-5


def test_norms_biases_and_whole_differences(tmp_path: Path) -> None:
    random, start = Random(2), "mid_block.resnets.0"
    path = tmp_path / "norms.safetensors"
    tensors = {
        "norm1.w_norm": random(64),
        "norm1.b_norm": random(64),
        "conv1.diff": random(64, 64, 3, 3),
        "conv1.diff_b": random(64),
        "time_emb_proj.diff_b": random(64),  # alone
    }
    flat = start.replace(".", "_")
    save_file({f"lora_unet_{flat}_{name}": tensor for name, tensor in tensors.items()}, path)
    found = adapted(COMPONENTS, [(find_lora(str(path)), 0.5)]).unet.get_submodule(start)
    plain = COMPONENTS.unet.get_submodule(start)
    kinds = {"w_norm": "weight", "diff": "weight", "b_norm": "bias", "diff_b": "bias"}
    for name, tensor in tensors.items():
        layer, _, kind = name.partition(".")
        before, after = (getattr(getattr(m, layer), kinds[kind]) for m in (plain, found))
        torch.testing.assert_close(after.detach(), before.detach() + 0.5 * tensor)
    assert torch.equal(found.time_emb_proj.weight, plain.time_emb_proj.weight)


def test_pictures_add_up_and_scale_0_is_the_plain_one(tmp_path: Path) -> None:
    """Beside an ordinary LoRA for the same layer; the order does not matter."""
    random = Random(3)
    whole = tmp_path / "all.safetensors"
    save_lycoris(
        {at: {n: t * 0.5 for n, t in own.items()} for at, own in layers_of_sd1().items()}, whole
    )
    pair = {"lora_up__weight": random(64, 2), "lora_down__weight": random(2, 64)}
    one = one_layer(tmp_path, **pair)

    def latents(*loras: str) -> Tensor:
        usual = {"prompt": "a cat", "steps": 2, "width": 32, "height": 32}
        return generate(COMPONENTS, Recipe(seed=7, loras=loras, **usual))[0].latents

    plain = latents()
    assert torch.equal(latents(f"{whole}:0", f"{one}:0"), plain)
    both = latents(f"{whole}:0.5", f"{one}:-0.5")
    torch.testing.assert_close(both, latents(f"{one}:-0.5", f"{whole}:0.5"), atol=1e-4, rtol=1e-4)
    files = [(find_lora(str(whole)), 0.5), (find_lora(one), -0.5)]
    merged = adapted(COMPONENTS, files[:1])
    merged.unet.get_submodule(LAYER).weight.data -= (
        0.5 * pair["lora_up__weight"] @ pair["lora_down__weight"]
    )
    usual = Recipe(prompt="a cat", seed=7, steps=2, width=32, height=32)
    by_hand = generate(merged, usual)[0].latents
    torch.testing.assert_close(both, by_hand, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(both, plain, atol=0.05)


def layers_of_sd1() -> Layers:
    return random_layers(COMPONENTS, seed=4)


def test_names_of_the_first_authors(tmp_path: Path) -> None:
    """kohya's names of SDXL's layers change the same layers as diffusers'."""
    components = tiny_sdxl()
    names = {
        name.removesuffix(".weight"): theirs.removesuffix(".weight")
        for name, theirs in ldm_unet_names(components).items()
        if name.endswith(".weight")
    }
    for name, theirs in names.items():
        assert theirs in (name, *sgm_names(name, components.unet.config.layers_per_block))
    layers = random_layers(components)
    ours = find_lora(str(save_lycoris(layers, tmp_path / "ours.safetensors")))
    sgm = find_lora(str(save_lycoris(layers, tmp_path / "sgm.safetensors", names=names)))
    assert sgm.widths == ours.widths == {"unet": 64, "text_encoder": 32, "text_encoder_2": 32}
    assert any("output_blocks" in name for name in load_file(sgm.path))
    one, two = (adapted(components, [(file, 1.0)]).unet.state_dict() for file in (ours, sgm))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_names_of_lycoris_alone(tmp_path: Path) -> None:
    """Its wrapper for any model, as SimpleTuner uses it, has a prefix of its own."""
    file = Path(one_layer(tmp_path, diff=torch.ones(64, 64)))
    renamed = tmp_path / "renamed.safetensors"
    tensors = load_file(file)
    save_file({n.replace("lora_unet_", "lycoris_"): t for n, t in tensors.items()}, renamed)
    assert torch.equal(weight_with(str(renamed)), weight_with(str(file)))


REFUSED: dict[str, tuple[dict[str, Tensor], str]] = {
    "shape": ({"diff": torch.ones(64, 63)}, r"does not fit .* diff \(64, 63\), for a weight of"),
    "turned": ({"diff": torch.ones(32, 128)}, r"does not fit .* diff \(32, 128\), for a weight"),
    "missing": ({"hada_w1_b": torch.ones(2, 64)}, r"to_q is incomplete: it has no hada_w1_a"),
    "half": ({"lokr_w1": torch.ones(2, 2)}, r"to_q is incomplete: it has no lokr_w2_a"),
    "mixed": (
        {"diff": torch.ones(64, 64), "lokr_w1": torch.ones(2, 2)},
        "to_q mixes two kinds of LoRA: diff, lokr_w1",
    ),
    "norms": (
        {"diff": torch.ones(64, 64), "dora_scale": torch.ones(63, 1)},
        r"does not fit .* dora_scale \(63, 1\), for a weight of \(64, 64\)",
    ),
    "bias": ({"diff_b": torch.ones(64)}, "a bias of .64,., for a layer with no bias"),
    "nan": ({"diff": torch.full((64, 64), torch.nan)}, "holds NaN or infinity"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_refused(which: str, tmp_path: Path) -> None:
    tensors, message = REFUSED[which]
    file = one_layer(tmp_path, **dict(sorted(tensors.items())))
    with pytest.raises(ModelError, match=message) as error:
        weight_with(file)
    assert "\n" not in str(error.value)


def test_only_the_last_set_of_replaced_weights_is_kept(tmp_path: Path) -> None:
    """Each needs as much memory as the model; of ordinary LoRAs several sets are kept."""
    model = loaded_model(COMPONENTS)
    pair = {"lora_up__weight": torch.ones(64, 2), "lora_down__weight": torch.ones(2, 64)}
    for tensors, kept in ((pair, True), ({"diff": torch.ones(64, 64)}, False)):
        file = one_layer(tmp_path, **tensors)
        sets = [(Lora(name=file, scale=scale),) for scale in (1.0, 2.0)]
        before = [model.prepare(loras)[0] for loras in sets]
        assert (model.prepare(sets[0])[0] is before[0]) == kept
        model = loaded_model(COMPONENTS)
