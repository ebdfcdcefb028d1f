"""The flags that only ``sdloop animate`` has, in groups like those of ``options``."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.groups import option
from sdloop.metadata.detail import METADATA


@dataclass(frozen=True, kw_only=True, slots=True)
class MovingOptions:
    """How the frames follow each other."""

    seed: Annotated[
        str | None,
        option(
            "Moving",
            "One, whose noise every frame gets. Default: a random one, which is told.",
            "--seed",
            metavar="N",
        ),
    ] = None
    carry: Annotated[
        float | None,
        option(
            "Moving",
            "0 to 1: how much of the last result is in what the next frame starts from, which "
            "calms the flicker. [dim]\\[default: 0][/dim]",
            "--carry",
            metavar="X",
        ),
    ] = None
    fps: Annotated[
        float | None,
        option(
            "Moving",
            "Frames a second. Default: as in the file that was given, and 12 for pictures.",
            "--fps",
            metavar="X",
        ),
    ] = None
    loop: Annotated[
        int | None,
        option("Moving", "How often it runs; 0, the default, is for ever.", "--loop", metavar="N"),
    ] = None
    save_frames: Annotated[
        str | None,
        option(
            "Moving",
            "Write each frame into this folder too, with its Recipe. Those that are there and "
            "agree are not made again, so that what was interrupted can be taken up.",
            "--save-frames",
            metavar="DIR",
        ),
    ] = None
    config: Annotated[
        str | None,
        option("Moving", "Settings in TOML; flags win.", "--config", metavar="FILE.toml"),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MovingOutput:
    """Where the file goes, and what is told about it."""

    output: Annotated[
        str | None,
        option(
            "Output",
            "The file's name: .gif, .webp, .png, or .mp4 with the extra `video`.",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None
    overwrite: Annotated[
        bool, option("Output", "Replace a file, and frames, that are there.", "--overwrite")
    ] = False
    metadata: Annotated[
        str | None,
        option("Output", "What the file tells about its making.", "--metadata", choices=METADATA),
    ] = None
    json: Annotated[
        bool, option("Output", "A line of JSON instead of the file's path.", "--json")
    ] = False
    quiet: Annotated[
        bool, option("Output", "Say nothing but errors on stderr.", "--quiet", "-q")
    ] = False
