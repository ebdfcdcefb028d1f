"""One picture from Python: python examples/one_picture.py "frogs on stilts" frogs.png"""

import sys

import sdloop

prompt, file = sys.argv[1:]
components = sdloop.load_components()  # the embedded model; or "mini", a hub id, a folder, a file
picture = sdloop.generate(components, sdloop.Recipe(prompt=prompt, seed=4))[0]
picture.image.save(file)
print(f"{file}: {picture.recipe.steps} steps in {picture.seconds:.1f} s")
