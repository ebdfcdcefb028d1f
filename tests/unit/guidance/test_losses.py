"""Losses: their syntax and their values."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from sdloop.errors import FileError, SettingError
from sdloop.guidance.losses import losses
from sdloop.recipe.loss_grammar import PLAIN, parse_loss
from sdloop.recipe.loss_source import source_of


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("blue", "blue=50"),
        ("blue=200", "blue=200"),
        ("brightness = -5e1", "brightness=-50"),
        ("palette=#112233, gold", "palette=#112233,#ffd700:200"),
        ("palette=#112233:70", "palette=#112233:70"),
        ("like=a,b.png", "like=a,b.png:100"),
        ("like=a.png,ssim:9", "like=a.png,ssim:9"),
        ("like=a.png,mask=m.png", "like=a.png,mask=m.png:100"),
        ("like=C:\\a.png,ssim,mask=m.png:1.5", "like=C:\\a.png,ssim,mask=m.png:1.5"),
        ("clip=a red sky, 16:9", "clip=a red sky, 16:9"),
        ("clip=a red sky, 16:9:300", "clip=a red sky, 16:9:300"),
        ("my.losses:warm", "my.losses:warm=100"),
        ("my_losses:warm=-3", "my_losses:warm=-3"),
    ],
)
def test_a_loss_has_one_form(text: str, written: str) -> None:
    assert str(parse_loss(text)) == written
    assert parse_loss(written) == parse_loss(text)


@given(st.sampled_from(PLAIN), st.floats(-1e6, 1e6))
def test_scales_stay_what_they_are(name: str, scale: float) -> None:
    loss = parse_loss(f"{name}={scale:.12g}")
    assert parse_loss(str(loss)) == loss


@given(st.text(max_size=30))
def test_any_text_is_a_loss_or_refused(text: str) -> None:
    try:
        loss = parse_loss(text)
    except SettingError as error:
        assert "losses" in str(error)
    else:
        assert parse_loss(str(loss)) == loss


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "purple=3",
            "'purple' is not a loss; the losses are red, green, blue, brightness, palette, ",
        ),
        ("bleu=3", "'bleu' is not a loss; did you mean 'blue'"),
        ("blue=much", "the scale of a loss in losses must be a number, got 'much'"),
        ("blue=", "the scale of a loss in losses must be a number, got ''"),
        ("blue=1e9", "the scale of a loss in losses must be between -1e"),
        ("palette", "palette needs something after =, as in 'palette="),
        ("palette=#12", "must be an opaque colour"),
        ("like=:200", "like needs something after ="),
        ("", "'' is not a loss"),
    ],
)
def test_what_is_no_loss_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_loss(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(("losses", "the scale of a loss in losses"))


def test_a_module_is_found_without_being_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError", encoding="utf-8")
    (package / "warm.py").write_text("raise RuntimeError", encoding="utf-8")
    assert source_of("mine.warm") == package / "warm.py"
    for name in ("mine.cold", "nowhere", "mine.warm.more"):
        with pytest.raises(FileError, match="losses: no module"):
            source_of(name)
    with pytest.raises(FileError, match="must be a Python file"):
        source_of("math")


def test_each_picture_has_its_own_number() -> None:
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    target, mask = pictures[:1] * 0.5, torch.ones(1, 1, 16, 16)
    colours = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    for loss in (
        lambda p: losses.channel_level(p, 0),
        losses.brightness,
        lambda p: losses.palette(p, colours),
        lambda p: losses.unlike(p, target, mask),
        lambda p: losses.dissimilar(p, target, mask),
        losses.asymmetry,
        losses.roughness,
    ):
        together = loss(pictures)
        assert together.shape == (3,)
        apart = torch.cat([loss(one) for one in pictures.split(1)])
        torch.testing.assert_close(together, apart)


def test_only_what_is_in_the_mask_counts() -> None:
    one, other = torch.rand(2, 1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 24, 24)
    mask[..., :12] = 1
    mixed = torch.where(mask.bool(), one, other)
    assert losses.unlike(mixed, one, mask) == 0
    assert losses.unlike(mixed, other, mask) > 0.1
    mask[..., 6:] = 0  # a window reaches five pixels further
    assert losses.dissimilar(mixed, one, mask).abs() < 1e-5
    assert losses.dissimilar(mixed, other, mask) > 0.3


def test_structural_similarity_is_that_of_the_formula() -> None:
    """At one place, from the window's own weighted moments."""
    one, other = torch.rand(2, 1, 3, 11, 11, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(1, 1, 11, 11)
    mask[..., 5, 5] = 1
    bell = torch.exp(-(torch.arange(11.0) - 5).square() / 4.5)
    window = torch.outer(bell, bell) / bell.sum() ** 2
    expected = []
    for x, y in zip(one[0], other[0], strict=True):
        mx, my = (window * x).sum(), (window * y).sum()
        vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
        cov = (window * (x - mx) * (y - my)).sum()
        small, smaller = 0.03**2, 0.01**2
        luminance = (2 * mx * my + smaller) / (mx**2 + my**2 + smaller)
        expected.append(luminance * (2 * cov + small) / (vx + vy + small))
    similarity = 1 - losses.dissimilar(one, other, mask)
    torch.testing.assert_close(similarity, torch.stack(expected).mean()[None], rtol=1e-4, atol=1e-5)


def test_smooth_pictures_are_less_rough() -> None:
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    assert losses.roughness(functional.avg_pool2d(picture, 3, 1, 1)) < losses.roughness(picture)
