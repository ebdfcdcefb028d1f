"""The grammar of prompts. Marked examples come from A1111's own doctests."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdloop.errors import PromptError
from sdloop.prompt.check import check_prompt, is_plain
from sdloop.prompt.chunks import Chunk, chunks_of
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import BREAK, emphasised
from sdloop.prompt.schedule import alternatives, unseen

STEPS = 10
# Anything, and what is more likely to mean something.
PIECES = [
    *("a", "b c", " ", ", ", "(", ")", "[", "]", ":", "|", "\\", "\n", "AND", " AND ", "BREAK"),
    *(":0.5", ":1.3)", ":3]", ":.2]", ": 4 ]", "[a:b:", "[c|d]", ":-1", ":1e999]", ":1.2.3)", "東"),
    *("\\(", "\\)", "\\[", "\\]", "\\\\", "9" * 400),
]
PROMPTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))


# -- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # A1111's
        ("normal text", [("normal text", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1.0)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1.0),
                ("house", 1.5730000000000004),
                (" ", 1.1),
                ("on", 1.0),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641000000000006),
                (".", 1.1),
            ],
        ),
    ],
)
def test_weights_as_a1111_reads_them(text: str, expected: list[tuple[str, float]]) -> None:
    assert [tuple(span) for span in emphasised(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[word]", [("word", 1 / 1.1)]),
        ("(word : 1.3 )", [("word ", 1.3)]),
        ("(word:-.5)", [("word", -0.5)]),
        ("(a (b:2):3)", [("a ", 3.0), ("b", 6.0)]),
        ("closes ] nothing ) here", [("closes ] nothing ) here", 1.0)]),
        ("word:1.3) and [word:1.3]", [("word:1.3) and ", 1.0), ("word:1.3", 1 / 1.1)]),
        (r"C:\pictures", [("C:pictures", 1.0)]),
        ("", [("", 1.0)]),
        ("()", [("", 1.0)]),
    ],
)
def test_weights_at_the_edges(text: str, expected: list[tuple[str, float]]) -> None:
    assert [tuple(span) for span in emphasised(text)] == expected


def test_break_parts_also_within_brackets() -> None:
    first, mark, second = emphasised("(a BREAK  b:2)")
    assert mark is BREAK
    assert (first, second) == (("a", 2.0), ("b", 2.0))
    assert emphasised("BREAKFAST") == (("BREAKFAST", 1.0),)


@pytest.mark.parametrize(
    ("text", "message", "line", "column"),
    [
        ("a (frog:1.2.3)", "a number, got '1.2.3'", "a (frog:1.2.3)", 8),
        ("hm (what:...)", "a number, got '...'", "hm (what:...)", 9),
        ("a (frog:1001)", "between -1000 and 1000, got 1001", "a (frog:1001)", 8),
        ("((a:900):2)", "between -1000 and 1000, got 1800", "((a:900):2)", 9),
        ("(" * 80 + "a", "between -1000 and 1000, got", None, None),
        ("first\n東 (b:.)\nlast", "a number, got '.'", "東 (b:.)", 6),
    ],
)
def test_a_weight_that_is_none_is_refused_with_a_caret_under_it(
    text: str, message: str, line: str | None, column: int | None
) -> None:
    with pytest.raises(PromptError, match=re.escape(message)) as caught:
        emphasised(text)
    _, shown, caret = str(caught.value).split("\n")
    if line is not None:
        assert shown == f"  {line}"
        assert caret == "  " + " " * (column or 0) + "^"


def test_the_caret_stays_in_sight_in_a_long_prompt() -> None:
    with pytest.raises(PromptError) as caught:
        emphasised("very " * 100 + "(good:1.2.3)" + " word" * 100)
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) < 80
    assert shown[caret.index("^") :].startswith("1.2.3)")


@given(st.text(st.characters(blacklist_characters="()[]\\"), min_size=1))
def test_text_without_syntax_gives_itself(text: str) -> None:
    if "BREAK" not in text:
        assert emphasised(text) == ((text, 1.0),)
        assert alternatives(text, STEPS) == ((STEPS, text),)
        if "AND" not in text:
            assert parts(text) == ((text, 1.0),)
            assert is_plain(text)


def escaped(text: str) -> str:
    """``text`` with all prompt syntax escaped, so that it is read as plain text."""
    text = re.sub(r"[()\[\]\\|:]", r"\\\g<0>", text)
    return re.sub(r"\b(A)(ND)\b|\b(B)(REAK)\b", r"\1\3\\\2\4", text)


@given(PROMPTS)
@example("AND BREAK (a:2) [b|c] d :0.5")
def test_what_is_escaped_comes_back(text: str) -> None:
    ((part, weight),) = parts(escaped(text))
    ((last, alternative),) = alternatives(part, STEPS)
    assert (weight, last) == (1.0, STEPS)
    assert emphasised(alternative) == ((text, 1.0),)


# -- the whole way ---------------------------------------------------------------------------------


@given(PROMPTS)
@example("[" * 3000 + "a" + ":1]" * 3000)
@example("(" * 3000 + "a" + ":1)" * 3000)
@example("[a|" * 3000)
def test_anything_typed_is_read_or_refused_with_a_caret(text: str) -> None:
    try:
        check_prompt("prompt", text, STEPS, combines=True)
    except PromptError as error:
        line, _shown, caret = str(error).split("\n")
        assert line.startswith("prompt: ")
        assert caret.strip() == "^"
        if "nested deeper" in line:
            assert text.count("(") + text.count("[") > 200
            return
        assert re.search(r"[.\d]{2}|[(\[]{9}|e999", text), "only numbers are refused"


@given(PROMPTS, st.integers(1, 30))
def test_a_schedule_covers_every_step_once(text: str, steps: int) -> None:
    try:
        found = alternatives(text, steps)
    except PromptError:
        return
    ends = [end for end, _ in found]
    assert ends[-1] == steps
    assert all(0 < one < other for one, other in pairwise([0, *ends][1:]))
    assert all(one != other for (_, one), (_, other) in pairwise(found))


def test_the_field_is_named() -> None:
    with pytest.raises(PromptError, match=r"^negative_prompt: weight must be a number"):
        check_prompt("negative_prompt", "(a:..)", STEPS, combines=False)


# -- changes on the way ----------------------------------------------------------------------------


def over(text: str, steps: int = STEPS) -> list[tuple[int, str]]:
    return list(alternatives(text, steps))


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # A1111's
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("[a|(b:1.1)]", [(n, "(b:1.1)" if n % 2 == 0 else "a") for n in range(1, 11)]),
        ("[fe|]male", [(n, "male" if n % 2 == 0 else "female") for n in range(1, 11)]),
    ],
)
def test_changes_as_a1111_makes_them(text: str, expected: list[tuple[int, str]]) -> None:
    assert over(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a::0.5]", [(5, "a"), (10, "")]),
        ("[a:b:1.0]", [(10, "a")]),  # a share of all steps
        ("[a:b:1]", [(1, "a"), (10, "b")]),  # the first step
        ("[a:b:0]", [(10, "b")]),
        ("[a:b:-3]", [(10, "b")]),
        ("[a:b:99]", [(10, "a")]),
        ("[a:b:0.58]", [(5, "a"), (10, "b")]),  # whole steps, rounded down
        ("[a|b|c]", [(n, "abc"[(n - 1) % 3]) for n in range(1, 11)]),
        ("[[a|b]:c:2]", [(1, "a"), (2, "b"), (10, "c")]),
        (r"[a\:b:c:2]", [(2, r"a\:b"), (10, "c")]),
        (r"[a\]:b:2]", [(2, r"a\]"), (10, "b")]),
        ("(a [b:c:2]:1.3)", [(2, "(a b:1.3)"), (10, "(a c:1.3)")]),
    ],
)
def test_changes_at_the_edges(text: str, expected: list[tuple[int, str]]) -> None:
    assert over(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "[a:b]",
        "[a:b:c:2]",
        "[a|b:2]",
        "[a:b:2 c]",
        "[a:(b:2]",
        "16:9 | a",
        "[http://a/b:c]",
        "(a|b)",
    ],
)
def test_what_is_no_change_is_text(text: str) -> None:
    assert over(text) == [(STEPS, text)]
    assert over(text + " [a:b:2]") == [(2, f"{text} a"), (STEPS, f"{text} b")]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("a [rabbit:b:0.5]", ()),
        ("a rabbit [b:99]", ("b",)),
        ("[a:b:1.0] [c:d:0] [e:f:3]", ("b", "c")),
        ("[[a|b]:c:1]", ("b",)),
        ("[a|b|c] [[d:e:5]:f:2]", ("e",)),
        ("[a|a|b]", ()),
        ("[:99] [ :0]", ()),
    ],
)
def test_what_no_step_sees_is_told(text: str, pieces: tuple[str, ...]) -> None:
    assert sorted(unseen(text, STEPS)) == sorted(pieces)
    assert not pieces or unseen("[a|b|c]", 2) == ("c",)


def test_a_step_that_is_not_finite_is_refused() -> None:
    with pytest.raises(PromptError, match="a step must be a finite number, got 1e999"):
        alternatives("a [b:c:1e999]", STEPS)
    with pytest.raises(PromptError) as refused:
        alternatives("a [b:c: 1e999]", STEPS)
    line, caret = str(refused.value).splitlines()[1:]
    assert line[caret.index("^") :] == "1e999]"


# -- prompts in one --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a frog AND a rabbit :0.7", [("a frog", 1.0), ("a rabbit", 0.7)]),
        ("a : -1 AND b:2. AND", [("a", -1.0), ("b", 2.0), ("", 1.0)]),
        ("a (frog AND b:1.3)", [("a (frog", 1.0), ("b:1.3)", 1.0)]),  # as A1111
        ("a frog :0.7", [("a frog :0.7", 1.0)]),
        (r"a 16\:9 AND b 16\:9", [(r"a 16\:9", 1.0), (r"b 16\:9", 1.0)]),
        ("A BAND AND\na STAND", [("A BAND", 1.0), ("a STAND", 1.0)]),
    ],
)
def test_and_parts_prompts(text: str, expected: list[tuple[str, float]]) -> None:
    assert list(parts(text)) == expected


def test_a_part_too_heavy_is_refused() -> None:
    with pytest.raises(PromptError, match="between -1000 and 1000, got 5000") as caught:
        parts("a frog AND a rabbit :5000")
    assert str(caught.value).endswith("\n  a frog AND a rabbit :5000\n" + " " * 23 + "^")


# -- chunks ----------------------------------------------------------------------------------------


def letters(text: str) -> list[int]:
    """A tokenizer for which each letter is a token."""
    return [ord(letter) for letter in text.replace(" ", "")]


def texts(chunks: tuple[Chunk, ...]) -> list[str]:
    return ["".join(chr(token.id) for token in chunk) for chunk in chunks]


def chunked(text: str, emphasis: str = "a1111", length: int = 75) -> list[str]:
    return texts(chunks_of(text, letters, length=length, emphasis=emphasis))


def test_chunks_are_filled_one_after_the_other() -> None:
    assert chunked("a" * 75 + "b" * 75 + "c") == ["a" * 75, "b" * 75, "c"]
    assert chunked("") == [""]


def test_a_phrase_is_not_torn_if_a_comma_is_near() -> None:
    assert chunked("a" * 60 + "," + "b" * 20) == ["a" * 60 + ",", "b" * 20]
    assert chunked("a" * 55 + "," + "b" * 20) == ["a" * 55 + ",", "b" * 20]
    assert chunked("a" * 54 + "," + "b" * 21) == ["a" * 54 + "," + "b" * 20, "b"]
    assert chunked("a" * 60 + "," + "b" * 14 + ",c") == ["a" * 60 + "," + "b" * 14, ",c"]


def test_break_begins_a_chunk() -> None:
    assert chunked("a BREAK b BREAK") == ["a", "b"]
    assert chunked("BREAK a BREAK BREAK b") == ["", "a", "", "b"]
    assert chunked("a BREAK (b)", "none") == ["aBREAK(b)"]


def test_weights_stay_with_their_tokens() -> None:
    first, second = chunks_of(
        "a" * 60 + ",b(" + "c" * 20 + ":2)", letters, length=75, emphasis="a1111"
    )
    assert {token.weight for token in first} == {1.0}
    assert [token.weight for token in second] == [1.0] + [2.0] * 20


def test_the_vectors_of_a_learned_word_stay_together() -> None:
    def tokenize(text: str) -> list[int]:
        return [
            one for letter in text for one in ([-1, -2, -3] if letter == "*" else [ord(letter)])
        ]

    chunks = chunks_of("aaa*b", tokenize, length=5, emphasis="a1111")
    assert [[token.id for token in chunk] for chunk in chunks] == [[97] * 3, [-1, -2, -3, 98]]
    chunks = chunks_of("**", tokenize, length=5, emphasis="a1111")
    assert sum(len(chunk) for chunk in chunks) == 6


@given(PROMPTS, st.integers(1, 9))
def test_chunks_lose_no_token(text: str, length: int) -> None:
    try:
        spans = emphasised(text)
        chunks = chunks_of(text, letters, length=length, emphasis="a1111")
    except PromptError:
        return
    assert all(len(chunk) <= length for chunk in chunks)
    words = [(one, s.weight) for s in spans if s is not BREAK for one in letters(s.text)]
    assert [tuple(token) for chunk in chunks for token in chunk] == words


def test_brackets_nest_to_a_bound_beyond_which_they_are_refused() -> None:
    assert emphasised("[" * 200 + "a" + "]" * 200)[0].weight < 1e-8  # type: ignore[union-attr]
    with pytest.raises(PromptError, match="brackets are nested deeper than 200"):
        emphasised("[" * 50_000 + "a")
