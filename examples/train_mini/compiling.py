"""``torch.compile``, and the check without which it must not be trusted.

On a CPU, torch 2.13's layout optimisation gives everything before an ``Upsample2D`` a gradient of
exactly zero, without a word: with a batch of 8 for the VAE, with channels-last bf16 for the UNet.
The loss still falls, for what comes after learns. So that optimisation is off, and a run compares
gradients at its own batch, type and layout before its first step.
"""

import torch
import torch._inductor.config
from loading import Tensors
from log import Losses
from torch import Tensor, nn

CLOSE = 0.05
"""How far compiled gradients may be from eager ones, as a share of those: bf16 rounds a percent
or two of them away, a part of the model without gradients is far more."""

FELT = 1e-4
"""A tensor's gradient counts if its norm is at least this share of the whole's: below, it is
rounding (a bias before a normalisation has none but that)."""


def compile_model(model: nn.Module) -> nn.Module:
    """The model compiled, with the layouts that it has."""
    torch._inductor.config.layout_optimization = False
    compiled: nn.Module = torch.compile(model)
    return compiled


def gradients(model: nn.Module, trained: list[nn.Parameter], inputs: Tensors) -> list[Tensor]:
    """The gradients of the model's loss, one for each trained tensor, which are then cleared."""
    losses: Losses = model(*inputs)
    losses["loss"].backward()
    found = [torch.zeros_like(one) if one.grad is None else one.grad for one in trained]
    for one in trained:
        one.grad = None
    return found


def norm(tensors: list[Tensor]) -> float:
    """Of all of them as one vector."""
    return torch.stack([one.float().norm() for one in tensors]).norm().item()


def check_gradients(
    model: nn.Module, compiled: nn.Module, trained: list[nn.Parameter], inputs: Tensors
) -> None:
    """End the program if the compiled model learns something else from these inputs than the model
    itself does."""
    ours, theirs = (gradients(one, trained, inputs) for one in (model, compiled))
    whole = norm(ours)
    apart = norm([one - other for one, other in zip(ours, theirs, strict=True)]) / whole
    lost = sum(
        not other.any() and one.float().norm().item() > FELT * whole
        for one, other in zip(ours, theirs, strict=True)
    )
    if lost or not apart <= CLOSE:
        raise SystemExit(
            f"--compile must be left out: {lost} of {len(ours)} tensors get no gradient when "
            f"compiled, and the gradients differ by {apart:.1%} (at most {CLOSE:.0%} may)"
        )
    print(f"compiled and eager gradients differ by {apart:.2%}", flush=True)
