"""Mix two words at each stage where prompts can be mixed; each row shows one stage.

python examples/mix_prompts.py "a {} in a park" rabbit frog rows.png
"""

import sys
from pathlib import Path

import sdloop
from sdloop.images.sheet import sheet
from sdloop.recipe.mixture import PLACES, mixture

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)

template, first, second, file = sys.argv[1:]
prompts = [template.format(first), template.format(second)]
slot = [template.format(f"{{{first}|{second}}}")]


def recipe(at: str, share: float) -> sdloop.Recipe:
    """A mixture with this share of the second word."""
    texts = slot if at == "token" else prompts
    return sdloop.Recipe(seed=3, steps=15, **mixture(texts, [1 - share, share], at=at))


rows = [[recipe(at, share) for share in SHARES] for at in PLACES]
different = list(dict.fromkeys(one for row in rows for one in row))  # rows share their ends
made = sdloop.generate(sdloop.load_components(), different)
images = {one: picture.image for one, picture in zip(different, made, strict=True)}

labels = [first, *(f"{share:g}" for share in SHARES[1:-1]), second]
paper = sheet([[images[one] for one in row] for row in rows], columns=labels, rows=PLACES)
Path(file).parent.mkdir(parents=True, exist_ok=True)
paper.save(file, optimize=True)
