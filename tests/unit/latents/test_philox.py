"""Philox and Box-Muller give the numbers of ``torch.randn`` on a CUDA device."""

import math

import numpy as np
import pytest
import torch

from sdloop.latents.noise import noise, seeded_generators, slerp, varied
from sdloop.latents.philox import Philox, from_philox, philox4x32

# Counter and key → words: "philox4x32 10" in the file ``kat_vectors`` of Random123.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "wanted"), KNOWN)
def test_the_words_of_random123(counter: str, key: str, wanted: str) -> None:
    a, b, c, d = (np.array([word], dtype=np.uint64) for word in words(counter))
    first, second = words(key)
    found = philox4x32((a, b, c, d), (first, second))
    assert [int(word[0]) for word in found] == words(wanted)


def test_the_numbers_of_cuda() -> None:
    """As printed in A1111's ``modules/rng_philox.py`` for seed 0."""
    wanted = [
        *(-0.92466259, -0.42534415, -2.6438457, 0.14518388),
        *(-0.12086647, -0.57972564, -0.62285122, -0.32838709),
        *(-1.07454231, -0.36314407, -1.67105067, 2.26550497),
    ]
    found = Philox(0).normal((3, 4))
    assert found.dtype == torch.float32
    assert [round(number, 7) for number in found.flatten().tolist()] == pytest.approx(wanted)
    assert torch.equal(noise(seeded_generators([0], "philox"), 3, 1, 4)[0, :, 0], found)


def test_each_number_has_a_stream_and_each_tensor_its_next() -> None:
    long, short = Philox(5), Philox(5)
    assert torch.equal(long.normal((2, 50))[0], short.normal((50,)))
    second = long.normal((3, 3))
    assert torch.equal(second, short.normal((3, 3)))
    assert not torch.equal(second, Philox(5).normal((3, 3)))
    assert (long.drawn, short.drawn) == (2, 2)


def test_all_64_bits_of_a_seed_count() -> None:
    seeds = [0, 1, 2**32, 2**63, 2**64 - 1]
    drawn = [Philox(seed).normal((4,)) for seed in seeds]
    assert all(not torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    # By hand: the two halves of the seed are the key.
    zero = np.zeros(1, dtype=np.uint64)
    first, second = (int(word[0]) for word in philox4x32((zero,) * 4, (0, 1))[:2])
    u, v = (first + 0.5) / 2**32, (second + 0.5) / 2**32
    by_hand = math.sqrt(-2 * math.log(u)) * math.sin(2 * math.pi * v)
    assert drawn[2][0].item() == pytest.approx(by_hand, rel=1e-5)


def test_they_are_standard_normal() -> None:
    drawn = Philox(3).normal((200_000,)).double()
    assert drawn.mean().abs() < 0.01
    assert (drawn.std() - 1).abs() < 0.01
    assert (drawn.abs() < 1).double().mean().item() == pytest.approx(0.6827, abs=0.005)


def test_a_variation_is_mixed_as_in_a1111() -> None:
    first, second = Philox(1).normal((1, 4, 8, 8)), Philox(2).normal((1, 4, 8, 8))
    found = varied(first, 2, 0.3, "philox")
    torch.testing.assert_close(found, slerp(first, second, 0.3, dim=-2))
    assert not torch.allclose(found, varied(first, 2, 0.3), atol=0.1)


def test_torch_draws_from_it_inside_a_function_only() -> None:
    @from_philox
    def drawn(generator: torch.Generator) -> torch.Tensor:
        return torch.randn(2, 3, generator=generator)

    @from_philox
    def untouched() -> torch.Tensor:
        return torch.randn((2, 3))

    assert torch.equal(drawn(Philox(7)), Philox(7).normal((2, 3)))
    # Of another generator only the seed counts, as for torchsde's.
    assert torch.equal(drawn(torch.Generator().manual_seed(7)), Philox(7).normal((2, 3)))
    assert untouched().shape == (2, 3)
    plain = torch.Generator().manual_seed(7)
    assert not torch.equal(torch.randn(2, 3, generator=plain), Philox(7).normal((2, 3)))
