"""The flags that say where pictures go, and what is told of them; see ``options``."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.batch.command_settings import FORMATS
from sdloop.cli.options.groups import option
from sdloop.errors import SettingError
from sdloop.metadata.detail import METADATA
from sdloop.rules import check_local, check_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOptions:
    """Where pictures go, and what is told about them."""

    output: Annotated[
        str | None,
        option(
            "Output",
            "The picture's name, or a template for many: {seed} {index} {prompt} {steps} …",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None
    outdir: Annotated[
        str | None,
        option(
            "Output", "The folder for pictures that name themselves.", "--outdir", metavar="DIR"
        ),
    ] = None
    overwrite: Annotated[
        bool, option("Output", "Replace pictures that are there already.", "--overwrite")
    ] = False
    format: Annotated[str | None, option("Output", "Of the file.", "--format", choices=FORMATS)] = (
        None
    )
    metadata: Annotated[
        str | None,
        option("Output", "What the file tells about its making.", "--metadata", choices=METADATA),
    ] = None
    save_steps: Annotated[
        str | None,
        option(
            "Output",
            "A folder for what each picture looks like on its way: NAME-step-003.png is what the "
            "model takes it to be after step 3.",
            "--save-steps",
            metavar="DIR",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        option(
            "Output",
            "Save each N-th step, and the last. [dim]\\[default: 1][/dim]",
            "--save-every",
            metavar="N",
        ),
    ] = None
    preview: Annotated[
        bool,
        option("Output", "Show in the terminal what the picture looks like so far.", "--preview"),
    ] = False
    preview_vae: Annotated[
        int | None,
        option(
            "Output",
            "Every N steps, with all the detail that the VAE gives. Default: rough and cheap.",
            "--preview-vae",
            metavar="N",
        ),
    ] = None
    json: Annotated[
        bool, option("Output", "One line of JSON per picture instead of its path.", "--json")
    ] = False
    dry_run: Annotated[
        bool,
        option("Output", "Print the Recipes as JSON lines, and make nothing.", "--dry-run"),
    ] = False
    quiet: Annotated[
        bool, option("Output", "Say nothing but errors on stderr.", "--quiet", "-q")
    ] = False

    def __post_init__(self) -> None:
        if self.save_steps == "":
            raise SettingError("save_steps must not be empty")
        check_local("save_steps", self.save_steps)
        if self.save_every is not None:
            check_whole("save_every", self.save_every, 1, 1000)
            if self.save_steps is None:
                raise SettingError(
                    f"save_every means nothing without save_steps, got {self.save_every}"
                )
        if self.preview_vae is not None:
            check_whole("preview_vae", self.preview_vae, 1, 1000)
            if not self.preview:
                raise SettingError(
                    f"preview_vae means nothing without preview, got {self.preview_vae}"
                )
        if self.preview and self.quiet:
            raise SettingError("preview and quiet exclude each other")
