"""The settings of a command that do not change pixels: device, output, batch size …"""

import dataclasses
import re
from dataclasses import dataclass

from sdloop.errors import SettingError
from sdloop.metadata.detail import METADATA, Metadata
from sdloop.models.compile_names import check_compile
from sdloop.models.memory_names import check_memory
from sdloop.places.path import location
from sdloop.rules import check_choice, check_text, check_whole

DTYPES = ("auto", "fp16", "bf16", "tf32", "fp32", "fp8")
FORMATS = ("png", "jpg", "webp")
SAFETY = ("off", "flag")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandSettings:
    """How pictures are made and where they are saved; nothing here changes their content.

    ``count`` is here because it decides the number of Recipes, and is not part of one.
    """

    device: str = "auto"
    dtype: str = "auto"
    memory: str = "auto"
    compile: str = "off"
    batch_size: int = 1
    lora_dir: str | None = None
    clip_model: str = "mini"
    count: int = 1
    output: str | None = None
    outdir: str | None = None
    format: str | None = None
    metadata: Metadata = "full"
    safety: str = "off"

    def __post_init__(self) -> None:
        for name in ("device", "dtype", "memory", "compile", "clip_model", "metadata", "safety"):
            check_text(name, getattr(self, name), optional=False)
        for name in ("lora_dir", "output", "outdir", "format"):
            check_text(name, getattr(self, name), optional=True)
        for name in ("lora_dir", "clip_model", "output", "outdir", "format"):
            if getattr(self, name) == "":
                raise SettingError(f"{name} must not be empty")
        for place in (self.output, self.outdir):
            if place is not None:
                location(place)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,4})?", self.device):
            raise SettingError(
                f"device must be auto, cuda, cuda:1, mps or cpu, got {self.device!r}"
            )
        check_choice("dtype", self.dtype, DTYPES)
        check_memory(self.memory, self.device)
        check_compile(self.compile, device=self.device, dtype=self.dtype, memory=self.memory)
        check_choice("format", self.format, FORMATS)
        check_choice("metadata", self.metadata, METADATA)
        check_choice("safety", self.safety, SAFETY)
        check_whole("batch_size", self.batch_size, 1, 4096)
        check_whole("count", self.count, 1, 2**32)


COMMAND_FIELDS = tuple(f.name for f in dataclasses.fields(CommandSettings))
