"""Facts of a model without weights, for tests that only resolve Recipes."""

import dataclasses
from typing import Any


@dataclasses.dataclass
class Model:
    """What a Recipe asks of a model, without a model."""

    native_size: tuple[int, int] = (64, 64)
    size_multiple: int = 8
    takes_sizes: bool = False
    paints: bool = False
    max_noise_level: int | None = None
    reads_twice: bool = False
    refines: bool = False
    scores: bool = False
    sees_depth: bool = False
    estimates_depth: bool = False
    edits: bool = False
    guidance_scale: float = 7.5
    upscale_strength: float = 0.35
    steps: int = 25
    embeds_guidance: bool = False
    usual_fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    text_layers: int = 2
    text_widths: tuple[int, ...] = (32,)
    scheduler_config: dict[str, Any] = dataclasses.field(
        default_factory=lambda: {"_class_name": "EulerDiscreteScheduler"}
    )
