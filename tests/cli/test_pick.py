"""sdloop pick: the real command line, with requests to its server over a real socket."""

import http.client
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers.commands import Command, work_in
from helpers.pick_folder import picture, three

from sdloop.cli.options.ranking import RankOptions
from sdloop.gallery.folder import id_of
from sdloop.inspection.ranking import Ranked

PICK = Command("pick")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_in(tmp_path / "here", monkeypatch, Path("mini"))


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address that it printed."""
    command = [sys.executable, "-m", "sdloop", "pick", *arguments, "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


def fetched(address: str, method: str = "GET") -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, method=method)) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_page_until_it_is_interrupted(how: signal.Signals) -> None:
    """The address alone is on stdout; picks are on the disk before it ends."""
    pytest.importorskip("uvicorn", reason="pip install 'sdloop[pick]'")
    three(Path("out"))
    with serving("out") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[\w-]{32}/", address)
        told = json.loads(fetched(f"{address}news?after=0"))
        assert [one["path"] for one in told["pictures"]] == ["plain.jpg", "frogs/4.png", "cat.png"]
        fetched(f"{address}choose/{id_of('cat.png')}/pick", "POST")
        with pytest.raises(urllib.error.HTTPError, match="403"):
            fetched(address[:-2] + "/")
        assert Path("out/picks.txt").read_text() == "cat.png\n"
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "")
        assert err == "sdloop: 1 picked, 0 rejected; see out/picks.txt\n"
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "cat.png",
        "frogs",
        "picks.txt",
        "plain.jpg",
    ]


def test_only_this_machine_is_answered() -> None:
    pytest.importorskip("uvicorn", reason="pip install 'sdloop[pick]'")
    three(Path("out"))
    with serving("out", "--quiet") as (process, address):
        port = int(address.split(":")[2].split("/")[0])
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        mine = {row[1] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
        assert mine == {f"0100007F:{port:04X}"}
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", address.partition(str(port))[2], headers={"Host": "evil.example"})
        assert connection.getresponse().status == 403
        taken = PICK.refused("out", "--port", str(port), "--no-browser")
        assert taken == f"port must be free, got {port}: Address already in use"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")


def test_neither_torch_nor_diffusers_is_imported() -> None:
    code = (
        "import sys\nimport sdloop.gallery.app, sdloop.gallery.serve, sdloop.cli.read.pick\n"
        "from sdloop.cli import app\n"
        "try: app(['pick', 'out', '--export', 'gallery'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'diffusers', 'transformers', 'numpy') if m in sys.modules])"
    )
    pytest.importorskip("uvicorn", reason="pip install 'sdloop[pick]'")
    three(Path("out"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["gallery/index.html", "[]"]


def told(gallery: str) -> list[dict[str, object]]:
    script = (Path(gallery) / "pictures.js").read_text("ascii")
    found: list[dict[str, object]] = json.loads(
        script.removeprefix("window.sdloopPictures = ")[:-2]
    )
    return found


def test_a_gallery_is_files() -> None:
    three(Path("out"))
    picture(Path("out/odd #1 100%.png"), prompt="</script><b>&amp;", seconds=1e9 + 5)
    result = PICK.run("out", "--export", "gallery")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "gallery/index.html\n", "")
    pictures = told("gallery")
    assert [one["path"] for one in pictures] == [
        "odd #1 100%.png", "plain.jpg", "frogs/4.png", "cat.png"
    ]  # fmt: skip
    assert pictures[0]["large"] == "pictures/odd%20%231%20100%25.png"
    assert str(pictures[2]["command"]).startswith("sdloop txt2img 'a frog' --seed=4")
    for one in pictures:
        large = Path("gallery/pictures") / str(one["path"])
        assert large.read_bytes() == (Path("out") / str(one["path"])).read_bytes()
        assert (Path("gallery") / str(one["small"])).is_file()
    page = Path("gallery/index.html").read_text("utf-8")
    assert "</script><b>" not in page
    assert 'alt="&lt;/script&gt;&lt;b&gt;&amp;amp;"' in page
    assert re.findall(r'(?:src|href)="(?!pictures/|thumbnails/)([^"]*)"', page) == [
        "data:,", "page.css", "pictures.js", "page.js"
    ]  # fmt: skip
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "cat.png",
        "frogs",
        "odd #1 100%.png",
        "plain.jpg",
    ]


def test_a_gallery_of_the_picks() -> None:
    three(Path("out"))
    Path("out/picks.txt").write_text("cat.png\n../gone.png\nfrogs/4.png\n")
    result = PICK.run("out", "--export", "gallery", "--picked")
    assert [one["path"] for one in told("gallery")] == ["cat.png", "frogs/4.png"]
    assert result.stderr == (
        "sdloop: left out 1 of the picks because files are missing, such as '../gone.png'\n"
    )
    assert PICK.refused("out", "--export", "gallery", code=3).startswith("'gallery' already exists")
    assert PICK.run("out", "--export", "gallery", "--overwrite").exit_code == 0
    assert len(told("gallery")) == 3


def test_a_gallery_of_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """By scores that a CLIP gave; what has no prompt has none, and comes last."""

    def ranked(names: list[str], options: RankOptions, *, quiet: bool) -> list[Ranked]:
        assert options.top is None
        scores = {Path(name).name: number for number, name in enumerate(names)}
        assert list(scores) == ["4.png", "cat.png"]
        return [Ranked(name=name, words="", score=scores[Path(name).name]) for name in names]

    monkeypatch.setattr("sdloop.cli.read.pick.ranked", ranked)
    three(Path("out"))
    PICK.run("out", "--export", "all", "--rank", "clip")
    assert [one["path"] for one in told("all")] == ["cat.png", "frogs/4.png", "plain.jpg"]
    settings = told("all")[0]["settings"]
    assert isinstance(settings, dict)
    assert settings["clip"] == 1
    PICK.run("out", "--export", "best", "--rank", "clip", "--top", "1")
    assert [one["path"] for one in told("best")] == ["cat.png"]


@pytest.mark.slow
def test_the_clip_itself(tmp_path: Path) -> None:
    """A random one, to which red, green and blue are not the same, at least."""
    from helpers.tiny import save_tiny_clip

    three(Path("out"))
    clip = str(save_tiny_clip(tmp_path / "clip"))
    how = ("--rank", "clip", "--rank-prompt", "a frog", "--clip-model", clip)
    result = PICK.run("out", "--export", "g", *how)
    assert result.exit_code == 0, result.stderr
    scores = [one["settings"]["clip"] for one in told("g")]  # type: ignore[index]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        ([], "a folder must be given, as in: sdloop pick out/", 2),
        (["none"], "cannot read 'none': No such file or directory", 3),
        (["out/cat.png"], "cannot read 'out/cat.png': it is not a folder", 3),
        (["out", "--picked"], "picked needs --export", 2),
        (["out", "--overwrite"], "overwrite needs --export", 2),
        (["out", "--export", "g", "--port", "1"], "port cannot be combined with --export", 2),
        (["out", "--export", "out/g"], "cannot write 'out/g': it is inside the folder of the", 3),
        (["out", "--export", "out/cat.png"], "cannot write 'out/cat.png': it is inside the", 3),
        (["out", "--export", "a.txt", "--overwrite"], "'a.txt' already exists", 3),
        (["out", "--export", "g", "--picked"], "cannot make a gallery of 'out': no picture was", 3),
        (
            ["empty", "--export", "g"],
            "cannot make a gallery of 'empty': it contains no pictures",
            3,
        ),
        (["out", "--top", "3"], "top needs --rank clip", 2),
        (["out", "--rank", "clip", "--top", "3"], "top needs --export: the page shows all", 2),
        (["out", "--port", "65536"], "port must be at most 65535, got 65536", 2),
        (["out", "--copy-to", "out/best"], "copy_to must lie outside of 'out', got 'out/best'", 2),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments: list[str], complaint: str, code: int) -> None:
    three(Path("out"))
    Path("empty").mkdir()
    Path("a.txt").write_text("")
    assert PICK.refused(*arguments, code=code).startswith(complaint)


def test_a_missing_framework_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    three(Path("out"))
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert "pip install 'sdloop[pick]'" in PICK.refused("out")
    assert PICK.run("out", "--export", "gallery").exit_code == 0
