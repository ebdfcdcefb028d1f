"""The flags for where pictures are written, and what is printed about them; see ``options``."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.batch.command_settings import FORMATS
from sdloop.cli.options.groups import option
from sdloop.errors import SettingError
from sdloop.metadata.detail import METADATA
from sdloop.rules import check_local, check_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOptions:
    """Where pictures are written, and what is printed about them."""

    output: Annotated[
        str | None,
        option(
            "Output",
            "File name, or a template. {seed}, {index}, {prompt}, {steps} … are filled in.",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None
    outdir: Annotated[
        str | None,
        option(
            "Output",
            "Folder for pictures with automatic names. An address such as s3://bucket/folder is "
            "one too.",
            "--outdir",
            metavar="DIR",
        ),
    ] = None
    overwrite: Annotated[bool, option("Output", "Overwrite existing pictures.", "--overwrite")] = (
        False
    )
    format: Annotated[str | None, option("Output", "File format.", "--format", choices=FORMATS)] = (
        None
    )
    metadata: Annotated[
        str | None,
        option(
            "Output",
            "How much the file says about how it was made.",
            "--metadata",
            choices=METADATA,
        ),
    ] = None
    save_steps: Annotated[
        str | None,
        option(
            "Output",
            "Folder for a picture of each step. NAME-step-003.png is the clean picture that the"
            " model predicts after step 3.",
            "--save-steps",
            metavar="DIR",
        ),
    ] = None
    save_every: Annotated[
        int | None,
        option(
            "Output",
            "With --save-steps: save only every N-th step, and the last. [default: 1]",
            "--save-every",
            metavar="N",
        ),
    ] = None
    preview: Annotated[
        bool,
        option("Output", "Show the unfinished picture in the terminal.", "--preview"),
    ] = False
    preview_vae: Annotated[
        int | None,
        option(
            "Output",
            "With --preview: decode with the VAE, in full detail, every N steps. Default: a "
            "rough preview that costs almost no time.",
            "--preview-vae",
            metavar="N",
        ),
    ] = None
    json: Annotated[
        bool, option("Output", "Print one line of JSON per picture, not its path.", "--json")
    ] = False
    dry_run: Annotated[
        bool,
        option("Output", "Print the settings as JSON; make no pictures.", "--dry-run"),
    ] = False
    quiet: Annotated[
        bool, option("Output", "Print nothing but errors to stderr.", "--quiet", "-q")
    ] = False

    def __post_init__(self) -> None:
        if self.save_steps == "":
            raise SettingError("save_steps must not be empty")
        check_local("save_steps", self.save_steps)
        if self.save_every is not None:
            check_whole("save_every", self.save_every, 1, 1000)
            if self.save_steps is None:
                raise SettingError(f"save_every needs save_steps, got save_every {self.save_every}")
        if self.preview_vae is not None:
            check_whole("preview_vae", self.preview_vae, 1, 1000)
            if not self.preview:
                raise SettingError(f"preview_vae needs preview, got preview_vae {self.preview_vae}")
        if self.preview and self.quiet:
            raise SettingError("preview cannot be combined with quiet")
