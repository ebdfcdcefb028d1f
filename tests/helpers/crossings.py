"""The axes of the parity tables: families, schedulers, sigmas and spacings.

``FAMILIES`` and ``INPAINTING`` are tiny models of each family; a run of one proves all of it, from
the prompt to the pixels. ``STEPPING`` are the same with a formula instead of a UNet, and with parts
that compute a result only once: they test timesteps, sigmas, noise and guidance to the last bit as
well, in a tenth of the time. Where schedulers are crossed with models, each runs one whole model.
"""

import copy
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.made_once import make_schedulers_once
from helpers.tiny import tiny_inpaint, tiny_sd1, tiny_sd2, tiny_sdxl
from sdloop.models.components.load import Components
from sdloop.schedulers.names import SCHEDULERS, SIGMAS, SPACINGS

Make = Callable[[], Components]

make_schedulers_once()


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
    """The same parts, but for the UNet, of which hardly more than its config is left.

    What one pipeline has encoded or decoded, the other need not compute again.
    """
    unet = copy.copy(components.unet)
    unet.forward = formula
    # What its device and dtype are read from, and the width of SDXL's sizes.
    unet._modules = {
        name: module
        for name, module in unet._modules.items()
        if name in ("conv_out", "add_embedding")
    }
    vae = copy.copy(components.vae)
    vae._modules = vae._modules | {
        name: _remembering(getattr(vae, name)) for name in ("encoder", "decoder")
    }
    texts = {
        name: _remembering(encoder)
        for name in ("text_encoder", "text_encoder_2")
        if (encoder := getattr(components, name)) is not None
    }
    return replace(components, unet=unet, vae=vae, **texts)


def _remembering(module: Any) -> Any:
    """A copy that computes only once what equal arguments give; whoever asks gets a copy of it."""
    known: dict[Any, Any] = {}
    module, compute = copy.copy(module), module.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        key = (*map(_key, arguments), *((name, _key(options[name])) for name in sorted(options)))
        if key not in known:
            with torch.no_grad():
                known[key] = compute(*arguments, **options)
        return copy.deepcopy(known[key])

    module.forward = forward
    return module


def _key(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.dtype, value.detach().contiguous().numpy().tobytes()
    return repr(value)


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


def whole_or_stepping(
    scheduler: str, model: str, whole: Mapping[str, Make], stepping: Mapping[str, Make]
) -> Components:
    """The whole model for one of ``whole`` in turn, the same with a formula for the others."""
    mine = list(whole)[list(SCHEDULERS).index(scheduler) % len(whole)]
    return (whole if model == mine else stepping)[model]()


def in_turn(pairs: Sequence[tuple[str, str]]) -> list[Any]:
    """``pairs`` of a scheduler and one of its settings: the first scheduler's first pair, the
    second's second and so on run always, the others with ``-m slow``."""
    settings: dict[str, list[str]] = {}
    for scheduler, setting in pairs:
        settings.setdefault(scheduler, []).append(setting)
    quick = {
        (name, known[place % len(known)]) for place, (name, known) in enumerate(settings.items())
    }
    return [pytest.param(*pair, marks=() if pair in quick else pytest.mark.slow) for pair in pairs]


EDM = [name for name in SCHEDULERS if name.startswith("edm")]
DESCENTS = [name for name, entry in SCHEDULERS.items() if "descent" in entry.knows]
NAMES = [name for name in SCHEDULERS if name not in (*EDM, *DESCENTS)]
SPACED = [(name, sigmas) for name in NAMES if "sigmas" in SCHEDULERS[name].knows
          for sigmas in SIGMAS]  # fmt: skip
PACED = [(name, spacing) for name in NAMES if "spacing" in SCHEDULERS[name].knows
         for spacing in SPACINGS]  # fmt: skip
