"""Each error about a setting carries the setting's name."""

from typing import Any

import pytest

from sdloop.errors import SettingError
from sdloop.recipe.recipe import Recipe


@pytest.mark.parametrize(
    "settings, field",
    [
        ({"steps": 0}, "steps"),
        ({"guidance": "apg:eta=7"}, "guidance"),
        ({"losses": ["blue=1e9"]}, "losses"),
        ({"loras": [{"name": "ink", "scale": 1e9}]}, "loras"),
        ({"prompt": "a (red:1.2.3) frog"}, "prompt"),
        ({"embeddings": [""]}, "embeddings"),
        ({"mix_weights": [1, 2]}, "mix_weights"),
        ({"scheduler": "eulr"}, "scheduler"),
        ({"scheduler": "ddim", "sigmas": "ays"}, "sigmas"),
        ({"background": "no colour"}, "background"),
        ({"timesteps": [5, 9], "scheduler": "ddpm"}, "timesteps"),
        ({"variation_seed": 4}, "variation_seed"),
    ],
)
def test_each_error_is_about_its_setting(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingError) as caught:
        Recipe(**{"prompt": "a cat", "seed": 4, **settings})
    assert caught.value.field == field
