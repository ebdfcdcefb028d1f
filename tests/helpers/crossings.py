"""What the tables of parity cross: families, schedulers, sigmas and spacings."""

import functools

from helpers.tiny import tiny_inpaint, tiny_sd1, tiny_sd2, tiny_sdxl
from sdloop.schedulers.names import SCHEDULERS, SIGMAS, SPACINGS

FAMILIES = {name: functools.cache(make) for name, make in
            {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}.items()}  # fmt: skip
INPAINTING = {f"{name}-inpainting": functools.cache(functools.partial(tiny_inpaint, name))
              for name in FAMILIES}  # fmt: skip
EDM = [name for name in SCHEDULERS if name.startswith("edm")]
DESCENTS = [name for name, entry in SCHEDULERS.items() if "descent" in entry.knows]
NAMES = [name for name in SCHEDULERS if name not in (*EDM, *DESCENTS)]
SPACED = [(name, sigmas) for name in NAMES if "sigmas" in SCHEDULERS[name].knows
          for sigmas in SIGMAS]  # fmt: skip
PACED = [(name, spacing) for name in NAMES if "spacing" in SCHEDULERS[name].knows
         for spacing in SPACINGS]  # fmt: skip
