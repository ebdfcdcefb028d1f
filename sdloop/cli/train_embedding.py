"""``sdloop train-embedding``: teach a model a new word from pictures."""

from sdloop.cli.options.groups import with_options
from sdloop.cli.options.model import WeightsOptions
from sdloop.cli.options.training import PicturesArgument, TrainingOptions


@with_options
def train_embedding(
    pictures: PicturesArgument = None,
    *,
    training: TrainingOptions,
    model: WeightsOptions,
) -> None:
    """Teach a model a new word from a few pictures.

    This is textual inversion: the model's weights do not change. The result is a file of a few
    kB for --embedding, diffusers and A1111. Ctrl-C saves what was learned so far, and --resume
    continues from there.

    Examples:
      sdloop train-embedding pictures/ --token "<my-frog>" --init frog -o my-frog.safetensors
      sdloop txt2img "a <my-frog> on stilts" --embedding my-frog.safetensors --seed 4
    """
    from sdloop.cli.make.training import train

    train(pictures, training, model)
