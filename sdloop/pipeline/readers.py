"""What reads the pictures that Recipes name."""

from dataclasses import dataclass

from sdloop.images.input.read import OpenImage
from sdloop.pipeline.control import ReadControl, control_reader
from sdloop.pipeline.image_prompts import EmbedImages, image_embedder
from sdloop.pipeline.input_images import EncodeInput, input_encoder
from sdloop.pipeline.loaded_model import LoadedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class Readers:
    """Each reads equal pictures only once in a row.

    ``encode_input`` is for input pictures and masks, ``read_control`` for those that ControlNets
    and T2I-Adapters follow, ``embed_images`` for image prompts.
    """

    encode_input: EncodeInput
    read_control: ReadControl
    embed_images: EmbedImages


def readers_for(model: LoadedModel, open_image: OpenImage) -> Readers:
    """The readers for a model's batches."""
    return Readers(
        encode_input=input_encoder(model.components, open_image),
        read_control=control_reader(open_image),
        embed_images=image_embedder(model, open_image),
    )
