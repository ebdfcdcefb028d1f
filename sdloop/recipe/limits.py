"""Limits of settings, and the defaults that do not depend on the model."""

MAX_SEED = 2**32 - 1  # torch's CPU generator keeps 32 bits of a seed
MAX_LONG_SEED = 2**64 - 1  # Philox uses all of these
MAX_STEPS = 1000
USUAL_STEPS = 25
STOP_NOISE = 0.1  # so little noise is invisible in a picture
IMAGE_GUIDANCE_SCALE = 1.5  # as in diffusers
REFINER_START = 0.8
SCORES = (6.0, 2.5)  # aesthetic scores for the prompt and the negative one, as in diffusers
DEFAULT_NOISE_LEVEL = 20  # as in diffusers
ENLARGES = ("lanczos", "latent")
LOSS_MODES = ("cheap", "exact")
REGION_ALONE = 0.8
DEPTH_MODEL = "depth-anything/Depth-Anything-V2-Small-hf"
POSE_MODEL = "usyd-community/vitpose-base-simple"
MASK_MODEL = "CIDAS/clipseg-rd64-refined"
MASK_THRESHOLD = 0.5  # as likely as not
LOSS_EVERY = 5  # as in the fast.ai notebook
SEAMLESS = ("x", "y", "xy")
RNGS = ("cpu", "philox")

# A file of the hub, for examples in texts.
IP_ADAPTER = "h94/IP-Adapter/models/ip-adapter_sd15.safetensors"
