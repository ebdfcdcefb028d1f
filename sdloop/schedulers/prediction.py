"""Convert between a UNet's prediction and the clean latents that it implies."""

import math

from torch import Tensor


def predict_denoised(
    latent_input: Tensor, noise_pred: Tensor, sigma: float, prediction_type: str
) -> Tensor:
    """The clean latents that a prediction implies.

    ``latent_input`` is the UNet's input, ``alpha * clean + beta * noise`` with
    ``alpha² + beta² = 1`` and ``sigma = beta / alpha``; every scheduler's ``scale_model_input``
    brings its latents to that form. At infinite ``sigma`` (zero terminal SNR) the input contains no
    picture, and only v and sample predictions say anything about it.

    ``prediction_type`` is the scheduler config's: ``epsilon``, ``v_prediction`` or ``sample``.

    Source: Ho et al. 2020 (arXiv:2006.11239) eq. 15; v: Salimans & Ho 2022 (arXiv:2202.00512).

    >>> from torch import tensor
    >>> predict_denoised(tensor(2.0), tensor(0.5), 0.0, "epsilon")
    tensor(2.)
    >>> predict_denoised(tensor(2.0), tensor(0.5), float("inf"), "v_prediction")
    tensor(-0.5000)
    """
    alpha = 1 / math.sqrt(1 + sigma**2)
    beta = 1.0 if math.isinf(sigma) else sigma * alpha
    match prediction_type:
        case "epsilon":
            return (latent_input - beta * noise_pred) / alpha
        case "v_prediction":
            return alpha * latent_input - beta * noise_pred
        case _:
            return noise_pred


def predict_from_denoised(
    latent_input: Tensor, denoised: Tensor, sigma: float, prediction_type: str
) -> Tensor:
    """The prediction that implies these clean latents: the inverse of ``predict_denoised``.

    ``sigma`` must not be 0, where no prediction can change the picture; the loop never passes 0.

    >>> from torch import tensor
    >>> predict_from_denoised(tensor(2.0), tensor(-0.5), float("inf"), "v_prediction")
    tensor(0.5000)
    """
    alpha = 1 / math.sqrt(1 + sigma**2)
    beta = 1.0 if math.isinf(sigma) else sigma * alpha
    match prediction_type:
        case "epsilon":
            return (latent_input - alpha * denoised) / beta
        case "v_prediction":
            return (alpha * latent_input - denoised) / beta
        case _:
            return denoised
