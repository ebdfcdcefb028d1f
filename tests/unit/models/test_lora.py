"""LoRAs: found, recognised by their tensor names, one-line errors, and removed after use.

``tests/parity/test_lora.py`` compares their pictures with diffusers.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.fake_hub import forge_cache, serve
from helpers.loras import kohya_tensors, lora_pairs, save_kohya, save_peft
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sdxl
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from sdloop.errors import FileError, ModelError, SettingError
from sdloop.images.input.read import open_image
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.lora import check_lora, find_lora
from sdloop.models.checkpoint.lora_folder import lora_in
from sdloop.models.components.adapters import adapted
from sdloop.models.components.load import load_components
from sdloop.pipeline.generate import generate, stream, stream_resolved
from sdloop.pipeline.loaded_model import loaded_model
from sdloop.pipeline.picture import Picture
from sdloop.recipe.key import content_key
from sdloop.recipe.loras import Lora, parse_lora, split_other_tags, split_tags
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

COMPONENTS = tiny_sd1()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LoRAs for tiny models: two, one of them pickled too, and one for SDXL."""
    folder = tmp_path_factory.mktemp("loras")
    (folder / "things").mkdir()
    save_kohya(lora_pairs(COMPONENTS, seed=1), folder / "ink.safetensors")
    save_kohya(lora_pairs(COMPONENTS, seed=1), folder / "pickled.pt")
    save_peft(lora_pairs(COMPONENTS, seed=2, parts=("unet",)), folder / "things/frog.safetensors")
    save_kohya(lora_pairs(tiny_sdxl()), folder / "large.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(COMPONENTS, tmp_path_factory.mktemp("model"))


def recipe(seed: int = 7, *loras: str, **settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "steps": 2, "width": 32, "height": 32, "scheduler": "euler"}
    return Recipe(seed=seed, loras=loras, **(usual | settings))


def pixels(*recipes: Recipe, **options: Any) -> list[bytes]:
    return [one.image.tobytes() for one in generate(COMPONENTS, recipes, **options)]


def test_the_next_picture_knows_nothing_of_it(folder: Path) -> None:
    ink = str(folder / "ink.safetensors")
    before = pixels(recipe())
    assert pixels(recipe(7, ink)) != before
    assert pixels(recipe()) == before
    assert all(weights.requires_grad for weights in COMPONENTS.unet.parameters())
    assert not any("lora" in name for name, _ in COMPONENTS.unet.named_modules())


def test_streams_of_different_loras_do_not_meet(folder: Path) -> None:
    """Not even while both are running: neither writes into the components."""
    ink, frog = str(folder / "ink.safetensors"), str(folder / "things" / "frog.safetensors")
    wanted = [recipe(1), recipe(1, ink), recipe(1, frog), recipe(1, ink, frog)]
    alone = [pixels(one)[0] for one in wanted]
    assert len(set(alone)) == 4
    made: dict[int, bytes] = {}
    running = {index: stream(COMPONENTS, one) for index, one in enumerate(wanted)}
    while running:
        for index, events in list(running.items()):
            event = next(events, None)
            if event is None:
                del running[index]
            elif isinstance(event, Picture):
                made[index] = event.image.tobytes()
    assert [made[index] for index in range(4)] == alone
    turns = [recipe(1), recipe(1, ink), recipe(1), recipe(1, frog), recipe(1, ink)]
    expected = [alone[index] for index in (0, 1, 0, 2, 1)]
    assert pixels(*turns, batch_size=5) == expected  # none shares a batch with another


def test_the_weights_are_shared(folder: Path) -> None:
    wanted = adapted(COMPONENTS, [(find_lora(str(folder / "things" / "frog.safetensors")), 1.0)])
    ours = {weights.data_ptr() for weights in COMPONENTS.unet.parameters()}
    theirs = {w.data_ptr() for name, w in wanted.unet.named_parameters() if "lora" not in name}
    assert theirs == ours
    assert wanted.vae is COMPONENTS.vae


def test_scale_0_adds_nothing_and_two_add_up(folder: Path) -> None:
    ink, frog = str(folder / "ink.safetensors"), str(folder / "things" / "frog.safetensors")
    assert pixels(recipe(7, f"{ink}:0")) == pixels(recipe())
    both = generate(COMPONENTS, recipe(7, f"{ink}:0.5", f"{frog}:-0.5"))[0]
    turned = generate(COMPONENTS, recipe(7, f"{frog}:-0.5", f"{ink}:0.5"))[0]
    torch.testing.assert_close(both.latents, turned.latents, atol=5e-4, rtol=1e-3)
    # Of one layer, exactly: what both add is what each adds.
    layer, x = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q", torch.randn(2, 5, 64)
    files = [(find_lora(ink), 0.5), (find_lora(frog), -0.5)]
    plain, *added = (
        adapted(COMPONENTS, loras).unet.get_submodule(layer)(x)
        for loras in ([], files[:1], files[1:], files)
    )
    assert not torch.allclose(added[0], plain, atol=0.1)
    torch.testing.assert_close(added[2] - plain, (added[0] - plain) + (added[1] - plain))


def test_a_pickle_of_tensors_is_the_same_lora(folder: Path) -> None:
    with pytest.warns(UserWarning, match="is a pickle: only its tensors are read"):
        pickled = pixels(recipe(7, str(folder / "pickled.pt")))
    assert pickled == pixels(recipe(7, str(folder / "ink.safetensors")))


def test_half_precision_takes_it_too(folder: Path) -> None:
    components = load_components(str(save_half(folder)), device="cpu", dtype="bf16")
    wanted = adapted(components, [(find_lora(str(folder / "ink.safetensors")), 1.0)])
    assert {weights.dtype for weights in wanted.unet.parameters()} == {torch.bfloat16}


def save_half(folder: Path) -> Path:
    return save_diffusers_folder(COMPONENTS, folder / "model")


def test_the_file_is_in_the_resolved_recipe_and_no_other_will_do(folder: Path) -> None:
    file = find_lora(str(folder / "ink.safetensors"))
    asked = recipe(7, f"{file.name}:0.5")
    hashes = {file.name: file.sha256}
    settled = resolve(asked, COMPONENTS, hashes=hashes)
    assert settled.loras == (Lora(name=file.name, scale=0.5, sha256=file.sha256),)
    assert Recipe.from_dict(settled.to_dict()) == settled
    assert resolve(settled, COMPONENTS, hashes=hashes) == settled
    with pytest.raises(FileError, match=r"is not the LoRA that the recipe was made with: its sha2"):
        resolve(settled, COMPONENTS, hashes={file.name: "0" * 64})
    with pytest.raises(SettingError, match="loras must be found before the recipe is resolved"):
        resolve(asked, COMPONENTS)


def test_a_plan_made_with_another_file_is_refused(folder: Path) -> None:
    """A plan is not resolved again: the file may have changed since."""
    model = loaded_model(COMPONENTS)
    resolved = model.resolved(recipe(7, str(folder / "ink.safetensors")), open_image)
    (lora,) = resolved.loras
    changed = replace(resolved, loras=(replace(lora, sha256="0" * 64),))
    with pytest.raises(FileError, match="is not the LoRA that the recipe was made with"):
        list(stream_resolved(model, [changed]))


def test_the_key_is_of_what_is_added() -> None:
    def key(*loras: Lora) -> str:
        return content_key(recipe(7, *loras), {})  # type: ignore[arg-type]

    ink = Lora(name="ink", scale=0.5, sha256="a" * 64)
    assert key(ink) == key(replace(ink, name="elsewhere/ink.safetensors"))
    assert key(replace(ink, scale=0)) == key()
    others = [replace(ink, scale=0.6), replace(ink, sha256="b" * 64)]
    assert len({key(), key(ink), *map(key, others)}) == 4


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ink.safetensors", "loras must be a list"),
        ([4], "loras must be texts like"),
        ([{"name": "a", "weight": 1}], "unknown key 'weight'"),
        ([{"scale": 1}], r"loras\.name must be given"),
        ([""], r"loras\.name must name"),
        (["a:101"], r"loras\.scale must be between -100 and 100, got 101"),
        ([{"name": "a", "scale": "1"}], r"loras\.scale must be a finite number"),
        ([{"name": "a", "sha256": "x"}], r"loras\.sha256 must be 64 hex digits"),
        (["a", "a:0.5"], "loras must name each LoRA once, got 'a' twice"),
    ],
)
def test_what_is_no_lora_in_a_recipe(value: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Recipe(prompt="", seed=0, loras=value)


def test_every_form_of_a_lora_is_the_same() -> None:
    forms: list[Any] = ["a:0.5", {"name": "a", "scale": 0.5}, Lora(name="a", scale=0.5)]
    assert len({Recipe(prompt="", seed=0, loras=[form]) for form in forms}) == 1
    assert Recipe(prompt="", seed=0, loras=["C:/a.pt"]).loras == (Lora(name="C:/a.pt"),)
    assert Lora(name="a", scale=-0.0) == Lora(name="a", scale=0)


@pytest.mark.parametrize(
    ("prompt", "rest", "names"),
    [
        ("a cat", "a cat", []),
        ("a <b> cat", "a <b> cat", []),
        ("<lora:ink>a cat", "a cat", ["ink:1"]),
        ("a cat <lora:ink:0.8>", "a cat", ["ink:0.8"]),
        ("a cat, <lora:ink:-1>, big", "a cat, , big", ["ink:-1"]),
        ("a <lora:x/ink:.5> <lora:two words:1> cat", "a cat", ["x/ink:0.5", "two words:1"]),
        ("(a cat <lora:ink:2>:1.2)", "(a cat :1.2)", ["ink:2"]),
        ("a cat\n<lora:ink:2>\non stilts", "a cat\non stilts", ["ink:2"]),
        ("a cat <lora:ink:0.8:0.80>", "a cat", ["ink:0.8"]),
        ("a cat <lora:ink::1>", "a cat", ["ink:1"]),
        ("a cat <lora:ink:0.8:0.5>", "a cat", ["ink:0.8:0.5"]),
        ("a cat <lora:ink:te=0.8:unet=0.5>", "a cat", ["ink:0.8:0.5"]),
        ("a cat <lora:ink:0.8:unet=0>", "a cat", ["ink:0.8:0"]),
        ("a cat <lora:ink:te=0.5>", "a cat", ["ink:0.5"]),
        ("a <lyco:ink:1> cat <lora:ink:1>", "a <lyco:ink:1> cat", ["ink:1"]),
    ],
)
def test_prompts_call_loras(prompt: str, rest: str, names: list[str]) -> None:
    found, loras = split_tags(prompt)
    assert (found, [str(lora) for lora in loras]) == (rest, names)


@pytest.mark.parametrize(
    "tag",
    [
        *("<lora:>", "<lora::1>", "<lora:a:b>", "<lora:a:1:2:>", "<lora: :1>", "<lora:a:1:1:8>"),
        *("<lora:a:te=x>", "<lora:a:1:dyn=4>", "<lora:a:0.5:>", "<lora:a:lbw=1>"),
    ],
)
def test_a_tag_that_is_none(tag: str) -> None:
    with pytest.raises(
        SettingError, match=r"prompt must name a LoRA as in <lora:name> or <lora:na"
    ):
        split_tags(f"a cat {tag}")
    with pytest.raises(SettingError, match="prompt must end each <lora: with >, got"):
        split_tags("a cat <lora:ink:0.8")


@pytest.mark.parametrize(
    ("text", "name", "scales"),
    [
        ("ink.pt:0.8:0.5", "ink.pt", (0.8, 0.5)),
        ("ink.pt:0.5:0.50", "ink.pt", (0.5,)),
        ("a:1:2:3", "a:1", (2.0, 3.0)),
        ("a:b:2", "a:b", (2.0,)),
    ],
)
def test_a_lora_with_two_scales(text: str, name: str, scales: tuple[float, ...]) -> None:
    """The first is for the text encoders, as in A1111's tags."""
    lora = parse_lora(text)
    assert (lora.name, lora.scales) == (name, scales)
    assert parse_lora(str(lora)) == lora
    assert Recipe(prompt="", seed=0, loras=[lora.to_dict()]).loras == (lora,)


def test_a_name_that_ends_like_a_scale() -> None:
    lora = Lora(name="ink:0.8", scale=0.5)
    assert str(lora) == "ink:0.8:0.5:0.5"
    assert parse_lora(str(lora)) == lora


def test_two_scales_have_a_key_of_their_own() -> None:
    def key(*loras: Lora) -> str:
        return content_key(Recipe(prompt="a", seed=1, loras=loras), {})

    ink = Lora(name="ink", scale=0.5, sha256="0" * 64)
    assert key(ink) == key(replace(ink, text_scale=0.5))
    assert key(ink) != key(replace(ink, text_scale=0.8))
    assert key() == key(replace(ink, scale=0)) != key(replace(ink, scale=0, text_scale=0.8))


@pytest.mark.parametrize(
    ("prompt", "rest", "tags"),
    [
        ("a cat <b> 1 < 2 <3:4", "a cat <b> 1 < 2 <3:4", ()),
        (
            "a <hypernet:ink:0.8> cat <lyco:wash:1>",
            "a cat",
            ("<hypernet:ink:0.8>", "<lyco:wash:1>"),
        ),
        ("<x:y>a cat<LoRA:ink>", "a cat", ("<x:y>", "<LoRA:ink>")),
        ("a cat <lora:ink:1> <lora:x:", "a cat <lora:ink:1> <lora:x:", ()),
    ],
)
def test_other_tags_of_a1111(prompt: str, rest: str, tags: tuple[str, ...]) -> None:
    assert split_other_tags(prompt) == (rest, tags)


@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_no_tag_reaches_the_text_encoder(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} must not contain <lora:…> here"):
        resolve(recipe(**{name: "a dog <lora:ink:1>"}), COMPONENTS)


def test_names_in_a_folder(folder: Path) -> None:
    assert lora_in(folder, "ink") == folder / "ink.safetensors"
    assert lora_in(folder, "frog") == lora_in(folder, "things/frog")
    assert lora_in(folder, "pickled.pt") == folder / "pickled.pt"
    with pytest.raises(ModelError, match=r"there is no LoRA 'inc' in .*: there (is ink|are ink)"):
        lora_in(folder, "inc")
    for name in ("../loras/ink", str(folder / "ink"), "/etc/passwd", "..", ""):
        with pytest.raises(ModelError, match="there is no LoRA"):
            lora_in(folder / "things", name)
    with pytest.raises(ModelError, match="lora_dir must be a folder"):
        lora_in(folder / "ink.safetensors", "ink")


def test_a_name_that_two_files_have(folder: Path, tmp_path: Path) -> None:
    for home in ("a", "b"):
        (tmp_path / home).mkdir()
        (tmp_path / home / "ink.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="2 LoRAs are called 'ink'"):
        lora_in(tmp_path, "ink")
    assert lora_in(tmp_path, "a/ink") == tmp_path / "a" / "ink.safetensors"


def test_names_that_another_system_wrote(tmp_path: Path) -> None:
    """Linked folders, backslashes, accents in one character or two, suffixes in capitals."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    home = tmp_path / "loras"
    home.mkdir()
    (home / "ext").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "back").symlink_to(home, target_is_directory=True)  # a circle
    one, two = "Caf\u00e9", "Cafe\u0301"
    for name in ("loras/Upper.SAFETENSORS", f"loras/{two}.safetensors", "real/deep/ink.pt"):
        (tmp_path / name).write_bytes(b"")
    ink = home / "ext" / "deep" / "ink.pt"
    for name in ("ink", "ext/deep/ink", "ext\\deep\\ink", "ext\\deep\\ink.pt", "ink.PT"):
        assert lora_in(home, name) == ink
    for name in ("Upper", "Upper.SAFETENSORS", "Upper.safetensors"):
        assert lora_in(home, name) == home / "Upper.SAFETENSORS"
    assert lora_in(home, one) == lora_in(home, two) == home / f"{two}.safetensors"
    (home / f"{one}.safetensors").write_bytes(b"")
    assert lora_in(home, one) == home / f"{one}.safetensors"  # the exact name comes first
    for name in ("..\\real\\deep\\ink", "upper", "ext\\ink"):
        with pytest.raises(ModelError, match="there is no LoRA"):
            lora_in(home, name)


def test_a_suffix_in_capitals_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    for name in ("ink.safetensors", "pickled.pt"):
        stem, _, suffix = name.partition(".")
        upper = tmp_path / f"{stem}.{suffix.upper()}"
        upper.write_bytes((folder / name).read_bytes())
        assert find_lora(str(upper)).sha256 == find_lora(str(folder / name)).sha256
    upper = tmp_path / "ink.SAFETENSORS"
    assert pixels(recipe(7, str(upper))) == pixels(recipe(7, str(folder / "ink.safetensors")))


def test_another_family_is_named(folder: Path, model: Path) -> None:
    checkpoint = find_checkpoint(str(model))
    check_lora(find_lora(str(folder / "ink.safetensors")), checkpoint)
    large = find_lora(str(folder / "large.safetensors"))
    with pytest.raises(ModelError, match=r"large\.safetensors is a LoRA for SDXL"):
        check_lora(large, checkpoint)
    for width, name in ((768, "Stable Diffusion 1.x"), (1024, "Stable Diffusion 2.x")):
        other = replace(large, widths={"unet": width})
        with pytest.raises(
            ModelError, match=f"is a LoRA for {name}: its unet has width {width}, that of"
        ):
            check_lora(other, checkpoint)


FOREIGN: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "model": ({"model.diffusion_model.x": (2, 2)}, r"is a whole model \(use it with --model\)"),
    "embedding": ({"emb_params": (1, 32)}, "is a learned embedding"),
    "bundle": (
        {"lora_unet_a.lora_down.weight": (2, 2), "bundle_emb.frog.emb_params": (1, 32)},
        "is a LoRA with learned embeddings bundled into it",
    ),
    "nothing": ({"weight": (2, 2)}, "is not a LoRA: its tensors are weight"),
    "oft": ({"lora_unet_a.oft_blocks": (2, 2, 2)}, "is an OFT, which sdloop does not support"),
    "glora": ({"lora_unet_a.a1.weight": (2, 2)}, "is a GLoRA, which sdloop does not support"),
    "ia3": ({"lora_unet_a.weight": (2,), "lora_unet_a.on_input": ()}, "is an IA3, which"),
    "half": (
        {"lora_unet_a.diff": (2, 2), "lora_unet_a.lokr_t1": (2, 2)},
        "is a LoRA in an unknown layout.*it has lora_unet_a.lokr_t1",
    ),
    "flux": (
        {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": (2, 2)},
        "is a LoRA for a transformer such as Flux",
    ),
    "peft": (
        {"base_model.model.down_blocks.0.to_q.lora_A.weight": (2, 2)},
        "is a LoRA in an unknown layout.*it has base_model",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_no_lora_is_called_by_its_name(kind: str, tmp_path: Path) -> None:
    shapes, message = FOREIGN[kind]
    file = tmp_path / "file.safetensors"
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, file)
    with pytest.raises(ModelError, match=message):
        find_lora(str(file))


def spoilt(change: Callable[[dict[str, torch.Tensor]], object], path: Path) -> str:
    tensors = kohya_tensors(lora_pairs(COMPONENTS), {})
    change(tensors)
    save_file(tensors, path)
    return str(path)


_Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update(
                {f"{_Q[:-1]}z.lora_{w}.weight": torch.zeros(4, 4) for w in ("down", "up")}
            ),
            "does not fit the model, which has no weights for lora_unet_.*to_z",
        ),
        (
            lambda t: t.update({f"{_Q}.lora_down.weight": torch.zeros(4, 63)}),
            r"to_q does not fit .*down \(4, 63\) and up \(64, 4\), for a weight of \(64, 64\)",
        ),
        (lambda t: t.pop(f"{_Q}.lora_up.weight"), "attn1.to_q is incomplete: it has no up"),
        (lambda t: t[f"{_Q}.lora_up.weight"].fill_(float("nan")), "holds NaN or infinity"),
    ],
)
def test_a_lora_with_a_tensor_that_does_not_fit(change: Any, message: str, tmp_path: Path) -> None:
    file = find_lora(spoilt(change, tmp_path / "spoilt.safetensors"))
    with pytest.raises(ModelError, match=message):
        adapted(COMPONENTS, [(file, 1.0)])


def test_a_file_that_is_damaged_or_not_there(folder: Path, tmp_path: Path) -> None:
    data = (folder / "ink.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-9])
    for name, message in {
        str(tmp_path / "cut.safetensors"): "is truncated",
        str(tmp_path / "none.safetensors"): "there is no file",
        "ink": "is neither a file nor a hub id like owner/name",
        str(tmp_path): r"holds 1 files|truncated",
    }.items():
        with pytest.raises(ModelError, match=message):
            find_lora(name)


def test_no_pickle_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    pair = {f"{_Q}.lora_{which}.weight": torch.zeros(4, 64) for which in ("down", "up")}
    torch.save({**pair, f"{_Q}.alpha": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError), pytest.warns(UserWarning):
        adapted(COMPONENTS, [(find_lora(str(tmp_path / "evil.pt")), 1.0)])
    assert not (tmp_path / "touched").exists()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_cached_lora_needs_no_network(cache: Path, folder: Path, tmp_path: Path) -> None:
    home = tmp_path / "repository"
    home.mkdir()
    data = load_file(folder / "ink.safetensors")
    save_file(data, home / "pytorch_lora_weights.safetensors")
    save_file(data, home / "other.safetensors")
    snapshot = forge_cache(cache, "org/ink", home)
    assert find_lora("org/ink").path == snapshot / "pytorch_lora_weights.safetensors"
    assert find_lora("org/ink/other.safetensors").path == snapshot / "other.safetensors"
    with pytest.raises(ModelError, match=r"org/ink/no\.safetensors is not in the cache"):
        find_lora("org/ink/no.safetensors")
    with pytest.raises(ModelError, match="`hf download org/none pytorch_lora_weights"):
        find_lora("org/none", may_fetch=False)


def test_a_lora_is_fetched_once_and_alone(
    cache: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with serve("org/loras", folder) as hub:
        files = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        found = find_lora("org/loras/things/frog.safetensors")
        assert find_lora("org/loras/things/frog.safetensors") == found
        assert hub.asked == ["things/frog.safetensors"]
        with pytest.raises(ModelError, match=r"org/loras has no file no\.safetensors on the hub"):
            find_lora("org/loras/no.safetensors")
