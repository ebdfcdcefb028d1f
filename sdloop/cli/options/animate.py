"""The flags that only ``sdloop animate`` has, in groups like those of ``options``."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option
from sdloop.metadata.detail import METADATA


@dataclass(frozen=True, kw_only=True, slots=True)
class MovingOptions:
    """How frames depend on each other, and how fast they play."""

    seed: Annotated[
        str | None,
        option(
            "Moving",
            "Random seed; all frames get the same noise. Default: a random one, which is printed.",
            "--seed",
            metavar="N",
        ),
    ] = None
    carry: Annotated[
        float | None,
        option(
            "Moving",
            "Share of a frame that the next one starts from. 0 to 1; more means less flicker. "
            "[default: 0]",
            "--carry",
            metavar="X",
        ),
    ] = None
    fps: Annotated[
        float | None,
        option(
            "Moving",
            "Frames per second. Default: as in the input file, or 12 for a folder of pictures.",
            "--fps",
            metavar="X",
        ),
    ] = None
    loop: Annotated[
        int | None,
        option(
            "Moving",
            "How often the animation plays; 0 is for ever. Default: 0.",
            "--loop",
            metavar="N",
        ),
    ] = None
    save_frames: Annotated[
        str | None,
        option(
            "Moving",
            "Folder for each frame, as a picture of its own. After an interruption, the same "
            "command uses the frames that are already there.",
            "--save-frames",
            metavar="DIR",
        ),
    ] = None
    config: Annotated[
        str | None,
        option(
            "Moving", "TOML file with settings; flags override it.", "--config", metavar="FILE.toml"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MovingOutput:
    """Where the file is written, and what is printed about it."""

    output: Annotated[
        str | None,
        option(
            "Output",
            "File name: .gif, .webp, .png, or .mp4 (needs the extra `video`).",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None
    overwrite: Annotated[
        bool, option("Output", "Overwrite an existing file and existing frames.", "--overwrite")
    ] = False
    metadata: Annotated[
        str | None,
        option(
            "Output",
            "How much the file says about how it was made.",
            "--metadata",
            choices=METADATA,
        ),
    ] = None
    json: Annotated[
        bool, option("Output", "Print one line of JSON, not the file's path.", "--json")
    ] = False
    quiet: Annotated[
        bool, option("Output", "Print nothing but errors to stderr.", "--quiet", "-q")
    ] = False
