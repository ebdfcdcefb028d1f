"""Load CLIPSeg, which finds in a picture what words mean."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.vision import VisionModel
from sdloop.models.components.pretrained import pretrained
from sdloop.models.components.weights import BAD_CONFIG, read_tensors, reason_of
from sdloop.schedulers.library_messages import no_library_messages

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmenter:
    """CLIPSeg with what prepares pictures and words for it, in float32 on the CPU.

    There it finds the same with every ``--device`` and ``--dtype``, and leaves the GPU alone.
    """

    model: Any
    processor: Any

    @torch.no_grad()
    def heat(self, image: Image, words: str) -> np.ndarray:
        """How sure it is of each place, 0 to 1: (height, width), float32, at the model's size.

        ``image`` is in RGB. Raises ``SettingError`` for more words than the model reads.

        Source: Lüddecke & Ecker 2022 (arXiv:2112.10003).
        """
        seen = self.processor(text=words, images=image, return_tensors="pt")
        read, most = seen.input_ids.shape[1], self.model.config.text_config.max_position_embeddings
        if read > most:
            raise SettingError.of("mask", f"must have at most {most} tokens, got {read}: {words!r}")
        logits = self.model(**seen).logits
        found: np.ndarray = logits.reshape(logits.shape[-2:]).sigmoid().numpy()
        return found


# The last one is kept: the next picture often needs it again, also in a worker's next call.
@lru_cache(maxsize=1)
def load_segmenter(found: VisionModel) -> Segmenter:
    """The model in ``found``; raises ``ModelError`` for one whose files do not suit it."""
    with no_library_messages():
        from transformers import (
            CLIPSegConfig,
            CLIPSegForImageSegmentation,
            CLIPSegProcessor,
            CLIPTokenizer,
            ViTImageProcessor,
        )

        try:
            processor = CLIPSegProcessor(
                ViTImageProcessor.from_pretrained(found.folder, local_files_only=True),
                CLIPTokenizer.from_pretrained(found.folder, local_files_only=True),
            )
        except (OSError, *BAD_CONFIG) as error:
            raise ModelError(
                f"the mask_model {found.name} cannot be read: {reason_of(error)}"
            ) from error
    tensors = read_tensors(found.files, CPU, torch.float32)
    kept = {name: one for name, one in tensors.items() if not name.endswith("position_ids")}
    source = f"the mask_model {found.name}"
    settings = (CLIPSegConfig, found.config)
    model = pretrained(CLIPSegForImageSegmentation, settings, kept, source, CPU)
    known, words = len(processor.tokenizer), model.config.text_config.vocab_size
    if known > words:
        raise ModelError(f"{source}: its tokenizer has {known} words, its model {words}")
    return Segmenter(model=model, processor=processor)
