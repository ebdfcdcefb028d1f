"""The flags of ``sdloop verify``."""

from sdloop.cli.options.fields import flag, options, own
from sdloop.cli.options.model import COMPILED, DEVICE, DTYPE, LORA_DIR, MEMORY
from sdloop.cli.options.rerun import RUN_CODE
from sdloop.rules import check_whole


@options(panel="Output")
class VerifyOptions:
    """Where to compute, and what counts as equal."""

    model: str | None = flag("model")
    lora_dir: str | None = LORA_DIR
    run_code: bool = RUN_CODE
    device: str | None = DEVICE
    dtype: str | None = DTYPE
    memory: str | None = MEMORY
    compile: str | None = COMPILED
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
