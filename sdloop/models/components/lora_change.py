"""What a file of a LoRA, in the widest sense, adds to the weight and the bias of one layer.

- LoRA: ``up @ down`` (Hu et al. 2021, arXiv:2106.09685). LoCon is the same for convolutions, also
  with a third matrix ``mid`` between the two (Tucker decomposition).
- LoHa: the product, element by element, of two of these (Hyeon-Woo et al. 2021, arXiv:2108.06098).
- LoKr: the Kronecker product of two matrices (Yeh et al. 2023, arXiv:2309.14859).
- Full: the difference itself, as LyCORIS and the tools that compare two models write it.
- DoRA: one of these, and then each output's weights, or each input's, are scaled to a norm that was
  trained (Liu et al. 2024, arXiv:2402.09353).

The first three are multiplied by ``alpha / rank``, once. lycoris-lora 4.1 merges LoHa and LoKr with
its square, but trains and runs them with ``alpha / rank``, as ComfyUI and A1111 do.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.components.weights import Module


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What one file changes in one layer.

    name
        File and layer, for messages.
    tensors
        By the kinds of ``lora_names``, without the alpha.
    alpha
        ``None`` stands for the rank.
    """

    name: str
    tensors: Mapping[str, Tensor]
    alpha: float | None

    def pair(self, layer: Module) -> tuple[Tensor, Tensor] | None:
        """The two matrices of an ordinary LoRA, which can run beside the layer, in its shapes.

        ``None`` for every other change.
        """
        if set(self.tensors) != {"down", "up"} or not _runs_pairs(layer):
            return None
        down, up, weight = self.tensors["down"], self.tensors["up"], layer.weight
        rank, kernel = down.shape[0], weight.shape[2:]
        shapes = (rank, *weight.shape[1:]), (weight.shape[0], rank, *(1 for _ in kernel))
        if not rank or (down.numel(), up.numel()) != tuple(map(math.prod, shapes)):
            raise self._misfit(weight)
        # A 1x1 convolution and a linear layer hold the same numbers.
        return down.reshape(shapes[0]), up.reshape(shapes[1])

    def on_weight(self, weight: Tensor) -> Tensor:
        """What is added to ``weight`` at scale 1: in float32, on its device and in its shape."""
        tensors = {kind: tensor.to(weight.device) for kind, tensor in self.tensors.items()}
        tensors.pop("diff_b", None)
        norms = {kind: tensors.pop(kind) for kind in _NORMS if kind in tensors}
        if not tensors and not norms:
            return torch.zeros_like(weight, dtype=torch.float32)
        try:
            matrix, rank = _matrix(tensors)
            added = matrix.reshape(weight.shape) * self.strength(rank)
        except KeyError as error:
            raise ModelError(f"{self.name} is incomplete: it has no {error.args[0]}") from error
        except RuntimeError as error:
            raise self._misfit(weight) from error
        if len(matrix) != len(weight):
            raise self._misfit(weight)
        if tensors:
            raise ModelError(f"{self.name} mixes two kinds of LoRA: {', '.join(self.tensors)}")
        for kind, norm in norms.items():
            whole = weight.float()
            added = _scaled(whole + added, self._norms(kind, norm, weight)) - whole
        return added

    def on_bias(self, bias: Tensor | None) -> Tensor | None:
        """What is added to a layer's ``bias``, in its shape; ``None`` for nothing."""
        if "diff_b" not in self.tensors:
            return None
        added = self.tensors["diff_b"]
        if bias is None or bias.numel() != added.numel():
            raise ModelError(
                f"{self.name} does not fit the model: a bias of {tuple(added.shape)}, for a layer "
                f"with {'no bias' if bias is None else tuple(bias.shape)}"
            )
        return added.to(bias.device).reshape(bias.shape)

    def strength(self, rank: int | None, scale: float = 1.0) -> float:
        """``scale * alpha / rank``, rounded in this order as in peft; the scale without a rank."""
        return scale if self.alpha is None or rank is None else scale * self.alpha / rank

    def _norms(self, kind: str, norm: Tensor, weight: Tensor) -> Tensor:
        """The trained norms in a shape that goes with ``weight``: (out, 1, …) or (1, in, …).

        peft's are always those of the outputs, LyCORIS' may be those of the inputs.
        """
        out, into = (
            (-1, 1, *(1 for _ in weight.shape[2:])),
            (1, -1, *(1 for _ in weight.shape[2:])),
        )
        of_inputs = kind == "dora_scale" and norm.ndim > 1 and norm.shape[0] == 1 != len(weight)
        if norm.numel() != weight.shape[1 if of_inputs else 0]:
            raise self._misfit(weight)
        return norm.reshape(into if of_inputs else out)

    def _misfit(self, weight: Tensor) -> ModelError:
        shapes = " and ".join(f"{kind} {tuple(t.shape)}" for kind, t in self.tensors.items())
        return ModelError(
            f"{self.name} does not fit the model: {shapes}, for a weight of {tuple(weight.shape)}"
        )


_NORMS = ("dora_scale", "magnitude")


def _runs_pairs(layer: Module) -> bool:
    if isinstance(layer, torch.nn.Conv2d):
        return layer.groups == 1
    return isinstance(layer, torch.nn.Linear)


def _matrix(tensors: dict[str, Tensor]) -> tuple[Tensor, int | None]:
    """The sum of a layer's changes before its alpha, and its rank; takes what it uses.

    Raises ``KeyError`` for a tensor that is missing, ``RuntimeError`` for shapes that do not match.
    """
    take = tensors.pop
    if "diff" in tensors:
        return take("diff"), None
    if "down" in tensors or "up" in tensors:
        down, up = take("down"), take("up")
        if "mid" in tensors:
            return _product(up.flatten(1).T, down.flatten(1), take("mid")), len(down)
        return _product(up, down), len(down)
    if any(kind.startswith("hada") for kind in tensors):
        rank = len(tensors["hada_w1_b"])
        first, second = (
            _product(take(f"{half}_a"), take(f"{half}_b"), take(core, None))
            for half, core in (("hada_w1", "hada_t1"), ("hada_w2", "hada_t2"))
        )
        return first * second, rank
    ranks = [len(tensors[kind]) for kind in ("lokr_w2_b", "lokr_w1_b") if kind in tensors]
    first, second = (
        take(half).flatten(1)
        if half in tensors
        else _product(take(f"{half}_a"), take(f"{half}_b"), take(core, None))
        for half, core in (("lokr_w1", ""), ("lokr_w2", "lokr_t2"))
    )
    product: Tensor = torch.kron(first, second.contiguous())
    return product, ranks[0] if ranks else None


def _product(a: Tensor, b: Tensor, core: Tensor | None = None) -> Tensor:
    """The matrix (out, in * kernel) of two thin ones, with a ``core`` of (rank, rank, kernel)."""
    if core is None:
        return a.flatten(1) @ b.flatten(1)
    product: Tensor = torch.einsum("ij...,ip,jr->pr...", core, a, b)
    return product.flatten(1)


def _scaled(weight: Tensor, norms: Tensor) -> Tensor:
    """``weight``, with the weights of each output, or of each input, scaled to these norms."""
    axes = [axis for axis in range(weight.ndim) if norms.shape[axis] == 1]
    own: Tensor = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
    return weight * (norms / (own + torch.finfo(weight.dtype).eps))
