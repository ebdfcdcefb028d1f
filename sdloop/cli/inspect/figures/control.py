"""Draw the map that a ControlNet follows."""

from sdloop.cli.inspect.shared import sheet_path, write_plain
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.options.sheet import SheetOptions
from sdloop.errors import SettingError
from sdloop.images.input.frame import framed
from sdloop.recipe.parse import parse_pair
from sdloop.recipe.preprocess import MODELS, check_preprocess
from sdloop.rules import MAX_SIDE, check_whole


def show_control(
    image: str, kind: str, model: str | None, size: str | None, out: SheetOptions
) -> None:
    """Save the map of this kind; ``model`` finds depths or poses."""
    check_preprocess(kind)
    if model is not None and kind not in MODELS:
        known = " or ".join(MODELS)
        raise SettingError.of("preprocess_model", f"needs the preprocess {known}, got {kind}")
    wanted = None if size is None else parse_pair("size", size)
    for side in wanted or ():
        check_whole("size", side, 1, MAX_SIDE)
    path = sheet_path(out, f"{kind}.png")
    picture = image_opener()(image)
    from sdloop.pipeline.control import AROUND
    from sdloop.pipeline.preprocess import preprocess_of

    sides = picture.image.size if wanted is None else wanted
    whole = framed(picture, sides, resize="crop", background=AROUND)
    write_plain(preprocess_of(kind, (model, None))(whole), path, out)
