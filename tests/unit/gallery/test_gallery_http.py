"""The HTTP requests of the page, and who may send them; without a browser."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="pip install 'sdloop[pick]'")

from helpers.commands import Command as Shell
from helpers.pick_folder import desk, picture, plain, three
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from starlette.testclient import TestClient

from sdloop.gallery.app import Desk, guarded_app
from sdloop.gallery.commands import Command
from sdloop.gallery.folder import id_of
from sdloop.gallery.jobs import Job, Jobs

TOKEN = "a-token"
HERE = "http://127.0.0.1:8000"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is too new to be looked at again."""
    monkeypatch.setattr("sdloop.gallery.index._EVERY", 0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return three(tmp_path / "out")


def client(of: Desk | Path, address: str = f"{HERE}/{TOKEN}/") -> TestClient:
    app = guarded_app(of if isinstance(of, Desk) else desk(of), port=8000, token=TOKEN)
    return TestClient(app, base_url=address)


def news(browser: TestClient, after: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = browser.get(f"news?after={after}").json()
    return found


def test_the_page_and_what_it_is_made_of(out: Path) -> None:
    browser = client(out)
    for path, kind in (("", "text/html"), ("page.css", "text/css"), ("page.js", "text/javascript")):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
    assert "<title>sdloop pick</title>" in browser.get("").text


def test_every_answer_forbids_what_no_page_here_needs(out: Path) -> None:
    browser = client(out)
    news(browser)
    answers = [browser.get(path) for path in ("", "none", f"picture/{id_of('cat.png')}")]
    for answer in (*answers, client(out, f"{HERE}/").get("")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "address",
    [f"{HERE}/", f"{HERE}/a-tokem/", f"{HERE}/a-token", f"{HERE}//a-token/", f"{HERE}/%00/"],
)
def test_without_the_token_there_is_nothing(out: Path, address: str) -> None:
    for path in ("", "news", "page.js", f"choose/{id_of('cat.png')}/pick"):
        for ask in (client(out).get, client(out).post):
            answer = ask(f"{address}{path}", follow_redirects=False)
            assert answer.status_code in (403, 404, 405)
            assert "cat" not in answer.text
    assert not (out / "picks.txt").exists()


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "127.0.0.1.evil.example:8000", "127.0.0.1:8001", "127.0.0.1", ""]
)
def test_by_another_name_there_is_nothing(out: Path, host: str) -> None:
    """A page elsewhere may give its own name this machine's address: DNS rebinding."""
    answer = client(out).get("", headers={"host": host})
    assert answer.status_code == 403
    assert "printed" in answer.text
    assert client(out).get("", headers={"host": "localhost:8000"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
def test_another_page_changes_nothing(out: Path, headers: dict[str, str]) -> None:
    browser = client(out)
    news(browser)
    for path in (f"choose/{id_of('cat.png')}/pick", "copy", "larger"):
        assert browser.post(path, headers=headers).status_code == 403
    assert not (out / "picks.txt").exists()
    own = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert browser.post(f"choose/{id_of('cat.png')}/pick", headers=own).status_code == 200


def test_pictures_and_thumbnails(out: Path) -> None:
    plain(out / "wide.png", size=(800, 400))
    browser = client(out)
    news(browser)
    for path, kind in (("frogs/4.png", "image/png"), ("plain.jpg", "image/jpeg")):
        answer = browser.get(f"picture/{id_of(path)}")
        assert answer.content == (out / path).read_bytes()
        assert answer.headers["content-type"] == kind
        assert "immutable" in answer.headers["cache-control"]
    answer = browser.get(f"thumbnail/{id_of('wide.png')}?1-2")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (384, 192)


def test_nothing_else_is_served(out: Path) -> None:
    """Names are ids that this program made, so that a path is no name at all."""
    (out / "picks.txt").write_text("../secret.png\ncat.png\n")
    plain(out.parent / "secret.png")
    browser = client(out)
    news(browser)
    (out / "cat.png").unlink()
    (out / "cat.png").symlink_to(out.parent / "secret.png")
    for id in (id_of("../secret.png"), "..%2fsecret.png", "../../secret.png", id_of("cat.png")):
        for what in ("picture", "thumbnail"):
            assert browser.get(f"{what}/{id}").status_code in (403, 404)
        assert browser.post(f"choose/{id_of('../secret.png')}/pick").status_code == 404
    assert "points outside the folder" in browser.post("copy").text
    news(browser)
    told = browser.post("copy").json()
    assert (told["copied"], told["gone"]) == (0, ["../secret.png", "cat.png"])


def test_choices_are_on_the_disk_when_they_are_answered(out: Path) -> None:
    browser = client(out)
    news(browser)
    for path, choice in (("frogs/4.png", "pick"), ("cat.png", "pick"), ("plain.jpg", "reject")):
        answer = browser.post(f"choose/{id_of(path)}/{choice}")
    assert answer.json() == {"picks": ["frogs/4.png", "cat.png"], "rejects": ["plain.jpg"]}
    assert (out / "picks.txt").read_text() == "frogs/4.png\ncat.png\n"
    again = news(client(out))
    assert (again["picks"], again["rejects"]) == (["frogs/4.png", "cat.png"], ["plain.jpg"])
    browser.post(f"choose/{id_of('frogs/4.png')}/none")
    assert (out / "picks.txt").read_text() == "cat.png\n"
    assert browser.post(f"choose/{id_of('cat.png')}/love").status_code == 404
    assert browser.get(f"choose/{id_of('cat.png')}/pick").status_code == 405


def test_a_choice_that_cannot_be_written_is_told(out: Path) -> None:
    browser = client(out)
    news(browser)
    (out / "picks.txt").mkdir()
    answer = browser.post(f"choose/{id_of('cat.png')}/pick")
    assert answer.status_code == 500
    assert "picks.txt" in answer.text


def test_what_appears_meanwhile_is_news(out: Path) -> None:
    browser = client(out)
    first = news(browser)
    assert [one["path"] for one in first["pictures"]] == ["plain.jpg", "frogs/4.png", "cat.png"]
    picture(out / "new.png")
    (out / "cat.png").unlink()
    (out / "picks.txt").write_text("new.png\n")
    second = news(browser, first["number"])
    assert [one["path"] for one in second["pictures"]] == ["new.png"]
    assert (second["gone"], second["picks"]) == ([id_of("cat.png")], ["new.png"])
    assert browser.get("news?after=x").status_code == 400


def test_facts_have_the_commands(out: Path) -> None:
    browser = client(out)
    news(browser)
    facts = browser.get(f"facts/{id_of('frogs/4.png')}").json()
    assert facts["command"].startswith("sdloop txt2img 'a frog' --seed=4")
    assert facts["larger"].startswith(
        f"sdloop txt2img --hires=2 --output={out / 'frogs' / '4-x2.png'} "
    )
    assert browser.get(f"facts/{id_of('plain.jpg')}").json() == {"id": id_of("plain.jpg")}


def test_a_name_need_not_be_text(out: Path) -> None:
    os.rename(os.fsencode(out / "cat.png"), os.fsencode(out) + b"/odd-\xff.png")  # noqa: PTH104
    browser = client(out)
    path = news(browser)["pictures"][-1]["path"]
    assert path == "odd-\udcff.png"
    assert browser.get(f"picture/{id_of(path)}").status_code == 200
    browser.post(f"choose/{id_of(path)}/pick")
    assert (out / "picks.txt").read_bytes() == b"odd-\xff.png\n"
    assert "odd-" in browser.get(f"facts/{id_of(path)}").json()["larger"]


def test_picks_are_copied(out: Path) -> None:
    (out / "picks.txt").write_text("frogs/4.png\nplain.jpg\ngone.png\n")
    browser = client(out)
    news(browser)
    copies = out.parent / "copies"
    told = browser.post("copy").json()
    assert told == {"copied": 2, "there": 0, "gone": ["gone.png"], "folder": str(copies)}
    assert (copies / "frogs" / "4.png").read_bytes() == (out / "frogs" / "4.png").read_bytes()
    assert browser.post("copy").json()["there"] == 2


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_picks_are_made_larger_when_that_is_asked_for(out: Path) -> None:
    """Looking at the commands runs none; those that ran are not run twice, but if they failed."""
    (out / "picks.txt").write_text("plain.jpg\nfrogs/4.png\n")
    ran: list[Command] = []

    class Tried(Jobs):
        def _run(self, command: Command) -> tuple[int, str]:
            ran.append(command)
            return (3, "no room") if len(ran) == 1 else (0, "made")

    of = desk(out)
    of = Desk(root=of.root, shown=of.shown, copies=of.copies, cache=of.cache, index=of.index,
              jobs=Tried())  # fmt: skip
    browser = client(of)
    news(browser)
    (command,) = browser.get("larger").json()["commands"]
    assert "--hires=2" in command
    assert ran == []
    for state in ("failed", "done"):
        browser.post("larger")
        until(lambda state=state: of.jobs.all()[-1]["state"] == state)  # type: ignore[misc]
    assert browser.post("larger").json() == {"commands": [], "by_hand": 0}
    told = [(job["path"], job["state"], job["told"]) for job in news(browser)["jobs"]]
    assert told == [("frogs/4.png", "failed", "no room"), ("frogs/4.png", "done", "made")]
    assert [str(one) for one in ran] == [command, command]
    of.jobs.end()


@pytest.mark.slow
def test_a_pick_becomes_larger(tmp_path: Path, tiny_model: Path) -> None:
    """The whole way: the new picture is news, and beside the old one."""
    out = tmp_path / "out"
    made = Shell("txt2img").make(
        *("a frog", "-m", str(tiny_model), "--seed", "4", "-o", str(out / "4.png"))
    )
    assert made == [str(out / "4.png")]
    (out / "picks.txt").write_text("4.png\n")
    of = desk(out)
    browser = client(of)
    number = news(browser)["number"]
    browser.post("larger")
    until(lambda: of.jobs.all()[0]["state"] in ("done", "failed"))
    assert of.jobs.all()[0] == {"path": "4.png", "state": "done", "told": str(out / "4-x2.png")}
    told = news(browser, number)["pictures"]
    assert [(one["path"], one["settings"]["hires"]) for one in told] == [("4-x2.png", 2)]
    with Image.open(out / "4-x2.png") as image:
        assert image.size == (64, 64)
    of.jobs.end()


def test_no_code_is_run_that_a_picture_names(out: Path) -> None:
    """Whoever knows it may run the command; a click does not."""
    picture(out / "cat.png", losses=["os:system=100"], losses_sha256=["0" * 64])
    (out / "picks.txt").write_text("cat.png\n")
    of = desk(out)
    browser = client(of)
    news(browser)
    told = browser.post("larger").json()
    assert told["by_hand"] == 1
    assert "--loss=os:system=100" in told["commands"][0]
    assert of.jobs.all() == []


def test_pictures_of_others_are_for_rerun(out: Path) -> None:
    info = PngInfo()
    info.add_text(
        "parameters", "a hen\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 8x8"
    )
    Image.new("RGB", (8, 8)).save(out / "a1111.png", pnginfo=info)
    browser = client(out)
    first = news(browser)["pictures"][0]
    assert (first["path"], first["settings"]["seed"]) == ("a1111.png", 5)
    facts = browser.get(f"facts/{id_of('a1111.png')}").json()
    assert facts["command"] == f"sdloop rerun {out / 'a1111.png'}"


def test_what_runs_ends_with_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at a polite kill; and what waits is not begun."""
    monkeypatch.setattr("sdloop.gallery.jobs._PROGRAM", ("sh", "-c", "exec sleep 60", "sh"))
    jobs = Jobs()
    jobs.add([Job(path=name, command=Command(arguments=("touch", name))) for name in "ab"])
    until(lambda: jobs.all()[0]["state"] == "running" and jobs.running())
    started = time.monotonic()
    jobs.end()
    assert time.monotonic() - started < 20
    assert [job["state"] for job in jobs.all()] == ["failed", "waiting"]


def test_jobs_are_commands_of_this_sdloop() -> None:
    jobs = Jobs()
    jobs.add([Job(path="a.png", command=Command(arguments=("show", "none.png")))])
    until(lambda: jobs.all()[0]["state"] == "failed")
    assert jobs.all()[0]["told"] == "sdloop: error: cannot read 'none.png': it does not exist"
    jobs.end()
