"""The axes of the parity tables: families, schedulers, sigmas and spacings.

``FAMILIES`` and ``INPAINTING`` are tiny models of each family; a run of one proves all of it, from
the prompt to the pixels. ``STEPPING`` are the same with a formula instead of a UNet: they test
timesteps, sigmas, noise and guidance to the last bit as well, in a fifth of the time.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from helpers.tiny import tiny_inpaint, tiny_sd1, tiny_sd2, tiny_sdxl
from sdloop.models.components.load import Components
from sdloop.schedulers.names import SCHEDULERS, SIGMAS, SPACINGS

Make = Callable[[], Components]


def formula(
    sample: Tensor,
    timestep: Any,
    encoder_hidden_states: Tensor,
    *_: Any,
    class_labels: Tensor | None = None,
    added_cond_kwargs: Mapping[str, Tensor] | None = None,
    return_dict: bool = False,
    **__: Any,
) -> tuple[Tensor]:
    """A prediction that depends on all that a UNet is given, element by element."""
    given = [torch.as_tensor(timestep).float().reshape(-1, 1) / 300]
    # Sums that grow along each word: the whole of one is about 0, whatever the word.
    given.append(encoder_hidden_states.cumsum(dim=2).mean(dim=(1, 2)).reshape(-1, 1))
    given += [
        tensor.float().mean(dim=1, keepdim=True) for tensor in (added_cond_kwargs or {}).values()
    ]
    if class_labels is not None:
        given.append(class_labels.float().reshape(-1, 1) / 300)
    beside = sample[:, 4:].sum(dim=1, keepdim=True)
    angle = sum(given).reshape(-1, 1, 1, 1)
    return (torch.sin(2 * sample[:, :4] + angle + beside),)


def with_formula(components: Components) -> Components:
    """The same parts, but for the UNet, of which nothing but its config is left."""
    unet = copy.copy(components.unet)
    unet.forward = formula
    return replace(components, unet=unet)


def _stepping(families: Mapping[str, Make]) -> dict[str, Make]:
    return {
        name: functools.cache(lambda make=make: with_formula(make()))
        for name, make in families.items()
    }


FAMILIES = {name: functools.cache(make) for name, make in
            {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}.items()}  # fmt: skip
INPAINTING = {f"{name}-inpainting": functools.cache(functools.partial(tiny_inpaint, name))
              for name in FAMILIES}  # fmt: skip
STEPPING = _stepping(FAMILIES)
STEPPING_INPAINTING = _stepping(INPAINTING)
EDM = [name for name in SCHEDULERS if name.startswith("edm")]
DESCENTS = [name for name, entry in SCHEDULERS.items() if "descent" in entry.knows]
NAMES = [name for name in SCHEDULERS if name not in (*EDM, *DESCENTS)]
SPACED = [(name, sigmas) for name in NAMES if "sigmas" in SCHEDULERS[name].knows
          for sigmas in SIGMAS]  # fmt: skip
PACED = [(name, spacing) for name in NAMES if "spacing" in SCHEDULERS[name].knows
         for spacing in SPACINGS]  # fmt: skip
