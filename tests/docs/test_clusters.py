"""The scripts for clusters in the docs: their syntax, and that sdloop has what they ask for."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from sdloop.batch.shards import parse_shard

PAGE = (Path(__file__).parents[2] / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|yaml)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("language", "block"), BLOCKS)
def test_it_can_be_read(language: str, block: str) -> None:
    if language == "yaml":
        found = yaml.safe_load(block)
        block = found.get("run", "") or found["spec"].get("entrypoint", "")
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


def test_the_job_of_kubernetes_has_what_shard_auto_asks_for() -> None:
    job = next(found for language, block in BLOCKS if language == "yaml"
               if (found := yaml.safe_load(block)).get("kind") == "Job")  # fmt: skip
    container = job["spec"]["template"]["spec"]["containers"][0]
    told = {one["name"]: one["value"] for one in container["env"]}
    count = job["spec"]["completions"]
    last = {**told, "JOB_COMPLETION_INDEX": str(count - 1)}
    assert parse_shard("auto", last) == (count, count)
    assert container["command"][:2] == ["sdloop", "batch"]


def test_every_flag_exists() -> None:
    from typer.testing import CliRunner

    from sdloop.cli import app

    known = CliRunner().invoke(app, ["batch", "--help-all"]).stdout
    lines = [line for _, block in BLOCKS for line in block.splitlines() if "sdloop batch" in line]
    flags = {word for line in lines for word in shlex.split(line) if word.startswith("--")}
    assert flags >= {"--shard", "--outdir", "--on"}
    assert [flag for flag in flags if flag not in known] == []
