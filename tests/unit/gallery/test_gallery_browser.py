"""The page in a real browser: what it shows, its keys, and the files it writes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from helpers.chromium import chromium
from helpers.pick_folder import picture, plain

pytest.importorskip("uvicorn", reason="pip install 'sdloop[pick]'")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    # It keeps things at home, and each test has another one.
    before = os.environ.get("HOME", "")
    os.environ["HOME"] = str(tmp_path_factory.mktemp("browser"))
    with chromium() as found:
        yield found
    os.environ["HOME"] = before


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return six(tmp_path / "out")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a page for tests that change nothing."""
    with serving(six(tmp_path_factory.mktemp("shared") / "out")) as (_, address):
        yield address


def six(folder: Path) -> Path:
    """Six pictures, of which the newest has the largest number."""
    for number, (prompt, scale, colour) in enumerate(
        [("a cat", 1.5, "red"), ("a cat", 3.0, "lime"), ("a frog at night", 1.5, "blue"),
         ("a frog", 3.0, "navy"), ("a <b>dog</b>", 7.5, "gold")]
    ):  # fmt: skip
        picture(folder / f"sub/{number}.png", seconds=1e9 + number, colour=colour, prompt=prompt,
                seed=10 - number, guidance_scale=scale)  # fmt: skip
    plain(folder / "5.png", seconds=1e9 + 5, size=(900, 600))
    return folder


class Page:
    """A page in the browser, and what goes wrong in it unseen."""

    def __init__(self, browser: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda line: self.console(line.text))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def console(self, line: str) -> None:
        """That a server which was ended does not answer is what its page finds out so."""
        if not line.startswith("Failed to load resource: net::ERR_"):
            self.wrong.append(line)

    def see(self, address: str, cells: int) -> None:
        from playwright.sync_api import expect

        self.page.goto(address)
        expect(self.page.locator(".cell")).to_have_count(cells, timeout=30_000)

    def press(self, keys: str) -> None:
        for key in keys.split():
            self.page.keyboard.press(key)

    def names(self) -> list[str]:
        found: list[str] = self.page.locator(".cell .name").all_text_contents()
        return found

    def told(self, text: str) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator("#told")).to_contain_text(text, timeout=30_000)

    def written(self) -> None:
        """Wait until the page says that all is on the disk."""
        from playwright.sync_api import expect

        expect(self.page.locator("#told")).not_to_contain_text("writing", timeout=30_000)

    def has_loaded_all(self) -> None:
        """Wait until each picture of the grid is there."""
        for _ in range(600):
            if self.page.evaluate(
                "[...document.images].filter((i) => i.closest('.cell'))"
                ".every((i) => i.naturalWidth)"
            ):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("some pictures of the grid have not been loaded")

    def has(self, selector: str, count: int = 1) -> None:
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_have_count(count, timeout=30_000)


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:
    found = Page(browser)
    yield found
    found.context.close()
    assert found.wrong == []


@contextmanager
def serving(out: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "sdloop", "pick", str(out), "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().rstrip("\n")
        finally:
            process.kill()


def picks(out: Path) -> list[str]:
    return (out / "picks.txt").read_text().splitlines()


def test_keys_pick_and_reject(out: Path, page: Page) -> None:
    """From the newest on; and after a restart all is as it was."""
    with serving(out) as (_, address):
        page.see(address, 6)
        assert page.names() == [
            "5.png", "sub/4.png", "sub/3.png", "sub/2.png", "sub/1.png", "sub/0.png"
        ]  # fmt: skip
        page.page.locator(".cell").first.click()
        page.press("n p ArrowRight x End p")
        page.told("6 pictures · 2 picked · 1 rejected")
        page.has("aside [data-choose=pick][aria-pressed=true]")
        page.press("Home n p b")
        page.told("1 picked · 1 rejected")
        page.written()
    assert picks(out) == ["sub/0.png"]
    assert (out / "rejects.txt").read_text() == "sub/3.png\n"
    with serving(out) as (_, address):
        page.see(address, 6)
        page.told("1 picked · 1 rejected")
        page.page.select_option("#show", "pick")
        page.has(".cell", 1)
        assert all(url.startswith((address, "data:")) for url in page.asked[-8:])


def test_filter_and_sort(shared: str, page: Page) -> None:
    page.see(shared, 6)
    words = page.page.locator("#words")
    for query, expected in [
        ("cat", ["sub/1.png", "sub/0.png"]),
        ("frog -night", ["sub/3.png"]),
        ('"a frog at"', ["sub/2.png"]),
        ("guidance_scale>=3 seed<9", ["sub/4.png", "sub/3.png"]),
        ('prompt="A Cat" guidance_scale!=3', ["sub/0.png"]),
        ("path:sub/4", ["sub/4.png"]),
        ("nothing=3", []),
    ]:
        words.fill(query)
        page.has(".cell", len(expected))
        assert page.names() == expected, query
    assert page.page.locator("#nothing").text_content() == "No picture matches the filter."
    words.fill("")
    page.page.select_option("#sort", "seed")
    assert page.names() == [*(f"sub/{number}.png" for number in (4, 3, 2, 1, 0)), "5.png"]
    page.page.click("#reverse")
    assert page.names() == [*(f"sub/{number}.png" for number in range(5)), "5.png"]
    page.page.reload()
    page.has(".cell", 6)
    assert page.names()[0] == "sub/0.png"


def test_the_recipe_and_its_values(shared: str, page: Page) -> None:
    """Text from a file is text, whatever it looks like; a click on a value filters by it."""
    page.see(shared, 6)
    page.page.locator(".cell", has_text="sub/4.png").click()
    page.has("aside pre", 2)
    assert page.page.locator("aside pre").first.text_content().startswith(
        "sdloop txt2img 'a <b>dog</b>' --seed=6 "
    )  # fmt: skip
    assert page.page.locator("aside .prompt").first.text_content() == "a <b>dog</b>"
    page.page.get_by_role("button", name="7.5").click()
    page.has(".cell", 1)
    assert page.page.locator("#words").input_value() == "guidance_scale=7.5"
    page.press("i")
    assert page.page.locator("aside").is_hidden()


def test_side_by_side(out: Path, page: Page) -> None:
    with serving(out) as (_, address):
        page.see(address, 6)
        page.page.locator(".cell", has_text="sub/3.png").click()
        page.press("m n n m c")
        page.has(".panel", 2)
        told = page.page.locator(".panel .differs").all_text_contents()
        assert "prompt a frog" in told[0]
        assert "prompt a cat" in told[1]
        assert "steps" not in told[0]
        page.press("2 ArrowRight x")
        page.has(".panel [data-choose=pick][aria-pressed=true]", 0)
        page.has(".panel [data-choose=reject][aria-pressed=true]", 1)
        page.press("1 Escape")
        page.has("dialog[open]", 0)
        page.told("1 picked · 1 rejected · 2 marked")
        page.press("Escape Home Enter n")
        page.has(".panel", 1)
        assert page.page.locator(".panel img").get_attribute("alt") == "a <b>dog</b>"
        page.press("z")
        page.has("#viewer.true")
        page.press("z Escape")
        page.written()
    assert picks(out) == ["sub/3.png"]
    assert (out / "rejects.txt").read_text() == "sub/1.png\n"


def test_what_appears_and_what_goes(out: Path, page: Page) -> None:
    with serving(out) as (process, address):
        page.see(address, 6)
        page.page.locator(".cell", has_text="sub/3.png").click()
        # A file that goes while its thumbnail is on the way would be a 404, and rightly so.
        page.has_loaded_all()
        picture(out / "sub" / "new.png", seconds=2e9)
        (out / "sub" / "0.png").unlink()
        page.has('.cell[title="a frog"]:focus')
        page.has(".cell >> text=new.png")
        page.told("6 pictures")
        assert page.names()[0] == "sub/new.png"
        page.press("p")
        page.told("1 picked")
        page.written()
        process.send_signal(signal.SIGINT)
        page.told("does not answer")
    assert picks(out) == ["sub/3.png"]


def test_every_picture_is_seen(shared: str, page: Page) -> None:
    """A thumbnail of a large one, and what is small itself."""
    page.see(shared, 6)
    page.has_loaded_all()
    sizes = page.page.evaluate(
        "[...document.images].filter((i) => i.closest('.cell'))"
        ".map((i) => [i.naturalWidth, i.naturalHeight])"
    )
    assert sizes == [[384, 256], *[[64, 64]] * 5]


def test_picks_are_copied_and_commands_shown(out: Path, page: Page) -> None:
    with serving(out) as (_, address):
        page.see(address, 6)
        page.page.locator(".cell", has_text="sub/3.png").click()
        page.press("p")
        page.page.click("#copy")
        page.told(f"1 pick copied to {out.with_name('out-picks')}")
        page.page.click("#larger")
        page.has("#enlarge[open]")
        commands = page.page.locator("#commands").input_value()
        assert commands.startswith("sdloop txt2img --hires=2 ")
    assert (out.with_name("out-picks") / "sub" / "3.png").is_file()


def test_all_of_it_without_a_mouse_and_in_the_dark(shared: str, page: Page) -> None:
    page.page.emulate_media(color_scheme="dark")
    page.see(shared, 6)
    colour = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(22, 21, 20)"
    missing = {"words", "show", "sort", "reverse", "compare", "copy", "larger", "help"}
    for _ in range(40):  # Chromium may begin anywhere; a picture is reached in the end
        page.press("Tab")
        reached = page.page.evaluate("document.activeElement.id")
        missing.discard(reached)
        if not missing and reached.startswith("p-"):
            break
    else:
        raise AssertionError(f"{missing or 'a picture'} cannot be reached with Tab")
    page.press("?")
    page.has("#keys[open]")


def test_a_gallery_from_a_disk(out: Path, page: Page, tmp_path: Path) -> None:
    """By its path, without a server: the pictures, the filter, side by side; nothing is picked."""
    (out / "picks.txt").write_text("".join(f"sub/{n}.png\n" for n in (3, 0, 4, 2, 1)) + "5.png\n")
    command = [sys.executable, "-m", "sdloop", "pick", str(out), "--export", str(tmp_path / "g")]
    subprocess.run([*command, "--picked"], check=True, capture_output=True)
    page.see((tmp_path / "g" / "index.html").as_uri(), 6)
    assert page.names() == [*(f"sub/{number}.png" for number in (3, 0, 4, 2, 1)), "5.png"]
    page.page.select_option("#sort", "time")
    assert page.names()[:2] == ["5.png", "sub/4.png"]
    for _ in range(600):
        if page.page.evaluate("[...document.images].every((i) => i.complete && i.naturalWidth)"):
            break
        page.page.wait_for_timeout(50)
    else:
        raise AssertionError("there are pictures that are not seen")
    assert page.page.locator("#copy").is_hidden()
    page.page.locator(".cell", has_text="sub/4.png").click()
    page.press("p")
    page.has("aside pre", 2)
    page.page.fill("#words", "frog")
    page.has(".cell", 2)
    page.press("Enter c")
    page.has(".panel", 2)
    page.told("6 pictures · 2 shown")
    assert all(url.startswith(("file:", "data:")) for url in page.asked)
