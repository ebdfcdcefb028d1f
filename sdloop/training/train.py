"""The training loop: optimise one word's vectors with Adam, with the model's weights frozen.

Like ``denoise``, it is a generator.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sdloop.conditioning.words import pairs_of, word_vector
from sdloop.errors import NonFiniteError, SettingError
from sdloop.latents.noise import noise
from sdloop.models.components.load import Components
from sdloop.training.loss import conditioning_of, loss_of, noise_schedule
from sdloop.training.pictures import Pictures, draw_latents
from sdloop.training.settings import Training

Rows = tuple[Tensor, ...]

# The defaults of Adam, from its paper.
BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """The state of a training after ``step`` steps: all that the next step needs.

    ``rows`` are the vectors, (positions, width) for each text encoder, float32 on the CPU;
    ``means`` and ``squares`` are Adam's running averages of the gradients and their squares.
    """

    step: int
    rows: Rows
    means: Rows
    squares: Rows


def first_state(components: Components, training: Training) -> State:
    """The state before the first step: each vector is the token embedding of ``init``.

    Raises ``SettingError`` if ``init`` is not a single token.
    """
    words = [word_vector(*pair, training.init).cpu() for pair in pairs_of(components)]
    rows = tuple(word.repeat(training.vectors, 1) for word in words)
    means, squares = (tuple(torch.zeros_like(one) for one in rows) for _ in range(2))
    return State(step=0, rows=rows, means=means, squares=squares)


def train(
    components: Components, pictures: Pictures, training: Training, state: State
) -> Iterator[tuple[State, float]]:
    """Optimise the vectors; after each step, yields the state and the step's loss.

    The random numbers of a step depend only on the seed and the step's number. So a resumed
    training gives the same bits as one that was never interrupted.

    Raises ``SettingError`` for a model in fp16, which rounds such small gradients to 0.
    """
    if components.dtype == torch.float16:
        raise SettingError("dtype must be bf16 or fp32 for training, got fp16")
    schedule = noise_schedule(components)
    with frozen(components):
        for step in range(state.step, training.steps):
            generator = _generator(training.seed, step)
            size = training.batch_size

            # Random pictures, with a random noise level and a random template for each.
            latents = draw_latents(components, pictures, size, generator, flips=training.flips)
            timesteps = torch.randint(
                schedule.config.num_train_timesteps, (size,), generator=generator
            ).to(latents.device)
            drawn = noise([generator] * size, *latents.shape[1:]).to(latents.device)
            choice = torch.randint(len(training.templates), (size,), generator=generator).tolist()
            prompts = [training.prompt(number) for number in choice]

            # The loss with the new word, and its gradients.
            with torch.enable_grad():
                rows = tuple(one.to(components.device).requires_grad_() for one in state.rows)
                conditioning = conditioning_of(components, training.token, rows, prompts)
                loss = loss_of(components, schedule, latents, drawn, timesteps, conditioning)
                gradients = torch.autograd.grad(loss, rows)

            _check_finite(loss, step)
            state = _moved(state, [one.cpu() for one in gradients], training.learning_rate)
            yield state, loss.item()


def _moved(state: State, gradients: Sequence[Tensor], learning_rate: float) -> State:
    """One step of Adam. Source: Kingma & Ba 2014 (arXiv:1412.6980), algorithm 1."""
    step, (first, second) = state.step + 1, BETAS
    means = tuple(first * m + (1 - first) * g for m, g in zip(state.means, gradients, strict=True))
    squares = tuple(
        second * v + (1 - second) * g * g for v, g in zip(state.squares, gradients, strict=True)
    )
    rows = tuple(
        row - learning_rate * (m / (1 - first**step)) / ((v / (1 - second**step)).sqrt() + EPSILON)
        for row, m, v in zip(state.rows, means, squares, strict=True)
    )
    return State(step=step, rows=rows, means=means, squares=squares)


def _check_finite(loss: Tensor, step: int) -> None:
    if not loss.isfinite():
        raise NonFiniteError(
            f"the loss is NaN or infinite at step {step + 1}; remedy: a lower learning_rate"
        )


def _generator(seed: int, step: int) -> Generator:
    """The generator for one step. Its seed has 32 bits: a CPU generator uses no more."""
    digest = hashlib.sha256(f"{seed} {step}".encode()).digest()
    return Generator("cpu").manual_seed(int.from_bytes(digest[:4], "little"))


@contextmanager
def frozen(components: Components) -> Iterator[None]:
    """Compute no gradients of the weights: those of a UNet would need as much memory as itself."""
    modules = (components.unet, *(encoder for _, encoder in pairs_of(components)))
    learning = [p for module in modules for p in module.parameters() if p.requires_grad]
    for weights in learning:
        weights.requires_grad_(False)
    try:
        yield
    finally:
        for weights in learning:
            weights.requires_grad_(True)
