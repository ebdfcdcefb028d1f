"""Print the norm of each token before and after the text encoder, and draw its attention map.

python examples/look_at_words.py "a red frog under a tree" words.png
"""

import sys

import sdloop
from sdloop.images.sheet import captioned
from sdloop.inspection.attention import heat, recorded
from sdloop.inspection.words import walk

prompt, file = sys.argv[1:]
components = sdloop.load_components()
tokens = walk(components.tokenizer, components.text_encoder, prompt).tokens[1:-1]
for token in tokens:
    print(f"{token.text:>8}: norm {token.token_norm:.2f}, encoded {token.encoded_norm:.2f}")

side = components.unet.config.sample_size
with recorded(components.unet, size=(side, side), guided=True) as maps:
    picture = sdloop.generate(components, sdloop.Recipe(prompt=prompt, seed=4))[0].image

attention = maps.mean()  # (tokens, height, width): DAAM's maps
cells = [(token.text, heat(picture, attention[token.place])) for token in tokens]
captioned([("the picture", picture), *cells], across=8).save(file)
