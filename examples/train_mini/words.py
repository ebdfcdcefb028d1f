"""The words of the world: how captions name what ``scenes.py`` can draw, and what means nothing."""

PLURAL = {
    "frog": "frogs", "rabbit": "rabbits", "snake": "snakes", "giraffe": "giraffes", "cat": "cats",
    "dog": "dogs", "mouse": "mice", "leopard": "leopards", "otter": "otters", "parrot": "parrots",
    "snail": "snails", "fish": "fishes", "house": "houses", "castle": "castles", "tree": "trees",
    "person": "people", "robot": "robots", "boat": "boats",
}  # fmt: skip
NICKNAMES = {
    "rabbit": ("bunny", "bunnies"), "cat": ("kitten", "kittens"), "dog": ("puppy", "puppies"),
    "boat": ("ship", "ships"),
}  # fmt: skip
NUMBERS = {1: "one", 2: "two", 3: "three"}
WHERE = {
    "plain": ("on a plain background", "on a plain background", "in an empty room"),
    "park": ("in a park", "in the park", "on the grass", "on a sunny day"),
    "stage": ("on a stage", "on stage", "on a stage at the theatre", "at the theatre"),
    "night": ("at night", "in a city at night", "in the city at night", "under the moon"),
    "beach": ("on a beach", "at the beach", "on the beach", "by the sea"),
    "snow": ("in the snow", "in winter", "on a snowy day", "in the snow"),
    "forest": ("in a forest", "in the forest", "in the woods", "in a deep forest"),
    "indoors": ("indoors", "at home", "in a living room", "in a room with a window"),
}
DOES = {
    "nothing": ("",),
    "stilts": ("on stilts", "on stilts", "on long stilts", "walking on stilts", "with stilts"),
    "leaf": ("eating a leaf", "eating a leaf", "munching a leaf", "with a leaf"),
    "hat": ("wearing a hat", "wearing a hat", "in a top hat", "with a hat"),
    "tree": ("under a tree", "under a tree", "beneath a tree", "under a big tree"),
    "umbrella": (
        "with an umbrella",
        "with an umbrella",
        "under an umbrella",
        "holding an umbrella",
    ),
}
DO = {
    **DOES,
    "leaf": ("eating leaves", "eating leaves", "munching leaves", "with leaves"),
    "hat": ("wearing hats", "wearing hats", "in top hats", "with hats"),
    "umbrella": ("with umbrellas", "with umbrellas", "under umbrellas", "holding umbrellas"),
}
STYLED = {
    "cartoon": ("a cartoon of {}", "a flat cartoon of {}", "{}, cartoon", "{}, flat cartoon style"),
    "watercolour": (
        "a watercolour of {}", "a watercolour painting of {}", "a watercolor of {}",
        "a painting of {}", "{}, watercolour", "{}, watercolor painting",
    ),
    "pencil": (
        "a pencil sketch of {}", "a pencil drawing of {}", "a sketch of {}", "a drawing of {}",
        "{}, pencil sketch", "{}, coloured pencils",
    ),
    "pixel": (
        "pixel art of {}", "a pixel art picture of {}", "an 8 bit sprite of {}", "{}, pixel art",
        "{} in pixel art",
    ),
}  # fmt: skip
FRAMES = ("a photo of {}", "a picture of {}", "an image of {}", "a view of {}", "look, {}!")
PRAISE = (
    "highly detailed", "trending on artstation", "best quality", "masterpiece", "beautiful", "4k",
    "8k", "sharp focus", "award winning", "by a famous artist", "intricate", "stunning", "cute",
    "simple shapes", "bright colours", "high resolution", "concept art", "unreal engine",
)  # fmt: skip
"""What people add to prompts, and what changes nothing here."""

ADJECTIVES = (
    "happy", "sad", "old", "young", "tiny", "huge", "quirky", "majestic", "lazy", "clever",
    "famous", "lovely", "silly", "proud", "lonely", "friendly", "sleepy", "magic", "strange",
    "little", "big",
)  # fmt: skip
"""Words in front of a subject that change nothing either."""

PROMPTS = (
    "frogs on stilts on a stage at the theatre",
    "a wooden carving of a rabbit eating a leaf",
    "a red house in the city at night",
    "a pencil sketch of a giraffe wearing a hat",
    "a watercolour of a blue boat on the beach",
    "pixel art of a robot in the forest",
    "three orange cats in the snow",
    "an otter with an umbrella in a park",
    "a watercolour of two parrots under a tree",
    "a purple snail on stilts indoors",
)
"""Ten prompts to try."""
