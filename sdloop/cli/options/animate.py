"""The flags that only ``sdloop animate`` has, in groups like those of ``options``."""

from sdloop.cli.options.fields import options, own
from sdloop.metadata.detail import METADATA


@options(panel="Moving")
class MovingOptions:
    """How frames depend on each other, and how fast they play."""

    seed: str | None = own(
        "Random seed; all frames get the same noise. Default: a random one, which is printed.",
        metavar="N",
    )
    carry: float | None = own(
        "How much of each frame is mixed into the next. 0 to 1; more means less flicker. "
        "[default: 0]",
        metavar="X",
    )
    fps: float | None = own(
        "Frames per second. Default: as in the input file, or 12 for a folder of pictures.",
        metavar="X",
    )
    loop: int | None = own("How often the animation plays; 0 is for ever. Default: 0.", metavar="N")
    save_frames: str | None = own(
        "Folder for each frame, as a picture of its own. After an interruption, the same "
        "command uses the frames that are already there.",
        metavar="DIR",
    )
    config: str | None = own("TOML file with settings; flags override it.", metavar="FILE.toml")


@options(panel="Output")
class MovingOutput:
    """Where the file is written, and what is printed about it."""

    output: str | None = own(
        "File name: .gif, .webp, .png, or .mp4 (needs the extra `video`).", "-o", metavar="FILE"
    )
    overwrite: bool = own("Overwrite an existing file and existing frames.")
    metadata: str | None = own("How much of the settings is saved in the file.", choices=METADATA)
    json: bool = own("Print one line of JSON, not the file's path.")
    quiet: bool = own("Print nothing but errors to stderr.", "-q")
