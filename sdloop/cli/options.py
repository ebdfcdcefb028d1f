"""Every flag of the commands, defined once, in groups that a command takes whole.

A command names the groups as its parameters and `with_options` shows typer each field as an
option of its own::

    @with_options
    def txt2img(prompt: PromptArgument = None, *, recipe: RecipeOptions, model: ModelOptions): ...

A field's name is the name of the setting everywhere else: in a Recipe, in TOML, in a picture's
metadata. ``None`` means that the flag was not given, so that a settings file may decide.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import typer

from sdloop.cli.settings import DTYPES, FORMATS, METADATA, CommandSettings
from sdloop.recipe import Recipe
from sdloop.scheduler_names import SCHEDULERS, SIGMAS, SPACINGS

_DEFAULTS = {
    field.name: field.default
    for room in (Recipe, CommandSettings)
    for field in dataclasses.fields(room)
}


def _option(
    panel: str, text: str, *flags: str, metavar: str = "", choices: Sequence[str] = ()
) -> Any:
    """A flag under the heading ``panel``; the last of ``flags`` that is long names the setting."""
    name = next(flag for flag in flags if flag.startswith("--")).strip("-").replace("-", "_")
    default = _DEFAULTS.get(name)
    shown = "" if default is None or default is False else f" [dim]\\[default: {default:}][/dim]"
    return typer.Option(
        *flags,
        metavar=metavar or "|".join(choices) or None,
        help=text + shown,
        rich_help_panel=panel,
        show_default=False,
        autocompletion=(lambda: list(choices)) if choices else None,
    )


PromptArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[PROMPT]",
        help='What the picture shows; "-" reads it from standard input.',
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeOptions:
    """What decides the pixels, model and seed apart."""

    negative_prompt: Annotated[
        str | None,
        _option(
            "Picture", "What it shall not show.", "--negative-prompt", "-n", metavar="TEXT"
        ),
    ] = None
    steps: Annotated[
        int | None, _option("Picture", "How many steps the loop takes.", "--steps", metavar="N")
    ] = None
    guidance_scale: Annotated[
        float | None,
        _option(
            "Picture",
            "How hard the prompt pulls: 1 is off and twice as fast.",
            *("--guidance-scale", "-g", "--cfg-scale", "--cfg", "--scale"),
            metavar="X",
        ),
    ] = None
    guidance_rescale: Annotated[
        float | None,
        _option(
            "Picture",
            "0 to 1: give guided pictures their natural contrast back.",
            "--guidance-rescale",
            metavar="X",
        ),
    ] = None
    width: Annotated[
        int | None,
        _option("Picture", "In pixels. Default: the model's own.", "--width", "-W", metavar="N"),
    ] = None
    height: Annotated[
        int | None,
        _option("Picture", "In pixels. Default: the model's own.", "--height", "-H", metavar="N"),
    ] = None
    size: Annotated[
        str | None,
        _option("Picture", "Both at once, as in 512x768.", "--size", metavar="WxH"),
    ] = None
    scheduler: Annotated[
        str | None,
        _option(
            "Scheduler",
            'Such as euler, dpmpp-2m or "DPM++ 2M Karras". Default: the model\'s own.',
            *("--scheduler", "--sampler"),
            metavar="NAME",
            choices=tuple(SCHEDULERS),
        ),
    ] = None
    sigmas: Annotated[
        str | None,
        _option("Scheduler", "How noise levels are spaced.", "--sigmas", choices=SIGMAS),
    ] = None
    timestep_spacing: Annotated[
        str | None,
        _option(
            "Scheduler", "How timesteps are spaced.", "--timestep-spacing", choices=SPACINGS
        ),
    ] = None
    eta: Annotated[
        float | None,
        _option(
            "Scheduler", "0 to 1: the noise that DDIM and TCD add back.", "--eta", metavar="X"
        ),
    ] = None
    clip_skip: Annotated[
        int | None,
        _option(
            "Scheduler",
            "2 reads the text encoder's last layer but one.",
            "--clip-skip",
            metavar="N",
        ),
    ] = None
    original_size: Annotated[
        str | None,
        _option(
            "SDXL only", "What the model is told the photo's size was.", "--original-size",
            metavar="WxH",
        ),
    ] = None
    crop_top_left: Annotated[
        str | None,
        _option(
            "SDXL only", "And where it was cropped.", "--crop-top-left", metavar="TOP,LEFT"
        ),
    ] = None
    target_size: Annotated[
        str | None,
        _option("SDXL only", "And what size it became.", "--target-size", metavar="WxH"),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedOptions:
    """Which pictures of one Recipe, and which Recipes."""

    seed: Annotated[
        str | None,
        _option(
            "Prompts and seeds",
            "4, or 4,7,9, or 1..100. Default: a random one, which is told.",
            "--seed",
            metavar="SEEDS",
        ),
    ] = None
    count: Annotated[
        int | None,
        _option(
            "Prompts and seeds", "As many pictures: seed, seed + 1 …", "--count", metavar="N"
        ),
    ] = None
    from_file: Annotated[
        str | None,
        _option(
            "Prompts and seeds",
            'One prompt a line, "-" for standard input: text, text with kohya\'s options '
            "(--n --w --h --s --d --l --f), or JSON as --dry-run prints it.",
            "--from-file",
            metavar="FILE",
        ),
    ] = None
    config: Annotated[
        str | None,
        _option(
            "Prompts and seeds", "Settings in TOML; flags win.", "--config", metavar="FILE.toml"
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """Which weights."""

    model: Annotated[
        str | None,
        _option(
            "Model",
            "Hub id, diffusers folder or .safetensors file. "
            "Default: SDLOOP_MODEL, then `sdloop config`, then the embedded mini.",
            *("--model", "-m"),
            metavar="MODEL",
            choices=("mini",),
        ),
    ] = None
    revision: Annotated[
        str | None,
        _option("Model", "Branch, tag or commit on the hub.", "--revision", metavar="NAME"),
    ] = None
    variant: Annotated[
        str | None,
        _option("Model", 'Of the weight files, such as "fp16".', "--variant", metavar="NAME"),
    ] = None
    vae: Annotated[
        str | None, _option("Model", "Another VAE than the model's.", "--vae", metavar="MODEL")
    ] = None
    device: Annotated[
        str | None,
        _option(
            "Model", "auto, cuda, cuda:1, mps or cpu.", "--device",
            metavar="NAME", choices=("auto", "cuda", "mps", "cpu"),
        ),
    ] = None
    dtype: Annotated[
        str | None, _option("Model", "Precision of the weights.", "--dtype", choices=DTYPES)
    ] = None
    batch_size: Annotated[
        int | None,
        _option(
            "Model",
            "Pictures made at once: faster on a GPU, the same noise.",
            "--batch-size",
            metavar="N",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputOptions:
    """Where pictures go, and what is told about them."""

    output: Annotated[
        str | None,
        _option(
            "Output",
            "The picture's name, or a template for many: {seed} {index} {prompt} {steps} …",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None
    outdir: Annotated[
        str | None,
        _option("Output", "The folder for pictures that name themselves.", "--outdir",
                metavar="DIR"),
    ] = None
    overwrite: Annotated[
        bool, _option("Output", "Replace pictures that are there already.", "--overwrite")
    ] = False
    format: Annotated[
        str | None, _option("Output", "Of the file.", "--format", choices=FORMATS)
    ] = None
    metadata: Annotated[
        str | None,
        _option("Output", "What the file tells about its making.", "--metadata",
                choices=METADATA),
    ] = None
    json: Annotated[
        bool, _option("Output", "One line of JSON per picture instead of its path.", "--json")
    ] = False
    dry_run: Annotated[
        bool,
        _option("Output", "Print the Recipes as JSON lines, and make nothing.", "--dry-run"),
    ] = False
    quiet: Annotated[
        bool, _option("Output", "Say nothing but errors on stderr.", "--quiet", "-q")
    ] = False


def given(*groups: Any) -> dict[str, Any]:
    """The flags that were given, under their settings' names."""
    values = {
        field.name: getattr(group, field.name)
        for group in groups
        for field in dataclasses.fields(group)
    }
    return {name: value for name, value in values.items() if value is not None}


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Let typer see the fields of a command's option groups as parameters of the command.

    typer reads a signature, where it has no place for a group: so it gets one in which every
    group is unfolded, and the call folds the values back.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters = inspect.signature(command).parameters.values()
    plain = [parameter for parameter in parameters if parameter.name not in groups]
    unfolded = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=get_type_hints(kind, include_extras=True)[field.name],
        )
        for kind in groups.values()
        for field in dataclasses.fields(kind)
    ]

    @functools.wraps(command)
    def unfolding(**values: Any) -> None:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        command(**values)

    unfolding.__dict__["__signature__"] = inspect.Signature([*plain, *unfolded])
    return unfolding
