"""Read stable-diffusion.cpp's metadata: A1111's text, with different names for some settings.

Source: ``get_image_params`` in leejet/stable-diffusion.cpp, ``examples/common/common.cpp``. The
sampler and the schedule are one item ("Sampler: euler_a karras"), and numbers have six digits.
Newer versions repeat everything at the end as ``SDCPP: {json}``, which is not needed here.
"""

from dataclasses import replace

from sdloop.metadata.a1111 import Parameters
from sdloop.metadata.a1111_read import settings_of
from sdloop.metadata.foreign.value import Foreign, sampler

# These are read elsewhere, or have no effect with SD models.
_NO_SETTINGS = frozenset({"Version", "Guidance", "RNG", "Sampler", "Model", "Eta", "SDCPP"})


def is_sdcpp(parameters: Parameters) -> bool:
    return parameters.fields.get("Version", "").startswith("stable-diffusion.cpp")


def read_sdcpp(parameters: Parameters) -> Foreign:
    """Read the settings from a text for which ``is_sdcpp`` is true.

    Its RNG "cuda" gives the noise of torch's CUDA generator, "cpu" that of torch's CPU generator.
    """
    fields = parameters.fields
    plain = {key: text for key, text in fields.items() if key not in _NO_SETTINGS}
    named = {"cuda": "GPU", "cpu": "CPU"}
    if "RNG" in fields:
        plain["RNG"] = named.get(fields["RNG"], fields["RNG"])
    settings, left_out = settings_of(replace(parameters, fields=plain))
    method, _, schedule = fields.get("Sampler", "").partition(" ")
    found = _sampler(method, schedule)
    if found is None:
        left_out.append(f"Sampler: {fields.get('Sampler', '')}")
    return Foreign(
        source="sd.cpp",
        settings={**settings, **(found or {})},
        fields=fields,
        left_out=tuple(left_out),
        model=fields.get("Model") or fields.get("Unet"),
    )


def _sampler(method: str, schedule: str) -> dict[str, str] | None:
    """Convert the names of ``sample_method_to_str`` and ``scheduler_to_str`` in sd.cpp's source."""
    if method == "ddim_trailing" and schedule in ("", "discrete"):
        return {"scheduler": "ddim", "timestep_spacing": "trailing"}
    found = sampler(method)
    if found is None or schedule in ("", "discrete"):
        return found
    return {**found, "sigmas": schedule} if schedule in ("karras", "exponential") else None
