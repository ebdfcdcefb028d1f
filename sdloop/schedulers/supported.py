"""Check that a scheduler supports the settings and the model that it is used with."""

import importlib.util
from collections.abc import Mapping
from typing import Any

from sdloop.errors import SettingError
from sdloop.schedulers.names import AYS, BY_STRENGTH, SCHEDULERS


def known_to(scheduler: str | None, config: Mapping[str, Any]) -> frozenset[str]:
    """The settings that the named scheduler supports, or the one in the checkpoint's config."""
    if scheduler is not None:
        return SCHEDULERS[scheduler].knows
    kinds = (e for e in SCHEDULERS.values() if e.class_name == config["_class_name"])
    return next((entry.knows for entry in kinds), frozenset())


# The names of settings in `knows`, if they differ.
_SETTINGS = {
    "timestep_spacing": "spacing",
    "learning_rate": "descent",
    "stop_noise": "descent",
    "weight_decay": "decay",
    "eta_noise_seed_delta": "step_noise",
}


def is_known(name: str, knows: frozenset[str]) -> bool:
    """Whether a scheduler that ``knows`` these settings supports the field ``name``."""
    return _SETTINGS.get(name, name) in knows


def check_known(scheduler: str, knows: frozenset[str], settings: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` for a given setting that ``scheduler`` would ignore."""
    for name, value in settings.items():
        setting = _SETTINGS.get(name, name)
        if name == "sigmas" and value == AYS:
            setting = "ays"
        if name == "timestep_spacing" and value == BY_STRENGTH:
            setting = "by_strength"
        if value is not None and setting not in knows:
            able = [entry.name for entry in SCHEDULERS.values() if setting in entry.knows]
            raise SettingError.of(
                name,
                f"has no effect with the scheduler {scheduler}, got {value!r}; "
                f"it works with {', '.join(able)}",
            )


def check_suits(scheduler: str, knows: frozenset[str], config: Mapping[str, Any]) -> None:
    """Raise ``SettingError`` if ``scheduler`` cannot run a UNet trained as ``config`` says."""
    # EDM schedulers scale the UNet's input and output as in EDM training: for EDM models only.
    trained_edm = str(config["_class_name"]).startswith("EDM")
    if ("edm" in knows) != trained_edm:
        raise SettingError.of(
            "scheduler",
            f"must {'' if trained_edm else 'not '}be an EDM scheduler for this model, "
            f"which was{'' if trained_edm else ' not'} trained that way, got {scheduler!r}",
        )
    if config.get("prediction_type") == "sample" and "sample" not in knows:
        able = [entry.name for entry in SCHEDULERS.values() if "sample" in entry.knows]
        raise SettingError.of(
            "scheduler",
            f"must support this model's prediction_type 'sample', got {scheduler!r}; "
            f"supported by: {', '.join(able)}",
        )


def check_packages(class_name: str, sigmas: str | None) -> None:
    """Raise ``SettingError`` if a scheduler's package is not installed; imports nothing."""
    needs = {
        "scipy": class_name == "LMSDiscreteScheduler" or sigmas == "beta",
        "torchsde": class_name == "DPMSolverSDEScheduler",
    }
    for package, needed in needs.items():
        if needed and importlib.util.find_spec(package) is None:
            what = "sigmas 'beta'" if sigmas == "beta" else f"the scheduler {class_name}"
            raise SettingError(
                f"{what} needs {package}: pip install 'sdloop[schedulers]'",
                field="sigmas" if sigmas == "beta" else None,
            )
