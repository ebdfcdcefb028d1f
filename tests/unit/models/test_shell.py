"""Modules that share another's weights, as LoRAs, PAG and SLG need them."""

from typing import Any

import torch

from sdloop.models.components.shell import on_cpu, shell


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return self.inner(given) * 2


def test_a_copy_is_compiled_where_the_original_is_with_the_same_backend() -> None:
    """Else pictures with a LoRA would be as slow as if nothing were compiled, without a word."""
    compiled: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        compiled.append(len(inputs))
        return graph.forward

    net = torch.nn.Sequential(Layer(), torch.nn.ReLU())
    net[0].compile(backend=backend, fullgraph=True)
    twin, given = shell(net), torch.randn(1, 2)
    assert twin[0].inner.weight.data_ptr() == net[0].inner.weight.data_ptr()
    assert twin[1]._compiled_call_impl is None
    made = twin(given)
    assert len(compiled) == 1
    assert torch.equal(made, net(given))


def test_a_copy_on_the_cpu_leaves_the_original_as_it_is() -> None:
    half = torch.nn.Linear(2, 2).to(torch.bfloat16)
    copy = on_cpu(half)
    assert (copy.weight.dtype, half.weight.dtype) == (torch.float32, torch.bfloat16)
    assert torch.equal(copy.weight, half.weight.float())
