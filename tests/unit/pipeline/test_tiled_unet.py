"""A UNet applied in windows: their positions, and no visible borders."""

import itertools
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sdxl
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from sdloop.conditioning.encode import condition
from sdloop.pipeline import tiled_unet as windows
from sdloop.pipeline.tiled_unet import Windows, bump, spans
from sdloop.recipe.recipe import Recipe


class Seeing:
    """A UNet that predicts what ``network`` says, and remembers what it was shown."""

    def __init__(self, network: Any, dtype: torch.dtype = torch.float32) -> None:
        self.network = network
        self.dtype = dtype
        self.seen: list[tuple[int, ...]] = []
        self.inputs: list[dict[str, Any]] = []

    def __call__(self, sample: Tensor, timestep: Any, **inputs: Any) -> tuple[Tensor]:
        self.seen.append(tuple(sample.shape))
        self.inputs.append(inputs)
        return (self.network(sample),)


def predict(unet: Any, sample: Tensor, **inputs: Any) -> Tensor:
    with torch.no_grad():
        prediction: Tensor = unet(sample, torch.tensor(10.0), **inputs, return_dict=False)[0]
    return prediction


@given(
    length=st.integers(1, 300), side=st.integers(1, 100), overlap=st.sampled_from([0, 0.25, 0.5])
)
def test_windows_cover_all_and_overlap_enough(length: int, side: int, overlap: float) -> None:
    found = spans(length, side, overlap)
    assert (found[0][0], found[-1][1]) == (0, length)
    assert {last - first for first, last in found} == {min(side, length)}
    shared = [one[1] - two[0] for one, two in itertools.pairwise(found)]
    assert all(count >= int(side * overlap) or count == side - 1 for count in shared)
    stride = max(1, round(side * (1 - overlap)))
    assert len(found) <= 1 + -(-max(0, length - side) // stride)  # and no more than are needed


def test_one_window_is_the_unet_to_the_last_bit() -> None:
    components = tiny_sdxl()
    recipe = Recipe(prompt="a cat", seed=1, width=32, height=24)
    inputs = condition(components, recipe).unet_inputs(guided=True)
    sample = torch.randn(2, 4, 12, 16)
    whole = predict(components.unet, sample, **inputs)
    assert torch.equal(predict(Windows(unet=components.unet, side=16), sample, **inputs), whole)
    assert not torch.equal(predict(Windows(unet=components.unet, side=8), sample, **inputs), whole)


def test_what_looks_at_one_place_alone_sees_the_same_through_windows() -> None:
    torch.manual_seed(0)
    pointwise = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Tanh(), nn.Conv2d(8, 4, 1))
    sample = torch.randn(2, 4, 37, 50)
    through = predict(Windows(unet=Seeing(pointwise), side=16), sample)
    torch.testing.assert_close(through, predict(Seeing(pointwise), sample), atol=1e-6, rtol=1e-5)


def test_all_channels_are_cropped_and_all_else_is_the_same_in_each_window() -> None:
    seeing = Seeing(lambda sample: sample[:, :4] + sample[:, 4:5])
    unet = Windows(unet=seeing, side=16)
    sample, words = torch.randn(2, 9, 24, 40), torch.randn(2, 77, 8)
    through = predict(unet, sample, encoder_hidden_states=words, class_labels=torch.tensor([1, 1]))
    torch.testing.assert_close(through, sample[:, :4] + sample[:, 4:5])
    assert seeing.seen == [(2, 9, 16, 16)] * (2 * 3)  # one at a time
    assert all(inputs["encoder_hidden_states"] is words for inputs in seeing.inputs)


def test_half_precision_is_averaged_in_float32() -> None:
    seeing = Seeing(lambda sample: torch.full_like(sample, 1.001), torch.bfloat16)
    unet = Windows(unet=seeing, side=8)
    assert unet.dtype == torch.bfloat16
    through = predict(unet, torch.zeros(1, 4, 20, 20, dtype=torch.bfloat16))
    assert through.dtype == torch.float32
    torch.testing.assert_close(through, torch.ones(1, 4, 20, 20))


def blurring() -> Any:
    """Convolutions with zeros around: what they say near a border is wrong, as a UNet's is."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(4, 4, 5, padding=2), nn.Tanh()] * 3
    return nn.Sequential(*layers)


def test_the_middle_of_a_window_counts_for_more_than_its_border(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a window gets wrong near its border shows less than in a plain mean."""
    network, sample = blurring(), torch.randn(4, 4, 64, 64)
    whole = predict(Seeing(network), sample)

    def wrong() -> float:
        through = predict(Windows(unet=Seeing(network), side=24), sample)
        return float((through - whole).abs().mean())

    weighted = wrong()
    monkeypatch.setattr(windows, "bump", lambda side, device: torch.ones(side))
    assert weighted < 0.6 * wrong()


def test_a_bump_is_highest_in_the_middle_and_nowhere_zero() -> None:
    for side in (1, 2, 7, 64):
        weights = bump(side, torch.device("cpu"))
        assert weights.shape == (side,)
        assert weights.min() > 0
        torch.testing.assert_close(weights, weights.flip(0))
        assert (weights[: (side + 1) // 2].diff() > 0).all()


def test_a_real_unet_runs_through_windows_of_any_size() -> None:
    unet = tiny_sd1().unet
    words = torch.randn(1, 77, 32)
    for side in (8, 9, 15):
        through = predict(
            Windows(unet=unet, side=side), torch.randn(1, 4, 21, 34), encoder_hidden_states=words
        )
        assert through.shape == (1, 4, 21, 34)
        assert through.isfinite().all()
