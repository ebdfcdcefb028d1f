"""sdloop txt2img with a tiny model, in the test process: flags and written files."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, pixels, work_in

from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe
from sdloop.worker.inside import HOST, Host


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Work in an empty folder, with the tiny model as the user's own choice."""
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


COMMAND = Command("txt2img", steps=2)
txt2img, make, plan, refused = COMMAND.run, COMMAND.make, COMMAND.plan, COMMAND.refused


def test_one_picture_whose_file_says_how_to_remake_it(tiny_model: Path) -> None:
    assert make("a 🐎 in 東京", "--seed", "4", "-o", "horse.png") == ["horse.png"]
    recipe = read_record(Path("horse.png")).recipe
    assert recipe == Recipe(
        prompt="a 🐎 in 東京", seed=4, model=str(tiny_model), width=32, height=32, steps=2,
        guidance_scale=7.5, scheduler="pndm",
    )  # fmt: skip
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    assert make("--from-file", "again.txt", "-o", "again.png") == ["again.png"]
    assert pixels("again.png") == pixels("horse.png")


def test_a_picture_of_weighted_words_is_remade_from_its_file() -> None:
    command = ["a (cat:1.5) in a [hat]" + ", a dog" * 40, "--seed", "4", "--emphasis", "no-norm"]
    (name,) = make(*command, "--negative-prompt", "(mud)", "-o", "cat.png")
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    assert recipe.emphasis == "no-norm"
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    assert pixels(*make("--from-file", "again.txt", "-o", "again.png")) == pixels(name)
    (plain,) = make(*command[:-1], "none", "-n", "(mud)", "-o", "plain.png")
    assert pixels(plain) != pixels(name)


def test_one_seed_is_one_file_whichever_batch_it_was_in() -> None:
    names = make("a cat", "--seed", "7", "--count", "3", "--batch-size", "2", "-o", "{seed}.png")
    assert names == ["7.png", "8.png", "9.png"]
    (alone,) = make("a cat", "--seed", "8", "-o", "alone.png")
    recipe = read_record(Path("8.png")).recipe
    assert recipe is not None
    assert recipe == read_record(Path(alone)).recipe
    assert recipe.seed == 8
    assert max(abs(a - b) for a, b in zip(pixels("8.png"), pixels(alone), strict=True)) <= 1


def test_pictures_name_themselves_and_never_replace_another() -> None:
    assert make("a cat", "--seed", "4,7") == ["a-cat-4.png", "a-cat-7.png"]
    assert make("a cat", "--seed", "4") == ["a-cat-4-2.png"]
    assert make("a cat", "--seed", "4", "--outdir", "new/folder") == ["new/folder/a-cat-4.png"]
    assert make("a cat", "--seed", "4", "--overwrite") == ["a-cat-4.png"]
    lines = make("--from-file", "-", "--seed", "1", "--outdir", "o", stdin="a b\na/b\n")
    assert lines == ["o/a-b-1.png", "o/a-b-1-2.png"]


def test_a_name_that_is_taken_is_refused_before_any_work() -> None:
    Path("7.png").write_text("mine")
    message = refused("a cat", "--seed", "4,7", "-o", "{seed}.png", code=3)
    assert message.startswith("'7.png' already exists")
    assert Path("7.png").read_text() == "mine"
    make("a cat", "--seed", "4,7", "-o", "{seed}.png", "--overwrite")
    assert read_record(Path("7.png")).recipe is not None


@pytest.mark.parametrize("name, format", [("a.jpg", "JPEG"), ("a.webp", "WEBP"), ("a.PNG", "PNG")])
def test_the_suffix_is_the_format(name: str, format: str) -> None:
    from PIL import Image

    assert make("a cat", "--seed", "4", "-o", name) == [name]
    with Image.open(name) as image:
        assert image.format == format
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    assert recipe.seed == 4


def test_a_format_gives_names_their_suffix() -> None:
    assert make("a cat", "--seed", "4", "--format", "webp") == ["a-cat-4.webp"]
    assert make("a cat", "--seed", "4", "--format", "jpg", "-o", "x") == ["x.jpg"]
    assert make("a cat", "--seed", "4", "--format", "jpg", "-o", "x.jpeg") == ["x.jpeg"]
    message = refused("a cat", "--format", "jpg", "-o", "x.png")
    assert message == "output must agree with format jpg, got 'x.png'"


def test_json_lines_say_where_the_picture_is_and_how_to_find_it_again() -> None:
    (line,) = make("a cat", "--seed", "4", "--json")
    values = json.loads(line)
    assert values["path"] == "a-cat-4.png"
    assert (values["seed"], values["width"], values["height"]) == (4, 32, 32)
    assert values["device"] == "cpu"
    made = read_record(Path("a-cat-4.png")).made
    assert values["key"] == made["key"]
    assert len(values["key"]) == 64
    assert Recipe.from_dict(values["recipe"]) == read_record(Path("a-cat-4.png")).recipe


def test_metadata_can_be_left_out() -> None:
    from sdloop.errors import FileError

    make("a cat", "--seed", "4", "--metadata", "none", "-o", "none.png")
    with pytest.raises(FileError):
        read_record(Path("none.png"))
    make("a cat", "--seed", "4", "--metadata", "minimal", "-o", "minimal.png")
    assert read_record(Path("minimal.png")).made == {}


def test_a_random_seed_is_told_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    result = txt2img("a cat", "--steps", "1", "--json")
    seed = json.loads(result.stdout)["seed"]
    assert f"seed {seed}, chosen at random" in result.stderr
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # -q sets it, and it shall not stay
    assert txt2img("a cat", "--dry-run", "-q").stderr == ""
    assert plan("a cat")[0]["seed"] != plan("a cat")[0]["seed"]


def test_a_dry_run_is_what_a_prompt_file_takes() -> None:
    prompts = "a cat --n a dog --s 3\na 🐎 --d 9 --f horse.png\n"
    arguments = ["--seed", "4,7", "-g", "3", "--sampler", "DPM++ 2M Karras", "--size", "34x32"]
    first = plan("--from-file", "-", *arguments, stdin=prompts)
    assert [(r["seed"], r["steps"], r.get("output")) for r in first] == [
        (4, 3, None),
        (7, 3, None),
        (9, 25, "horse.png"),
    ]
    assert {r["width"] for r in first} == {34}
    assert {(r["scheduler"], r["sigmas"]) for r in first} == {("dpmpp-2m", "karras")}
    lines = "\n".join(json.dumps(recipe) for recipe in first)
    assert plan("--from-file", "-", stdin=lines) == first
    assert list(Path().iterdir()) == []


def test_the_line_wins_over_the_flag_over_the_config() -> None:
    Path("a.toml").write_text('prompt = "a dog"\nseed = 3\nsteps = 5\nguidance_scale = 2.0\n')
    assert plan("--config", "a.toml")[0]["prompt"] == "a dog"
    (recipe,) = plan("a cat", "--config", "a.toml", "-g", "4")
    assert (recipe["prompt"], recipe["seed"]) == ("a cat", 3)
    assert (recipe["steps"], recipe["guidance_scale"]) == (5, 4.0)
    (recipe,) = plan(
        "--from-file", "-", "--config", "a.toml", "--seed", "4", stdin='{"prompt": "x", "steps": 6}'
    )
    assert (recipe["prompt"], recipe["seed"], recipe["steps"]) == ("x", 4, 6)


def test_the_prompt_may_come_from_standard_input() -> None:
    assert plan("-", stdin="two\nlines 🐎\n")[0]["prompt"] == "two\nlines 🐎"
    assert plan("", "--seed", "1")[0]["prompt"] == ""
    assert "not UTF-8" in refused("-", stdin=b"\xff", code=3)
    assert refused("-", stdin=" \n").startswith("prompt must not be empty on standard input")
    assert plan("")[0]["prompt"] == ""


def test_kohya_names_go_into_the_folder() -> None:
    lines = make(
        "--from-file",
        "-",
        "--outdir",
        "o",
        "--seed",
        "4",
        stdin="a cat --f cat\na dog --f d/dog.webp",
    )
    assert lines == ["o/cat.png", "o/d/dog.webp"]


@pytest.mark.parametrize("name", ["../out.png", "/tmp/out.png", "a/../../out.png"])
def test_names_in_files_cannot_leave_the_folder(name: str) -> None:
    assert "must stay inside" in refused("--from-file", "-", stdin=f"a cat --f {name}")


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "prompt must be given"),
        (["a cat", "--from-file", "x"], "prompt must come from one place"),
        (["a cat", "--size", "33x32"], "width must be a multiple of 2 for this model, got 33"),
        (["a cat", "--size", "32"], "size must be two whole numbers like 512x768"),
        (["a cat", "--size", "32x32", "-W", "64"], "width must agree with size 32x32, got 64"),
        (["a cat", "-W", "0"], "width must be at least 1"),
        (["a cat", "--steps", "0"], "steps must be at least 1, got 0"),
        (["a cat", "--seed", "4,4"], "seed must name each seed once"),
        (["a cat", "--seed", "4294967295", "--count", "2"], "beyond 4294967295"),
        (["a cat", "--seed", "4,7", "--count", "2"], "count needs a single seed"),
        (["a cat", "--count", "0"], "count must be at least 1"),
        (["a cat", "-n", "x", "--cfg", "1"], "negative_prompt needs guidance"),
        (
            ["a cat", "--sampler", "eular"],
            "got 'eular': did you mean euler?",
        ),
        (["a cat", "--sigmas", "linear"], "sigmas must be one of karras"),
        (["a cat", "--scheduler", "euler", "--eta", "1"], "eta has no effect"),
        (["a cat", "--target-size", "64x64"], "target_size needs an SDXL model"),
        (["a cat", "--crop-top-left", "4"], "crop_top_left must be two whole numbers like 0,0"),
        (["a cat", "--device", "gpu"], "device must be auto, cuda"),
        (["a cat", "--dtype", "fp4"], "dtype must be one of auto, fp16"),
        (["a cat", "--memory", "small"], "memory must be one of auto, full, low"),
        (["a cat", "--memory", "low", "--device", "cpu"], "memory low is for CUDA GPUs"),
        (["a cat", "--compile", "all"], "compile must be one of off, regional, whole"),
        (["a cat", "--compile", "whole", "--dtype", "fp8"], "cannot be combined with dtype fp8"),
        (["a cat", "--batch-size", "0"], "batch_size must be at least 1"),
        (["a cat", "--format", "gif"], "format must be one of png"),
        (["a cat", "--metadata", "all"], "metadata must be one of full"),
        (["a cat", "-o", "{sed}.png"], "unknown {sed}: did you mean {seed}?"),
        (["a cat", "-o", "a.gif"], "a picture's name must end in .png"),
        (["a cat", "-o", "."], "output must name a file, got the folder '.'"),
        (["a cat", "-o", "x/"], "output must name a file, got the folder 'x/'"),
        (["a cat", "-o", ""], "output must not be empty"),
        (["a cat", "-o", "a.png", "--count", "2"], "output must name each picture differently"),
        (["a cat", "-o", "/a.png", "--outdir", "x"], "must stay inside the output folder"),
        (["\ud800"], "prompt must be valid Unicode text"),
        (["a cat", "--revision", "main"], "revision is only for hub models"),
    ],
)
def test_settings_that_are_refused_before_any_work(arguments: list[str], complaint: str) -> None:
    assert complaint in refused(*arguments)


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["a cat", "-m", "./missing"], "missing"),
        (["a cat", "-m", "nobody/nothing"], "nobody/nothing is not in the cache"),
        (["--from-file", "missing.txt"], "cannot read missing.txt: No such file"),
        (["--from-file", "."], "cannot read .: Is a directory"),
        (["a cat", "--config", "missing.toml"], "cannot read missing.toml"),
        (["a cat", "-o", "plain/a.png"], "is not a writable folder"),
    ],
)
def test_what_is_not_there_ends_with_3(arguments: list[str], complaint: str) -> None:
    Path("plain").write_text("a file")
    assert complaint in refused(*arguments, code=3)


def test_a_dry_run_fetches_nothing() -> None:
    message = refused("a cat", "-m", "nobody/nothing", "--dry-run", code=3)
    assert message.startswith(
        "nobody/nothing is not in the cache; `hf download nobody/nothing --include '*.json' "
    )
    assert message.endswith(" --include 'vae/*_model.safetensors'` downloads it")


def test_an_error_in_a_prompt_file_names_its_line() -> None:
    stdin = "a cat\n\na dog --w 33\n"
    assert refused("--from-file", "-", stdin=stdin).startswith(
        "standard input, line 3: width must be a multiple of 2"
    )
    assert refused("--from-file", "-", stdin="a cat\na dog --s 0\n").startswith(
        "standard input, line 2: steps must be at least 1"
    )
    stdin = '{"prompt": "a cat", "model": "./missing"}'
    assert refused("--from-file", "-", stdin=stdin, code=3).startswith("standard input, line 1: ")
    stdin = "a cat --f a.gif"
    assert refused("--from-file", "-", stdin=stdin).startswith("standard input, line 1: ")


def test_seeds_that_no_prompt_would_use_are_refused() -> None:
    message = "seed and count cannot be used here"
    assert message in refused("--from-file", "-", "--seed", "4", stdin="a --d 1\nb --d 2\n")
    assert message in refused("--from-file", "-", "--count", "4", stdin="a --d 1\n")


def test_the_count_of_a_settings_file_gives_way_to_several_seeds() -> None:
    Path("a.toml").write_text('prompt = "x"\nseed = 4\n[command]\ncount = 3\n')
    assert seeds("--config", "a.toml") == [4, 5, 6]
    assert seeds("--config", "a.toml", "--seed", "9") == [9, 10, 11]
    assert seeds("--config", "a.toml", "--seed", "9,4") == [9, 4]
    assert seeds("--config", "a.toml", "--count", "2") == [4, 5]
    assert seeds("--from-file", "-", "--config", "a.toml", stdin="a --d 1\nb --d 2") == [1, 2]


def seeds(*arguments: str, stdin: str | None = None) -> list[int]:
    return [recipe["seed"] for recipe in plan(*arguments, stdin=stdin)]


def test_flags_that_typer_refuses_end_with_2() -> None:
    assert txt2img("a cat", "--steps", "many").exit_code == 2
    assert txt2img("a cat", "-h").exit_code == 2
    assert txt2img("a cat", "--stpes", "4").exit_code == 2


def test_numbers_that_are_not_finite_end_with_4(monkeypatch: pytest.MonkeyPatch) -> None:
    import sdloop.pipeline.generate
    from sdloop.errors import NonFiniteError

    def stream(*_: object, **__: object) -> Any:
        raise NonFiniteError("the latents are not finite")
        yield

    monkeypatch.setattr(sdloop.pipeline.generate, "stream_resolved", stream)
    result = txt2img("a cat", "--seed", "4")
    assert result.exit_code == 4
    assert result.stderr == "sdloop: error: the latents are not finite\n"


def test_each_warning_is_told_once_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sdloop.pipeline.generate

    def stream(*_: object, **__: object) -> Any:
        for _ in range(2):
            warnings.warn("the eyes\nare tired", stacklevel=1)
        yield from ()

    monkeypatch.setattr(sdloop.pipeline.generate, "stream_resolved", stream)
    result = txt2img("a cat", "--seed", "4,7", "-o", "{seed}.png")
    assert result.exit_code == 0
    assert result.stderr == "sdloop: warning: the eyes are tired\n"


def test_two_models_take_turns_without_being_loaded_twice(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sdloop.models.components.load as loading

    HOST.set(Host())  # it keeps no models
    loaded = []
    load = loading.load_components

    def counting(checkpoint: Any, **options: Any) -> Any:
        loaded.append(checkpoint.name)
        return load(checkpoint, **options)

    monkeypatch.setattr(loading, "load_components", counting)
    other = tmp_path / "other"
    other.symlink_to(tiny_model)
    lines = [
        json.dumps({"prompt": str(number), "model": str(model), "seed": number})
        for number, model in enumerate([tiny_model, other, tiny_model])
    ]
    names = make("--from-file", "-", "-o", "{index}.png", stdin="\n".join(lines))
    assert names == ["0.png", "2.png", "1.png"]
    assert loaded == [str(tiny_model), str(other)]


def test_the_embedded_model_is_told_when_nobody_named_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDLOOP_MODEL")
    result = txt2img("a cat", "--seed", "4", "--dry-run")
    assert "using the small embedded model" in result.stderr
    assert json.loads(result.stdout)["model"] == "mini"
    named = txt2img("a cat", "-m", "mini", "--dry-run")
    assert "using the small embedded model" not in named.stderr


@pytest.mark.parametrize(
    "prompt, known",
    [
        ("a lighthouse, 8k", False),
        ("東京 🐎", False),
        ("frog", True),
        ("FROGS!", True),
        ("(two) lighthouses", True),
        ("a lighthouse by the sea", True),  # a wording that no list has
        ("", True),
        ("a", True),
    ],
)
def test_a_prompt_that_means_nothing_to_a_small_model(prompt: str, known: bool) -> None:
    result = txt2img(prompt, "-m", "mini", "--seed", "4", "--dry-run")
    hint = f'sdloop: "{prompt}" means nothing to mini: `sdloop models mini` lists the words'
    assert result.stderr == ("" if known else f"{hint} that it knows\n")
    assert txt2img(prompt, "-m", "mini", "--seed", "4", "--dry-run", "-q").stderr == ""


@pytest.mark.parametrize(
    "prompt, found",
    [
        ("a {red|blue} frog", "{red|blue}"),
        ("a __animal__ frog", "__animal__"),
        ("a {red} frog", None),
        ("a __ frog", None),
    ],
)
def test_braces_are_text_and_batch_is_named_which_reads_them(
    prompt: str, found: str | None
) -> None:
    arguments = [prompt, "-m", "mini", "--seed", "4", "--dry-run"]
    result = txt2img(*arguments)
    hint = f'sdloop: "{found}" is plain text here; `sdloop batch` expands it\n'
    assert (hint in result.stderr) == (found is not None)
    assert json.loads(result.stdout)["prompt"] == prompt
    assert "plain text" not in txt2img(*arguments, "-q").stderr


def test_words_are_told_once_and_only_of_models_that_list_them() -> None:
    lines = "a lighthouse\na windmill\na frog\n"
    small = txt2img("--from-file", "-", "-m", "mini", "--seed", "4", "--dry-run", stdin=lines)
    assert small.stderr.count("means nothing") == 1
    assert txt2img("a lighthouse", "--seed", "4", "--dry-run").stderr == ""


def test_warnings_between_programmers_stay_between_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from sdloop.cli.terminal.output import one_line_endings

    with one_line_endings(debug=False):
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        warnings.warn("new", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "sdloop: warning: new\n"


def test_a_full_disk_leaves_nothing_behind() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        result = txt2img("a cat", "--seed", "4", "--steps", "1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.exit_code == 3
    assert result.stderr == "sdloop: error: cannot write 'a-cat-4.png': File too large\n"
    assert list(Path().iterdir()) == []
