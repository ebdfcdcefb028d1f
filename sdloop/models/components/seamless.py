"""Seamless pictures: convolutions see what is at the opposite edge, where others see zeros."""

from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from diffusers.models.downsampling import Downsample2D
from torch import Tensor
from torch.nn import Conv2d
from torch.nn.functional import pad

from sdloop.models.components.load import Components
from sdloop.models.components.shell import shell
from sdloop.models.components.weights import Module

_twins: WeakKeyDictionary[Module, dict[str, Module]] = WeakKeyDictionary()


def seamless(components: Components, axes: str | None) -> Components:
    """``components`` whose pictures go on at the opposite edge along ``axes``: x, y or xy.

    All networks that see places do: UNet and VAE, a refiner's, and what other pictures are followed
    with. They share the weights of the originals, which do not change.
    """
    if axes is None:
        return components
    followers: dict[str, Any] = {
        name: tuple(one._replace(net=around(one.net, axes)) for one in getattr(components, name))
        for name in ("controlnets", "t2i_adapters")
    }
    return replace(
        components,
        unet=around(components.unet, axes),
        vae=around(components.vae, axes),
        refiner=None if components.refiner is None else seamless(components.refiner, axes),
        **followers,
    )


def around(module: Module, axes: str) -> Module:
    """A copy of ``module`` whose convolutions go around; the same one for each call."""
    known = _twins.setdefault(module, {})
    if axes not in known:
        known[axes] = _copied(module, axes)
    return known[axes]


def goes_around(module: Module) -> bool:
    """Whether ``module`` comes from ``around``."""
    return bool(getattr(module, "goes_around", False))


def _copied(module: Module, axes: str) -> Module:
    twin = shell(module)
    twin.goes_around = True
    for part in twin.modules():  # parents come before what they contain
        if isinstance(part, Downsample2D) and part.use_conv and part.padding == 0:
            part.padding = 1  # it would add zeros at the right and below
            part.conv.register_forward_pre_hook(_Padding(axes=axes, before=0, after=1))
        layer = getattr(part, "base_layer", part)  # a LoRA runs beside it, and sees the same
        if isinstance(layer, Conv2d) and layer.padding != (0, 0):
            side = int(layer.padding[0])
            layer.padding = (0, 0)
            part.register_forward_pre_hook(_Padding(axes=axes, before=side, after=side))
    return twin


@dataclass(frozen=True, kw_only=True, slots=True)
class _Padding:
    """Pads what a convolution sees: from the opposite edge along ``axes``, else with zeros."""

    axes: str
    before: int
    after: int

    def __call__(self, _: Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        seen, *rest = given
        sides = self.before, self.after
        for axis, widths in (("x", (*sides, 0, 0)), ("y", (0, 0, *sides))):
            seen = pad(seen, widths, mode="circular" if axis in self.axes else "constant")
        return seen, *rest
