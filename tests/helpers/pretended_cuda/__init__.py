"""A pretended CUDA device on a CPU build of torch: real numbers, and a device that is checked.

::

    with PretendedCuda() as gpu:
        components = load_components(folder, device="cuda", dtype="bf16")
        pictures = generate(components, recipe)
    gpu.waits  # {(kind, place): count}: where the CPU would wait for the GPU

To Python a ``Pretended`` tensor is on cuda:0. To torch's C++ it is on the CPU, so that no driver is
asked and autograd works; its numbers are in a CPU tensor. Every operation passes the device, which

* refuses what CUDA refuses: operands on two devices (except CPU tensors without dimensions), a
  generator of the other device, results written to the other device, ``.numpy()``;
* lets the CPU's kernel compute, which refuses the same dtypes, as float32 input of bf16 layers;
* counts where the CPU would wait: reads of numbers, copies down, copies up;
* counts the bytes of living tensors, and can run out of memory, at a limit or at any operation.

Its limits. It cannot show what only hardware has: CUDA's own rounding (so equality with the CPU's
pictures proves the order of operations, not CUDA's digits), speed, streams, the allocator's
fragmentation, workspaces of cuDNN and cuBLAS, kernels that are not deterministic. A copy up counts
as waiting unless it is ``non_blocking``; that such memory is pinned, and that nothing writes to it
too early, it cannot see. C++ functions that make new tensors from an operand's options make them
on the CPU and are refused, although CUDA takes them (``functions.py`` has a rule for ``quantile``).
Modules whose parameters get another ``.data`` (group offload) are beyond it. There is one device.
"""

from helpers.pretended_cuda.device import PretendedCuda
from helpers.pretended_cuda.memory import OUT_OF_MEMORY
from helpers.pretended_cuda.tensor import Pretended

__all__ = ["OUT_OF_MEMORY", "Pretended", "PretendedCuda"]
