"""The flags for the model, device and precision; see ``options``."""

from sdloop.batch.command_settings import DTYPES, SAFETY
from sdloop.cli.options.fields import options, own
from sdloop.errors import SettingError
from sdloop.models.compile_names import COMPILE
from sdloop.models.memory_names import MEMORY_CHOICES
from sdloop.recipe.fields_picture import MODEL
from sdloop.rules import check_choice
from sdloop.worker.options import MODES, seconds

LORA_DIR = own("Folder in which LoRAs are looked up by name.", panel="Model", metavar="DIR")
DEVICE = own(
    "Device: auto, cuda, cuda:1, mps or cpu.",
    panel="Model",
    metavar="NAME",
    choices=("auto", "cuda", "mps", "cpu"),
)
DTYPE = own(
    "Precision of the weights. fp8 stores the UNet's in 8 bits, and computes in auto.",
    panel="Model",
    choices=DTYPES,
)
MEMORY = own(
    "Weights that are on the GPU: full is all of them, low the UNet while it runs, lowest one "
    "layer at a time, which is slower. auto: as many as fit. The pictures are the same.",
    panel="Model",
    choices=MEMORY_CHOICES,
)
COMPILED = own(
    "Compile the UNet for more speed. It takes minutes the first time. regional: only its "
    "transformer blocks. whole: all of it. The last bits of pixels may differ.",
    panel="Model",
    choices=COMPILE,
)


@options(MODEL)
class WeightsOptions:
    """The model, device and precision."""

    lora_dir: str | None = LORA_DIR
    device: str | None = DEVICE
    dtype: str | None = DTYPE
    memory: str | None = MEMORY


@options(panel="Model")
class WarmOptions(WeightsOptions):
    """The model, and whether a worker keeps it loaded for the next call."""

    worker: str | None = own(
        "Keep the model loaded for the next calls. A background process does this. auto: "
        "start one when a second call comes within two minutes. Default: SDLOOP_WORKER, "
        "then auto.",
        choices=MODES,
    )
    keep_alive: str | None = own(
        "How long the worker stays after its last call: 90s, 5m, 2h; 0 is not at all, -1 is"
        " for ever. Default: SDLOOP_KEEP_ALIVE, then 5m.",
        metavar="TIME",
    )
    compile: str | None = COMPILED
    safety: str | None = own(
        "Ask the model's own safety checker. Pictures that it flags are named on stderr, and "
        "saved all the same.",
        choices=SAFETY,
    )

    def __post_init__(self) -> None:
        check_choice("worker", self.worker, MODES)
        if self.keep_alive is not None and seconds(self.keep_alive) is None:
            raise SettingError(
                f"keep_alive must be like 90s, 5m, 2h or -1, got {self.keep_alive!r}"
            )


@options(panel="Model")
class ModelOptions(WarmOptions):
    """The model, and how many pictures it makes at once."""

    batch_size: int | None = own(
        "Pictures made at the same time. Faster on a GPU; the noise of each picture stays "
        "the same.",
        metavar="N",
    )
