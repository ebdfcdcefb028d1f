"""What turns a blurred decoder into a crisp one: the strength of lines, a critic of patches, and
the judge's eyes.

Where a decoder cannot know a line's place to the pixel, the smallest error is a blur. A patch whose
lines must be as strong as the drawn ones, wherever they are, has a line instead; a critic that has
learnt to tell decoded patches from drawn ones asks for one that looks drawn, and the features of
the judge say whether it is the right one.

Source: Esser et al. 2021 (arXiv:2012.09841), section 3.1, for the critic and its weight.
"""

import torch
import torch.nn.functional as F
from judge import Judge
from log import Losses
from measures import edge_energy, slopes
from torch import Tensor, nn
from torch.func import functional_call

PERCEPTUAL_WEIGHT = 0.5
STRENGTH_WEIGHT = 4.0
ENERGY_WEIGHT = 1.0
PATCH = 16
"""Pixels of a side, within which a line may be anywhere."""

FOOL_WEIGHT = 1.0
"""Of the wish to fool a critic that is never wrong, once its gradient is as long as that of all
other losses. One that only guesses (its loss is 2) has nothing to ask for."""


class Critic(nn.Module):
    """How drawn each patch of a picture looks: positive for drawn, negative for decoded."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, 1, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, 3, height, width) in -1..1 to (batch, 1, height / 4, width / 4)."""
        logits: Tensor = self.layers(pictures)
        return logits


class Sharpening(nn.Module):
    """The critic, which learns beside the decoder, and the judge, which does not."""

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.critic = Critic()
        self.trunk = judge.trunk.requires_grad_(False)

    def forward(
        self, pictures: Tensor, made: Tensor, loss: Tensor, last: nn.Parameter
    ) -> tuple[Tensor, Losses]:
        """The whole loss, and its new parts.

        ``loss`` is what the decoder has without this, and ``last`` the weights of its last layer,
        where the gradients of both wishes are compared. Each player's loss leaves the other's
        weights alone, so that one backward serves both.
        """
        perceptual = self.compare(pictures, made)
        strength = F.l1_loss(line_strength(made), line_strength(pictures))
        energy = energy_error(pictures, made)
        loss = loss + PERCEPTUAL_WEIGHT * perceptual + STRENGTH_WEIGHT * strength
        loss = loss + ENERGY_WEIGHT * energy
        fixed = {name: value.detach() for name, value in self.critic.named_parameters()}
        fool = -functional_call(self.critic, fixed, (made,)).mean()
        drawn, decoded = self.critic(pictures), self.critic(made.detach())
        critic = (F.relu(1 - drawn) + F.relu(1 + decoded)).mean()
        knows = (1 - critic.detach() / 2).clamp(min=0)
        weight = FOOL_WEIGHT * knows * balance(loss, fool, last)
        return loss + weight * fool + critic, {
            "perceptual": perceptual, "strength": strength, "energy": energy, "fool": fool,
            "critic": critic,
        }  # fmt: skip

    def compare(self, pictures: Tensor, made: Tensor) -> Tensor:
        """The mean difference of the judge's features, over its levels."""
        self.trunk.eval()
        one, two, differences = pictures, made, []
        for level in self.trunk:
            with torch.no_grad():
                one = level(one)
            two = level(two)
            differences.append(F.l1_loss(two, one) / one.abs().mean())
        return torch.stack(differences).mean()


def line_strength(pictures: Tensor) -> Tensor:
    """The root mean square of the differences of neighbouring pixels in each patch.

    (batch, 3, height, width) in -1..1 to (batch, 3, 2 * (height // 16), width // 16): across first,
    then down.
    """
    padded = F.pad(pictures, (0, 1, 0, 1), mode="replicate")
    across, down = slopes(padded)
    same_size = across[:, :, :-1], down[..., :-1]
    squares = torch.cat([F.avg_pool2d(one.square(), PATCH) for one in same_size], dim=2)
    return (squares + 1e-4).sqrt()


def energy_error(pictures: Tensor, made: Tensor) -> Tensor:
    """By what share the energy of each picture's edges is off, on average.

    The strongest lines decide it. The strength of a patch alone may keep to its median, which is
    weaker than its mean.
    """
    least = 1e-4  # for pictures without edges
    return (edge_energy(made).add(least) / edge_energy(pictures).add(least) - 1).abs().mean()


def balance(loss: Tensor, fool: Tensor, last: nn.Parameter) -> Tensor:
    """How much longer the gradient of ``loss`` is than that of ``fool``, at the last layer."""
    lengths = [
        torch.autograd.grad(value, last, retain_graph=True)[0].norm() for value in (loss, fool)
    ]
    return (lengths[0] / (lengths[1] + 1e-4)).clamp(max=100).detach()
