"""The number of steps for each strength, and strengths too small for one step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.errors import SettingError
from sdloop.recipe.strength import MAX_SCHEDULE, check_strength, first_step, schedule_for


@pytest.mark.parametrize(
    ("steps", "strength", "running"),
    [(25, 0.6, 15), (50, 0.58, 28), (25, 1.0, 25), (20, 0.05, 1), (3, 0.99, 2), (10, 0.0, 0)],
)
def test_a_strength_runs_the_last_whole_steps(steps: int, strength: float, running: int) -> None:
    assert steps - first_step(steps, strength) == running


@given(st.integers(1, 1000), st.floats(0.001, 1.0))
def test_a_schedule_for_exact_steps_runs_exactly_these(running: int, strength: float) -> None:
    steps = schedule_for(running, strength)
    assert steps - first_step(steps, strength) == running
    assert steps == running or int((steps - 1) * strength) < running  # and no shorter one does


@given(st.integers(1, MAX_SCHEDULE), st.booleans())
def test_the_least_strength_that_a_refusal_names_is_the_least(steps: int, exact: bool) -> None:
    with pytest.raises(SettingError, match="strength must be at least") as refused:
        check_strength(steps, 0.0, exact=exact)
    least = float(str(refused.value).split()[5])
    check_strength(steps, least, exact=exact)
    if least > 0.0001:
        with pytest.raises(SettingError):
            check_strength(steps, least - 0.0001, exact=exact)


def test_a_refusal_names_strength_rule_and_value() -> None:
    message = r"strength must be at least 0.04 for one of 25 steps to run, got 0.01"
    with pytest.raises(SettingError, match=message):
        check_strength(25, 0.01, exact=False)
    message = r"strength must be at least 0.025 for all of 25 exact steps to run, got 0.01"
    with pytest.raises(SettingError, match=message):
        check_strength(25, 0.01, exact=True)
