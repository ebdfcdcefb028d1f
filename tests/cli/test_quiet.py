"""Warnings that libraries write for developers do not reach stderr."""

import json
from pathlib import Path

import pytest
from helpers.forked import Nursery
from helpers.tiny import save_diffusers_folder, write_json

from sdloop.schedulers.names import SCHEDULERS

# Every scheduler in one process, by the command line and from Python; stderr is the descriptor, for
# the libraries' handlers hold streams of their own.
CODE = """
import functools, json, os, sys, tempfile
import diffusers, transformers
from sdloop.__main__ import main
from sdloop.worker.inside import HOST, Host

for library in (diffusers, transformers):  # as they are unless the environment says otherwise
    library.utils.logging.set_verbosity_warning()

kept = {}

def keep(load, checkpoint, *_):
    if checkpoint.path not in kept:
        kept[checkpoint.path] = load()
    return kept[checkpoint.path]

HOST.set(Host(load=keep))

def heard(work):
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            work()
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
        file.seek(0)
        return file.read().decode()

def by_command(model, name):
    sys.argv = ["sdloop", "txt2img", "a frog", "-q", "--model", model, "--scheduler", name]
    sys.argv += ["--steps", "3", "--seed", "1", "--outdir", "out"]
    try:
        main()
    except SystemExit as ending:
        assert not ending.code, (name, ending.code)

def by_python(model, name):
    from sdloop.pipeline.generate import generate
    from sdloop.recipe.recipe import Recipe

    generate(loaded(model), Recipe(prompt="a frog", seed=1, steps=3, scheduler=name))

@functools.cache
def loaded(model):
    from sdloop.models.components.load import load_components

    return load_components(model)

told = {}
for model, names in json.loads(sys.argv[1]):
    for name in names:
        for way in (by_command, by_python):
            told[f"{name} {way.__name__}"] = heard(lambda: way(model, name))
print(json.dumps(told))
"""


@pytest.fixture
def edm_model(tmp_path: Path) -> Path:
    """A model whose scheduler is Playground's."""
    from helpers.tiny import tiny_sdxl

    folder = save_diffusers_folder(tiny_sdxl(), tmp_path / "edm")
    config = {
        "_class_name": "EDMDPMSolverMultistepScheduler",
        "sigma_min": 0.002,
        "sigma_max": 80.0,
        "sigma_data": 0.5,
        "prediction_type": "epsilon",
        "beta_schedule": "scaled_linear",  # of another class, as in configs that grew
    }
    write_json(folder / "scheduler" / "scheduler_config.json", config)
    return folder


def test_no_scheduler_is_heard(
    tiny_model: Path, edm_model: Path, tmp_path: Path, nursery: Nursery
) -> None:
    edm = [name for name, entry in SCHEDULERS.items() if "edm" in entry.knows]
    others = [name for name in SCHEDULERS if name not in edm]
    script = tmp_path / "listen.py"
    script.write_text(CODE)
    asked = json.dumps([(str(tiny_model), others), (str(edm_model), edm)])
    done = nursery.script(script, [asked], tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told) == 2 * len(SCHEDULERS)
    assert {name: text for name, text in told.items() if text} == {}
    assert done.stderr == ""
