"""Muon for convolutions and matrices, AdamW for all else, in one optimiser.

A matrix's momentum is replaced by the nearest one that stretches nothing, so that a step moves all
directions alike and not the few that every gradient agrees on. ``torch.optim.Muon`` takes matrices
alone; here a convolution is one, (outputs, inputs x height x width).

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the size of
the steps as in Liu et al. 2025 (arXiv:2502.16982), so that AdamW's rates suit.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Newton and Schulz' iteration, tuned for few rounds: singular values end within 0.7 and 1.2."""

SMALLEST = 16
"""A matrix with fewer rows or columns is AdamW's: what touches pixels or latents."""


def calculates_in_bf16(device: torch.device) -> bool:
    """Whether bf16 is fast there: a CPU without such arithmetic takes ten times as long for it, one
    with it a quarter."""
    return device.type != "cpu" or torch.cpu._is_avx512_bf16_supported()


def orthogonal(matrix: Tensor, rounds: int = 5) -> Tensor:
    """The matrix with its singular values brought near 1, in bf16 where that is fast, which is
    exact enough for it.

    >>> values = torch.linalg.svdvals(orthogonal(torch.diag(torch.tensor([3.0, 1.0, 0.2]))))
    >>> bool((0.6 < values).all() and (values < 1.3).all())
    True
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    x = x.bfloat16() if calculates_in_bf16(x.device) else x
    a, b, c = COEFFICIENTS
    for _ in range(rounds):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    x = x.to(matrix.dtype)
    return x.mT if tall else x


class Muon(torch.optim.AdamW):
    """``AdamW`` whose matrices are moved by Muon. All have the one rate of their group."""

    def __init__(self, trained: Iterable[nn.Parameter], *, momentum: float = 0.95) -> None:
        trained = list(trained)
        matrices = [one for one in trained if one.ndim > 1 and min(flat(one).shape) >= SMALLEST]
        chosen = {id(one) for one in matrices}
        others = [one for one in trained if id(one) not in chosen]
        super().__init__(
            [{"params": others}, {"params": matrices}],
            betas=(momentum, 0.99), weight_decay=0.01, fused=True,
        )  # fmt: skip

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of both halves; the groups are those of ``__init__``."""
        others, matrices = self.param_groups
        self.move(matrices)
        self.param_groups = [others]
        super().step()
        self.param_groups = [others, matrices]

    def move(self, group: dict) -> None:
        """Muon's step, with Nesterov's momentum."""
        momentum, rate = group["betas"][0], group["lr"]
        for weight in group["params"]:
            if weight.grad is None:
                continue
            state = self.state[weight]
            if not state:
                # AdamW asks every state for its step when it is loaded.
                state["step"] = torch.tensor(0.0)
                state["momentum"] = torch.zeros_like(weight)
            state["momentum"].lerp_(weight.grad, 1 - momentum)
            ahead = weight.grad.lerp(state["momentum"], momentum)
            update = orthogonal(flat(ahead))
            size = 0.2 * max(update.shape) ** 0.5
            weight.mul_(1 - rate * group["weight_decay"])
            weight.add_(update.view_as(weight), alpha=-rate * size)


def flat(weight: Tensor) -> Tensor:
    """As a matrix: (outputs, all else)."""
    return weight.flatten(1)
