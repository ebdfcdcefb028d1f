"""Streams of the pretended device: one may use a tensor of another only after waiting for it."""

from typing import Any

from helpers.pretended_cuda.tensor import Pretended


class Stream:
    """Work that runs beside that of other streams; ``torch.cuda.Stream``.

    Its tensors are ready for the usual stream once that has waited for it, and their memory stays
    theirs only if they were recorded there.
    """

    def __init__(self, device: Any = None, *, is_usual: bool = False) -> None:
        self.device, self.is_usual = device, is_usual
        self.unready: list[Any] = []

    def make(self, tensor: Any) -> None:
        if not self.is_usual:
            tensor.unready, tensor.unrecorded = True, True
            self.unready.append(tensor)

    def wait_stream(self, other: "Stream") -> None:
        for tensor in other.unready:
            tensor.unready = False
        other.unready = []

    def may_use(self, tensor: Any) -> bool:
        """Whether the kernels of this stream may use it."""
        if not self.is_usual:
            return True
        return not isinstance(tensor, Pretended) or not (tensor.unready or tensor.unrecorded)
