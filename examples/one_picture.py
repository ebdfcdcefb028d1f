"""One picture from Python: python examples/one_picture.py "frogs on stilts" frogs.png"""

import sys

import sdloop

prompt, file = sys.argv[1:]
picture = sdloop.generate(prompt, seed=4)  # another model: model="owner/name"
picture.save(file)
print(f"{file}: {picture.recipe.steps} steps in {picture.seconds:.1f} s")
print(sdloop.read(file).recipe)
