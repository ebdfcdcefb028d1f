"""What counts as running out of memory."""

import gc
import weakref

import pytest
import torch
from helpers.pretended_cuda import OUT_OF_MEMORY

from sdloop.errors import OutOfMemory
from sdloop.models.memory import is_out_of_memory, memory_errors
from sdloop.recipe.recipe import Recipe

RECIPE = Recipe(prompt="a cat", seed=1, width=32, height=32)


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_torch_and_its_libraries_run_out_of_memory_in_their_own_words(kind: str) -> None:
    assert is_out_of_memory(OUT_OF_MEMORY[kind]())


def test_the_cpu_has_words_of_its_own() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm`"),
    ],
)
def test_other_errors_of_the_device_are_none(error: RuntimeError) -> None:
    assert not is_out_of_memory(error)


def test_the_error_keeps_no_tensors_of_the_attempt() -> None:
    seen = []

    def attempt() -> None:
        tensor = torch.zeros(3)
        seen.append(weakref.ref(tensor))
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemory) as caught, memory_errors(RECIPE, 2):
        attempt()
    gc.collect()
    assert seen[0]() is None
    assert str(caught.value).startswith("out of memory for 2 picture(s) of 32x32 at once")
