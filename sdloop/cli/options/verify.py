"""The flags of ``sdloop verify``."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option
from sdloop.cli.options.model import Compile, Device, Dtype, LoraDir, Memory, Model
from sdloop.cli.options.rerun import RunCode
from sdloop.rules import check_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyOptions:
    """Where to compute, and what counts as equal."""

    model: Model = None
    lora_dir: LoraDir = None
    run_code: RunCode = False
    device: Device = None
    dtype: Dtype = None
    memory: Memory = None
    compile: Compile = None
    tolerance: Annotated[
        int | None,
        option(
            "Output",
            "Accept differences of up to N of 255 levels. Pictures from batches may differ by "
            "1. [default: 0]",
            "--tolerance",
            metavar="N",
        ),
    ] = None
    json: Annotated[bool, option("Output", "Print one line of JSON per picture.", "--json")] = False
    quiet: Annotated[
        bool, option("Output", "Print nothing but errors to stderr.", "--quiet", "-q")
    ] = False

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            check_whole("tolerance", self.tolerance, 0, 255)
