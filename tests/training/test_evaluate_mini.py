"""The evaluation of the embedded model: its judge, its calculations, and its commands."""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import classifier
import evaluate
import figures
import findings
import numpy as np
import pytest
import torch
from drawing import draw_scene
from faults import FACES, SPOILED, face_of, fault_of, possible_faults
from judge import (
    ALL_ANSWERS,
    ANSWERS,
    HELD_OUT,
    RECORD,
    WEIGHTS,
    Judge,
    Verdicts,
    draw_batches,
    load_judge,
    look,
    save_judge,
)
from making import Settings, make, make_mixed
from measures import edge_energy, frechet_distance, pairwise_rms, psnr, wilson
from pen import EYELESS, HEADLESS, ONE_EYED, TWO_HEADED, WHOLE
from PIL import Image
from questions import PROMPTS, Question, questions, tally
from scenes import STYLES, Scene, sample_scene
from subjects import SUBJECTS

import sdloop
from sdloop.models.components.load import Components

SCENE = Scene(
    subject="frog", colour="green", setting="park", style="cartoon", count=1, doing="stilts",
    layout=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def mini() -> Components:
    return sdloop.load_components("mini")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few of everything, and no judge is too poor."""
    for name, value in (("TESTED", 8), ("NEEDED", 0.0), ("RECONSTRUCTED", 8)):
        monkeypatch.setattr(findings, name, value)
    monkeypatch.setattr(findings, "SEEDS", range(2))
    monkeypatch.setattr(findings, "MIXED_SEEDS", range(2))


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_judge(Judge(), tmp_path / "judge", {})
    return tmp_path / "judge"


def verdicts_on(*scenes: Scene) -> Verdicts:
    """The verdicts of a judge that sees exactly these scenes."""
    probabilities = {
        name: torch.eye(len(choices))[[choices.index(getattr(scene, name)) for scene in scenes]]
        for name, choices in ANSWERS.items()
    }
    probabilities |= {name: torch.tensor([[1.0, 0.0]] * len(scenes)) for name in FACES}
    return Verdicts(probabilities=probabilities, features=torch.zeros(len(scenes), 128))


def asked(*pairs: tuple[Scene, set[str]]) -> list[Question]:
    return [Question(prompt="", scene=scene, said=frozenset(said)) for scene, said in pairs]


def test_wilson_gives_the_published_intervals_and_stays_within_0_and_1() -> None:
    # Newcombe 1998 (Statistics in Medicine 17), table I, method 3.
    for counts, expected in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert wilson(*counts) == pytest.approx(expected, abs=5e-5)
    for total in (1, 7, 500):
        for count in range(total + 1):
            low, high = wilson(count, total)
            assert 0 <= low <= count / total <= high <= 1
    assert wilson(0, 0) == (0, 1)


def gaussian(mean: list[float], deviation: list[float], seed: int) -> torch.Tensor:
    """A sample whose own mean and covariance are exactly those asked for, on the diagonal."""
    raw = torch.randn(400, len(mean), generator=torch.Generator().manual_seed(seed)).double()
    raw = raw - raw.mean(dim=0)
    white = raw @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(raw.T))).T
    return white * torch.tensor(deviation) + torch.tensor(mean)


def test_frechet_distance_is_that_of_two_gaussians_in_closed_form() -> None:
    one = gaussian([0, 0, 1], [1, 2, 3], seed=0)
    other = gaussian([3, 4, 1], [2, 2, 1], seed=1)
    assert frechet_distance(one, other) == pytest.approx(9 + 16 + 1 + 0 + 4)
    # Turning both does not move them apart, and covariances off the diagonal are met that way.
    turn = torch.linalg.qr(gaussian([0, 0, 0], [1, 1, 1], seed=2)[:3])[0]
    assert frechet_distance(one @ turn, other @ turn) == pytest.approx(30)
    # Covariances that do not commute: (tr A + tr B - 2 tr (A B)^1/2) by the eigenvalues of A B.
    a, b = torch.cov((one @ turn).T), torch.cov(other.T)
    product = torch.linalg.eigvals(a @ b).real.sqrt().sum()
    means = ((one @ turn).mean(0) - other.mean(0)).square().sum()
    expected = float(means + a.trace() + b.trace() - 2 * product)
    assert frechet_distance(one @ turn, other) == pytest.approx(expected)


def test_frechet_distance_of_equal_clouds_is_zero() -> None:
    few = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(few, few.flip(0)) == pytest.approx(0, abs=1e-6)


def test_psnr_and_rms_are_those_of_eight_bit_pictures() -> None:
    black, grey = torch.full((1, 3, 4, 4), -1.0), torch.full((1, 3, 4, 4), -1 + 2 * 10 / 255)
    assert psnr(black, grey).item() == pytest.approx(20 * math.log10(255 / 10), rel=1e-4)
    assert pairwise_rms(torch.cat([black, grey, grey])) == pytest.approx(
        (10 + 10 + 0) / 3, rel=1e-4
    )


def test_a_picture_is_asked_only_about_what_its_prompt_says() -> None:
    seen = replace(SCENE, colour="red", setting="beach")
    shares = tally(
        asked((SCENE, {"subject", "doing"}), (SCENE, {"subject", "colour"})),
        verdicts_on(seen, seen),
    )
    assert (shares["subject"].right, shares["subject"].asked) == (2, 2)
    assert (shares["colour"].right, shares["colour"].asked) == (0, 1)
    assert (shares["setting"].right, shares["setting"].asked) == (0, 0)
    assert shares["setting"].to_dict()["share"] is None


def test_stilts_that_nobody_asked_for_are_wrong() -> None:
    hat = replace(SCENE, doing="hat")
    shares = tally(
        asked(*[(SCENE, {"doing"})] * 2, *[(hat, {"doing"})] * 3, (hat, set()), (SCENE, set())),
        verdicts_on(SCENE, hat, hat, SCENE, hat, SCENE, hat),
    )
    assert (shares["on stilts"].right, shares["on stilts"].asked) == (1, 2)
    assert (shares["off stilts"].right, shares["off stilts"].asked) == (3, 5)


def test_a_face_is_asked_for_where_it_can_be_seen() -> None:
    frog, pixel, three, giraffe, house = (
        replace(SCENE, **change)
        for change in ({}, {"style": "pixel"}, {"count": 3}, {"subject": "giraffe"},
                       {"subject": "house"})
    )  # fmt: skip
    assert face_of(frog) == {"eyes": "all"}
    assert face_of(frog, ONE_EYED) == face_of(frog, EYELESS) == {"eyes": "missing"}
    assert face_of(pixel) == face_of(three) == face_of(house) == {}
    assert face_of(giraffe) == {"eyes": "all", "head": "one"}
    assert face_of(giraffe, TWO_HEADED) == {"head": "none or two"}
    shares = tally(asked((frog, set()), (pixel, set()), (giraffe, set())),
                   verdicts_on(frog, pixel, giraffe))  # fmt: skip
    assert (shares["eyes"].right, shares["eyes"].asked) == (2, 2)
    assert (shares["head"].right, shares["head"].asked) == (1, 1)


@pytest.mark.parametrize("subject", [name for name in SUBJECTS if SUBJECTS[name].eyes])
def test_every_fault_shows(subject: str) -> None:
    scene = replace(SCENE, subject=subject, doing="nothing")
    sound = np.asarray(draw_scene(scene, (128, 128)), dtype=int)
    for fault in possible_faults(scene):
        spoiled = np.asarray(draw_scene(scene, (128, 128), fault=fault), dtype=int)
        changed = (np.abs(sound - spoiled).max(axis=2) > 40).sum()
        assert changed > (200 if fault in (HEADLESS, TWO_HEADED) else 8), fault


def test_a_judge_sees_spoiled_scenes_as_often_as_it_is_said() -> None:
    scenes = [(seed, sample_scene(seed)) for seed in range(4000)]
    able = [(seed, scene) for seed, scene in scenes if possible_faults(scene)]
    share = sum(fault_of(seed, scene) != WHOLE for seed, scene in able) / len(able)
    assert share == pytest.approx(SPOILED, abs=0.04)


def test_edges_blurred_away_are_missed_in_the_sharpness_of_their_style() -> None:
    drawn = torch.zeros(2, 3, 8, 8)
    drawn[:, :, :, 4:] = 1
    made = drawn.clone()
    made[1] /= 2
    scenes = [SCENE, replace(SCENE, style="pencil")]
    found = findings.sharpness(scenes, edge_energy(made), edge_energy(drawn))
    assert found == {"cartoon": 1.0, "watercolour": None, "pencil": 0.25, "pixel": None}


def test_questions_are_captions_of_held_out_scenes() -> None:
    first = questions(40)
    assert first == questions(40)
    assert {"subject"} <= set.intersection(*(set(one.said) for one in first))
    assert 0 < sum("colour" in one.said for one in first) < 40
    for one in first:
        assert one.scene.colour in one.prompt.replace("wood", "wooden") or "colour" not in one.said


def test_no_seed_serves_twice() -> None:
    spans = [
        range(10**9),  # what the model is trained on
        range(1 << 40, (1 << 40) + 10**6),  # and what it is measured on
        range(PROMPTS, PROMPTS + 10**6),
        range(classifier.TRAIN, classifier.TRAIN + 10**9),
        range(HELD_OUT, HELD_OUT + 2 * classifier.MEASURED),
        range(findings.FRESH, findings.FRESH + 10**6),
    ]
    for one, other in itertools.pairwise(spans):
        assert one.stop <= other.start


def test_a_few_hundred_scenes_teach_the_judge_more_than_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(classifier, "MEASURED", 120)
    monkeypatch.setattr(classifier, "SIZES", ((64, 64), (96, 64)))
    flags = ["--out", str(tmp_path), "--pictures", "800", "--batch", "16"]
    classifier.train(classifier.parse([*flags, "--precision", "no"]))
    record = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    assert set(record["accuracy"]) == {"64x64", "96x64"}
    for shares in record["accuracy"].values():  # the likeliest answers have 0.20 and 0.46
        assert shares["setting"] > 0.4
        assert shares["style"] > 0.6
    assert (tmp_path / WEIGHTS).stat().st_size < 2_000_000
    lines = classifier.confusions(load_judge(tmp_path), 100)
    counts = [int(line.split(" of ")[0].split()[-1]) for line in lines]
    assert counts == sorted(counts, reverse=True)
    assert any(line.startswith("subject: ") and f"{HELD_OUT:#x}+" in line for line in lines)
    assert "drawn " in capsys.readouterr().out


def test_the_judges_training_resumes_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier, "MEASURED", 8)
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def flags(folder: Path) -> list[str]:
        return ["--out", str(folder), "--pictures", "16", "--batch", "4", "--every", "2"]

    classifier.train(classifier.parse(flags(whole)))
    save = classifier.Lessons.save

    def save_and_die(lessons: classifier.Lessons) -> None:
        save(lessons)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(classifier.Lessons, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            classifier.train(classifier.parse(flags(broken)))
    assert not (broken / WEIGHTS).exists()
    classifier.train(classifier.parse(flags(broken)))
    assert (whole / WEIGHTS).read_bytes() == (broken / WEIGHTS).read_bytes()


def test_softening_changes_pictures_a_little_and_the_same_way_again() -> None:
    pictures = next(draw_batches(range(HELD_OUT, HELD_OUT + 32), (64, 64)))
    soft = classifier.soften(pictures, torch.Generator().manual_seed(0))
    assert torch.equal(soft, classifier.soften(pictures, torch.Generator().manual_seed(0)))
    change = (soft - pictures).abs().mean(dim=(1, 2, 3))
    assert change.min() > 0.005
    assert change.max() < 0.2
    red, _, blue = (soft - pictures).mean(dim=(2, 3)).unbind(dim=1)
    assert (red - blue).abs().max() < 0.15  # contrast moves channels, but none by itself


def test_a_judge_is_the_same_after_a_trip_to_the_disk(untrained: Path) -> None:
    judge = load_judge(untrained)
    save_judge(judge, untrained, {})
    pictures = list(draw_batches(range(8), (64, 96)))
    one, two = (look(each, iter(pictures)) for each in (judge, load_judge(untrained)))
    assert torch.equal(one.features, two.features)
    assert one.answers("doing") == two.answers("doing")


def test_a_judge_sees_the_same_in_a_picture_twice_as_large() -> None:
    torch.manual_seed(0)
    judge = Judge().eval()
    small = next(draw_batches(range(4), (96, 64)))
    large = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.no_grad():
        assert torch.allclose(judge.features(small), judge.features(large), atol=1e-5)


def test_a_judge_of_another_world_is_refused(untrained: Path) -> None:
    record = json.loads((untrained / RECORD).read_text(encoding="utf-8"))
    record["answers"]["subject"].append("unicorn")
    (untrained / RECORD).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError, match=r"each subject of scenes\.py.*unicorn"):
        load_judge(untrained)


def test_a_judge_of_98_percent_may_not_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = dict.fromkeys([*ANSWERS, "stilts"], 0.995)
    monkeypatch.setattr(findings, "measure_judge", lambda *_: shares | {"colour": 0.98})
    with pytest.raises(SystemExit, match=r"99% of drawn scenes.*colour of 98\.00%"):
        findings.check_judge(Judge(), (128, 128))
    monkeypatch.setattr(findings, "measure_judge", lambda *_: shares | {"colour": 0.99})
    assert findings.check_judge(Judge(), (128, 128))["colour"] == 0.99


def test_an_attribute_that_the_judge_cannot_tell_is_not_judged() -> None:
    question = asked((SCENE, {"subject", "doing"}))
    trust = dict.fromkeys([*ANSWERS, "stilts"], 1.0)
    judged = findings.measure_shares(question, verdicts_on(SCENE), trust | {"doing": 0.98})
    assert set(findings.measure_shares(question, verdicts_on(SCENE), trust)) - set(judged) == {
        "doing"
    }


def test_the_command_stops_before_any_picture_when_the_judge_is_poor(
    untrained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(findings, "TESTED", 16)
    monkeypatch.setattr(findings, "make", lambda *_: pytest.fail("it went on"))
    with pytest.raises(SystemExit, match="the judge must tell"):
        evaluate.main(["--judge", str(untrained), "--prompts", "4", "--steps", "2"])
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("small")
def test_the_command_reports_everything(
    untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "numbers.json"
    flags = ["--judge", str(untrained), "--prompts", "4", "--steps", "2", "--json", str(file)]
    evaluate.main([*flags, "--sizes", "64x64,96x64"])
    out = capsys.readouterr().out
    numbers = json.loads(file.read_text(encoding="utf-8"))
    assert list(numbers["sizes"]) == ["64x64", "96x64"]
    assert numbers["guidance_scale"] == sdloop.load_components("mini").guidance_scale
    for size, found in numbers["sizes"].items():
        assert size in out
        assert [*found["shares"]][:8] == [*ANSWERS, "on stilts", "off stilts"]
        assert found["shares"]["subject"]["asked"] == 4
        stilts = [found["shares"][half]["asked"] for half in ("on stilts", "off stilts")]
        assert sum(stilts) == 4
        assert set(found["judge"]) == set(found["vae"]["accuracy"]) == {*ALL_ANSWERS, "stilts"}
        assert set(found["sharpness"]) == set(found["vae"]["sharpness"]) == set(STYLES)
        assert 5 < found["vae"]["psnr"] < 60
        assert f"reconstruction {found['vae']['psnr']:.1f} dB" in out
        assert found["frechet"]["generated"] > 0
        assert found["seeds"]["same_seed"] == 0
        assert found["seeds"]["different_seeds"] > 1
        assert list(found["mix"]) == ["0", "0.5", "1"]
        assert found["mix"]["0"]["distance from a rabbit"] == 0
        assert found["mix"]["0.5"]["distance from a rabbit"] > 0


@pytest.mark.usefixtures("small")
def test_a_sweep_changes_one_setting_and_reports_the_shares(
    untrained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipes: list[sdloop.Recipe] = []

    def remember(_: Components, some: list[sdloop.Recipe], __: int) -> list[Image.Image]:
        recipes.extend(some)
        return [Image.new("RGB", (64, 64))] * len(some)

    monkeypatch.setattr(findings, "make", remember)
    file = tmp_path / "numbers.json"
    flags = ["--judge", str(untrained), "--prompts", "2", "--json", str(file)]
    evaluate.main([*flags, "--sweep", "guidance", "--sweep", "steps"])
    made = [(recipe.steps, recipe.guidance_scale, recipe.seed) for recipe in recipes]
    shipped = sdloop.load_components("mini").guidance_scale
    assert made == [
        *[(25, scale, seed) for scale in (1, 2, 4, 7.5, 12) for seed in (0, 1)],
        *[(steps, shipped, seed) for steps in (1, 2, 5, 10, 25, 50) for seed in (0, 1)],
    ]
    assert recipes[0].prompt == recipes[2].prompt == questions(1)[0].prompt
    found = json.loads(file.read_text(encoding="utf-8"))["sizes"]["128x128"]
    assert list(found["guidance"]) == ["1", "2", "4", "7.5", "12"]
    assert found["steps"]["50"]["subject"]["asked"] == 2
    assert "guidance  subject" in capsys.readouterr().out


@pytest.mark.parametrize(("share", "end"), [(0.0, "a rabbit"), (1.0, "a frog")])
def test_the_ends_of_a_mixture_are_the_pictures_of_its_prompts(
    mini: Components, share: float, end: str
) -> None:
    settings = Settings(steps=2)
    mixed = make_mixed(mini, ("a rabbit", "a frog"), share, range(3), settings)
    whole = make(mini, [settings.recipe(end, seed) for seed in range(3)], batch_size=3)
    for one, two in zip(mixed, whole, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(two))


def test_figures_are_written_with_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mini: Components
) -> None:
    monkeypatch.setattr(figures, "MIXED_SEEDS", range(2))
    monkeypatch.setattr(figures, "SEEDS", range(8))
    only = [flag for name in ("styles", "mix", "sizes") for flag in ("--only", name)]
    figures.main(["--out", str(tmp_path), "--steps", "1", *only])
    assert {path.name for path in tmp_path.iterdir()} == {
        f"mini-{name}.png" for name in ("styles", "mix", "sizes")
    }
    side = mini.native_size[0] * figures.ZOOM
    cell = side + figures.LINE + figures.GAP, side + figures.GAP
    with Image.open(tmp_path / "mini-mix.png") as mixtures:
        assert mixtures.size == (2 * cell[1] + figures.GAP, 3 * cell[0] + figures.GAP)
        strip = mixtures.crop((figures.GAP, figures.GAP + side, figures.GAP + side, cell[0]))
        assert strip.convert("L").getextrema()[0] < 128
    with Image.open(tmp_path / "mini-styles.png") as styles:
        assert styles.width == 4 * cell[1] + figures.GAP


Figure = Callable[[Components, Settings], Image.Image]


@pytest.mark.parametrize(
    ("figure", "cells"),
    [
        (figures.prompts, 10),
        (figures.styles, 4),
        (figures.guidance, 10),
        (figures.steps, 6),
        (figures.seeds, 8),
        (figures.mixtures, 18),
        (figures.sizes, 4),
    ],
)
def test_a_figure_shows_what_it_says(
    mini: Components, monkeypatch: pytest.MonkeyPatch, figure: Figure, cells: int
) -> None:
    """Every cell has a label of its own settings."""
    laid: list[figures.Labelled] = []
    lay_out = figures.lay_out

    def remember(pictures: list[figures.Labelled], columns: int, *, lines: int = 1) -> Image.Image:
        laid.extend(pictures)
        return lay_out(pictures, columns, lines=lines)

    def blank(_: Components, recipes: list[sdloop.Recipe], __: int) -> list[Image.Image]:
        return [Image.new("RGB", (one.width or 64, one.height or 64)) for one in recipes]

    monkeypatch.setattr(figures, "lay_out", remember)
    monkeypatch.setattr(figures, "make", blank)
    monkeypatch.setattr(
        figures, "make_mixed", lambda *args: [Image.new("RGB", (64, 64))] * len(args[3])
    )
    figure(mini, Settings())
    assert len(laid) == cells
    assert all(label for label, _ in laid)


SHIPPED = Path(evaluate.__file__).parent / "judge"


def test_the_shipped_judge_may_judge() -> None:
    shipped, fresh = load_judge(SHIPPED), range(findings.FRESH, findings.FRESH + 400)
    for size in ((64, 64), (128, 128)):
        shares = findings.measure_judge(shipped, fresh, size)
        assert min(shares[name] for name in findings.REQUIRED) >= 0.98, shares
        assert min(shares[name] for name in FACES) >= 0.93, shares


@pytest.mark.slow
def test_the_shipped_model_follows_its_prompts(mini: Components) -> None:
    asked = questions(32)
    verdicts = findings.generated(mini, load_judge(SHIPPED), asked, Settings())
    shares = {name: share.share for name, share in tally(asked, verdicts).items()}
    assert shares["subject"] > 0.8, shares
    assert shares["setting"] > 0.9, shares
    assert shares["on stilts"] > 0.8, shares
