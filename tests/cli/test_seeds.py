"""--seed and --count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.batch.seeds import MAX_PICTURES, count_from, parse_seeds, random_seed
from sdloop.errors import SettingError
from sdloop.recipe.limits import MAX_SEED

SEEDS = st.integers(0, MAX_SEED)


@given(st.lists(SEEDS, min_size=1, max_size=20, unique=True))
def test_a_list_of_seeds_is_read_in_its_order(seeds: list[int]) -> None:
    assert parse_seeds(",".join(map(str, seeds))) == seeds


@given(SEEDS, st.integers(1, 100))
def test_both_ends_belong_to_a_range(first: int, length: int) -> None:
    last = min(first + length, MAX_SEED)
    assert parse_seeds(f"{first}..{last}") == list(range(first, last + 1))


@given(st.text("0123456789., -+xe_٣", max_size=12))
def test_any_text_is_seeds_or_refused(text: str) -> None:
    try:
        seeds = parse_seeds(text)
    except SettingError:
        return
    assert seeds
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "must be like 4"),
        ("-1", "for a random seed leave it out"),
        ("4.5", "must be like 4"),
        ("4...7", "must be like 4"),
        ("4,,7", "must be like 4"),
        ("9..1", "an ascending range"),
        ("4,1..4", "got 4 twice"),
        (str(MAX_SEED + 1), "at most 4294967295"),
        ("9" * 5000, "at most 4294967295"),
        (f"0..{MAX_SEED}", f"at most {MAX_PICTURES} pictures"),
    ],
)
def test_what_is_refused_and_why(text: str, complaint: str) -> None:
    with pytest.raises(SettingError, match=complaint):
        parse_seeds(text)


def test_a_count_goes_on_from_its_seed() -> None:
    assert count_from([7], 4) == [7, 8, 9, 10]
    assert count_from([4, 7], 1) == [4, 7]


@pytest.mark.parametrize("seeds, count", [([4, 7], 2), ([MAX_SEED], 2), ([0], 0), ([0], 2**40)])
def test_a_count_never_wraps_or_contradicts(seeds: list[int], count: int) -> None:
    with pytest.raises(SettingError):
        count_from(seeds, count)


@given(st.integers(1, MAX_PICTURES))
def test_a_random_seed_leaves_room_for_its_count(count: int) -> None:
    assert count_from([random_seed(count)], count)
