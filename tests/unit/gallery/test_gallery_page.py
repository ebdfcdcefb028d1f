"""The page's HTML, CSS and JavaScript: complete, labelled, and without external requests."""

import re
from html.parser import HTMLParser
from pathlib import Path

import sdloop

PAGE = Path(sdloop.__file__).parent / "gallery" / "page"
HTML = (PAGE / "page.html").read_text("utf-8")
CSS = (PAGE / "page.css").read_text("utf-8")
SCRIPT = (PAGE / "page.js").read_text("utf-8")

VOID = {"meta", "link", "input", "img", "br"}


class Outline(HTMLParser):
    """Every element with its attributes, the elements around it, and the text in it."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[int] = []
        self.elements: list[tuple[str, dict[str, str], list[int]]] = []
        self.texts: dict[int, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: "" if value is None else value for name, value in attrs}
        self.elements.append((tag, values, list(self.open)))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self.open.pop()][0] == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        for index in self.open:
            self.texts[index] = self.texts.get(index, "") + data.strip()


def outline() -> Outline:
    found = Outline()
    found.feed(HTML)
    found.close()
    assert found.open == []
    return found


def test_everything_that_can_be_used_has_a_name() -> None:
    page = outline()
    labels = {values.get("for") for tag, values, _ in page.elements if tag == "label"}
    for index, (tag, values, around) in enumerate(page.elements):
        if tag not in ("button", "input", "select", "textarea", "dialog", "aside"):
            continue
        within = [place for place in around if page.elements[place][0] == "label"]
        named = values.get("aria-label") or values.get("aria-labelledby")
        text = page.texts.get(index, "") if tag == "button" else ""
        labelled = any(page.texts.get(place) for place in within) or values.get("id") in labels
        assert named or text or labelled, (tag, values)
        if tag == "button":
            assert values.get("type") == "button", values


def test_ids_are_one_each_and_those_that_are_asked_for() -> None:
    ids = [values["id"] for _, values, _ in outline().elements if "id" in values]
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'\$\("([\w-]+)"\)', SCRIPT)) <= set(ids)
    named = [values["aria-labelledby"] for _, values, _ in outline().elements
             if "aria-labelledby" in values]  # fmt: skip
    assert set(named) <= set(ids)


def test_the_page_has_a_language_a_title_and_a_place_for_what_is_told() -> None:
    page = outline()
    tags = {tag: values for tag, values, _ in page.elements}
    assert tags["html"]["lang"] == "en"
    assert {"title", "main", "header", "h1", "noscript"} <= tags.keys()
    assert any(values.get("role") == "status" for _, values, _ in page.elements)


def test_nothing_comes_from_anywhere_else() -> None:
    for text in (HTML, CSS, SCRIPT):
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", text)


def test_nothing_in_it_needs_more_than_its_policy_allows() -> None:
    """No script or style within the HTML, no text that becomes HTML or code."""
    for _, values, _ in outline().elements:
        assert "style" not in values
        assert not [name for name in values if name.startswith("on")]
    assert not re.search(r"<script(?![^>]*src=)[^>]*>|<style", HTML)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", SCRIPT)
    assert not re.search(r"new Function|setTimeout\(\s*[\"']", SCRIPT)


def test_every_key_that_is_listed_is_there() -> None:
    keys = re.search(r'<dialog id="keys".*?</dialog>', HTML, re.DOTALL)
    assert keys is not None
    listed = set(re.findall(r"<kbd>(.*?)</kbd>", keys[0]))
    words = {"→": "ArrowRight", "←": "ArrowLeft", "↑": "ArrowUp", "↓": "ArrowDown"}
    words |= {"Space": '" "', "Esc": "Escape", "/": '"/"', "?": '"?"', "1": "[1-9]", "9": "[1-9]"}
    for key in listed:
        assert re.search(rf"(?<!\w){re.escape(words.get(key, key))}(: |\$)|\[1-9\]", SCRIPT), key
    handlers = r"(?:^|[{,]) *([\w]+): (?:\(\)|unmark|compare|toggle|zoom)"
    bound = re.findall(handlers, SCRIPT, re.MULTILINE)
    shown = {words.get(key, key) for key in listed}
    assert {"p", "x", "n", "b", "m", "c", "i", "z", "Enter", "Home", "End"} <= set(bound) & shown


def test_light_and_dark_are_legible() -> None:
    """Text of either kind on its paper, at the ratio that WCAG 2 asks for (AA: 4.5)."""
    for block in re.findall(r":root \{(.*?)\}", CSS, re.DOTALL):
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6});", block))
        for ink in ("ink", "faint", "pick", "reject"):
            for paper in ("paper", "raised", "sunk"):
                assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        for kind in ("pick", "reject"):
            assert contrast(colours["on"], colours[kind]) >= 4.5


def contrast(one: str, other: str) -> float:
    dark, light = sorted(luminance(colour) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
