"""The flags of ``sdloop verify``."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.model import Compile, Device, Dtype, LoraDir, Memory, Model
from sdloop.cli.options.rerun import RunCode
from sdloop.rules import check_whole


@options(panel="Output")
class VerifyOptions:
    """Where to compute, and what counts as equal."""

    model: Model = None
    lora_dir: LoraDir = None
    run_code: RunCode = False
    device: Device = None
    dtype: Dtype = None
    memory: Memory = None
    compile: Compile = None
    tolerance: int | None = own(
        "Accept differences of up to N of 255 levels. Pictures from batches may differ by "
        "1. [default: 0]",
        metavar="N",
    )
    json: bool = own("Print one line of JSON per picture.")
    quiet: bool = own("Print nothing but errors to stderr.", "-q")

    def __post_init__(self) -> None:
        if self.tolerance is not None:
            check_whole("tolerance", self.tolerance, 0, 255)
