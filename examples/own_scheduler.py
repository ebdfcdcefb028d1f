"""Use your own scheduler in sdloop's pipeline: a method of second order.

python examples/own_scheduler.py "a green frog in a park" frog.png
"""

import sys
from typing import Any

from diffusers import EulerDiscreteScheduler
from torch import Tensor

import sdloop


class AdamsBashforth(EulerDiscreteScheduler):
    """Step along 1.5 times this slope minus 0.5 times the last one; one UNet call per step.

    It has the methods of diffusers' schedulers; each run of the loop gets a copy of the object.
    """

    last_slope: Tensor | None = None

    def step(self, noise_pred: Tensor, t: Tensor, latents: Tensor, return_dict: bool = True) -> Any:
        slope = noise_pred if self.last_slope is None else 1.5 * noise_pred - 0.5 * self.last_slope
        self.last_slope = noise_pred
        return super().step(slope, t, latents, return_dict=return_dict)


if __name__ == "__main__":
    prompt, file = sys.argv[1:]
    components = sdloop.load_components()
    scheduler = AdamsBashforth.from_config(components.scheduler_config)
    recipe = sdloop.Recipe(prompt=prompt, seed=4, steps=12, hires=1.5)
    (picture,) = sdloop.generate(components, recipe, scheduler=scheduler)
    print(picture.save(file), "was made by", sdloop.read(file).record.own_code["scheduler"])
