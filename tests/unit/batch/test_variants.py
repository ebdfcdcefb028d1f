"""Prompt templates: their variants, and errors."""

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdloop.batch.templates import Template
from sdloop.batch.variants import no_wildcards, parsed, varies
from sdloop.batch.wildcards import wildcards
from sdloop.errors import FileError, PromptError


def texts(text: str, folder: Path | None = None) -> list[str]:
    template = parsed(text, no_wildcards if folder is None else wildcards(str(folder)))
    return [template.text(index) for index in range(template.count)]


@pytest.mark.parametrize(
    "template, expected",
    [
        ("a frog", ["a frog"]),
        ("", [""]),
        ("{red|green} frog", ["red frog", "green frog"]),
        ("{red} frog", ["red frog"]),
        ("{very |}big", ["very big", "big"]),
        ("{a|b} {c|d}", ["a c", "a d", "b c", "b d"]),
        ("{{a|b}|c}", ["a", "b", "c"]),
        ("{2$$a|b|c}", ["a, b", "a, c", "b, c"]),
        ("{2$$ and $$ a | b | c }", ["a and b", "a and c", "b and c"]),
        ("{1-2$$a|{x|y}}", ["a", "x", "y", "a, x", "a, y"]),
        ("{0-1$$a|b} c", [" c", "a c", "b c"]),
        # the prompt's own brackets keep their |
        ("{[frog|cat]|dog}", ["[frog|cat]", "dog"]),
        ("{(a|b:1.2)|[c:d:0.5]}", ["(a|b:1.2)", "[c:d:0.5]"]),
        ("[a|b] {c|d}", ["[a|b] c", "[a|b] d"]),
        ("a|b", ["a|b"]),
        # brackets that close elsewhere are text
        ("{(a|b)}", ["(a|b)"]),
        ("({a)|b}", ["(a)", "(b"]),
        ("{:(|:-(}", [":(", ":-("]),
        # escapes
        (r"\{a|b\}", ["{a|b}"]),
        (r"{a\|b|c}", ["a|b", "c"]),
        (r"{[a\|b]|c}", [r"[a\|b]", "c"]),
        (r"\(a\) {b|c}", [r"\(a\) b", r"\(a\) c"]),
        (r"\\{a|b}", [r"\\a", r"\\b"]),
        (r"\__name__", ["__name__"]),
        ("snake__case__name a__ __b", ["snake__case__name a__ __b"]),
        ("<lora:{a|b}:0.5> frog", ["<lora:a:0.5> frog", "<lora:b:0.5> frog"]),
        # sd-dynamic-prompts: weights, open ranges, separators, variables
        ("a {3::red|.5::blue|green} frog", ["a red frog", "a blue frog", "a green frog"]),
        ("{2$$3::a|b|{2::x|y}}", ["a, b", "a, x", "a, y", "b, x", "b, y"]),
        ("{-2$$a|b|c}", ["a", "b", "c", "a, b", "a, c", "b, c"]),
        ("{2-$$a|b|c}", ["a, b", "a, c", "b, c", "a, b, c"]),
        ("[{2$$|$$red|blue|green}]", ["[red|blue]", "[red|green]", "[blue|green]"]),
        (r"{2$$ \{\| $$a|b}", [r"a {| b"]),
        ("${c={red|blue}} a ${c} frog", ["a red frog", "a blue frog"]),
        ("${c={a|b}}${c} ${c}", ["a a", "a b", "b a", "b b"]),
        ("x ${c=!{a|b}} ${c} {1|2} ${ c }", ["x a 1 a", "x a 2 a", "x b 1 b", "x b 2 b"]),
        ("${a=!{x|y}}${b=!${a}{1|2}}${b}${b}", ["x1x1", "x2x2", "y1y1", "y2y2"]),
        ("${c:blue {x|y}} ${c=red}${c:blue}", ["blue x red", "blue y red"]),
        ("${c=red} ${c?={a|b}} ${d?=!e} ${c} ${d}", ["red e"]),
        ("${c=[a|b]}{${c}|x}", ["[a|b]", "x"]),
        ("${5|6} ${red|blue} $ 5", ["$5 $red $ 5", "$5 $blue $ 5", "$6 $red $ 5", "$6 $blue $ 5"]),
        (r"\${c} $\{c\}", ["$c ${c}"]),
        (r"{\~a|3\::b|c\$$}", ["~a", "3::b", "c$$"]),
        ("{!|@}{~}", ["!~", "@~"]),
    ],
)
def test_what_a_template_stands_for(template: str, expected: list[str]) -> None:
    assert texts(template) == expected


@pytest.mark.parametrize(
    "template, complaint, caret",
    [
        ("a {red|blue", "never closed", 2),
        ("{a|{b}", "never closed", 0),
        ("a } b", "has no { before it", 2),
        ("{3$$a|b}", "3 cannot be taken of 2", 0),
        ("{0$$a|b}", "how many are taken", 1),
        ("{2-1$$a|b}", "how many are taken", 1),
        ("{21$$a|b}", "how many are taken", 1),
        ("{" * 60 + "}" * 60, "nested deeper than 50", None),
        ("a __frog__", "needs --wildcards", 2),
        ("a __hair color__", "__hair color__ needs --wildcards", 2),
        ("{0::a|b}", "weight must be more than 0", 1),
        ("{a|-1.5::b}", "weight must be more than 0", 3),
        ("{-3$$a|b}", "3 cannot be taken of 2", 0),
        ("{3-$$a|b}", "3 cannot be taken of 2", 0),
        ("{1-$$" + "|".join(["a"] * 21) + "}", "at most 20", 0),
        ("{a$$b|c}", r"\$\$ must follow", 2),
        ("{2$$($$a|b}", r"\$\$ must follow", 5),
        ("a %{b ... $$c}", "is not supported", 2),
        ("{~a|b}", "use --pick random", 1),
        ("{ @a|b}", "in turn, which is not supported", 2),
        ("{!a|b}", "leave out the !", 1),
        ("a __~frog__", r"__~…__ draws at random", 4),
        ("a ${c} frog", r"c is not set.* \$\\{c\\} for", 2),
        ("${c} ${c=a}", "c is not set", 0),
        ("{${c=a}|b}", "outside of all braces", 1),
        ("${c=a|b}", "braces of its own", 5),
        ("${c=a", "never closed", 0),
        ("a __x/{b|c}__", "must not vary", 2),
        ("a __${b}__ {c}", "must not vary", 2),
    ],
)
def test_what_is_refused_has_its_caret(template: str, complaint: str, caret: int | None) -> None:
    with pytest.raises(PromptError, match=complaint) as caught:
        parsed(template, no_wildcards)
    *_, place = str(caught.value).split("\n")
    assert place.endswith("^")
    assert caret is None or place.index("^") - 2 == caret


PIECES = ["{", "}", "|", "[", "]", "(", ")", "\\", "2$$", "1-2$$", "$$", "a", "東", " ", "_", "__"]
PIECES += ["${a", "=", "=!", ":", "::", "3", "~", "%"]
MESSY = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)


@given(MESSY)
def test_anything_is_read_or_refused_with_a_caret(text: str) -> None:
    try:
        template = parsed(text, no_wildcards)
    except PromptError as error:
        assert str(error).endswith("^")
        return
    assert template.count >= 1
    first = [template.text(index) for index in range(min(template.count, 50))]
    assert all(isinstance(one, str) for one in first)
    if not varies(text):
        assert first == [text]


WORDS = st.sampled_from(["red", "a big", "", "東京", "x(y)", "[u|v]"])


@st.composite
def trees(draw: st.DrawFn, depth: int = 2) -> tuple[str, list[str]]:
    """A template, and by a way of its own what it stands for."""
    text, found = "", [""]
    for _ in range(draw(st.integers(0, 3))):
        word = draw(WORDS)
        text, found = text + word, [one + word for one in found]
        if depth:
            options = draw(st.lists(trees(depth - 1), min_size=1, max_size=3))
            inside = [one for _, some in options for one in some]
            text += "{" + "|".join(option for option, _ in options) + "}"
            found = [one + other for one in found for other in inside]
    return text, found


@settings(max_examples=40)
@given(trees().filter(lambda tree: len(tree[1]) < 2000))
def test_all_variants_in_the_order_of_the_template(tree: tuple[str, list[str]]) -> None:
    text, expected = tree
    assert texts(text) == expected


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True), st.data())
def test_several_are_taken_in_every_way(options: list[str], data: st.DataObject) -> None:
    most = data.draw(st.integers(1, len(options)))
    least = data.draw(st.integers(0, most))
    expected = [
        ", ".join(some)
        for count in range(least, most + 1)
        for some in itertools.combinations(options, count)
    ]
    assert texts(f"{{{least}-{most}$${'|'.join(options)}}}" if most else "") == expected


@settings(max_examples=40)
@given(trees().filter(lambda tree: len(tree[1]) < 2000), st.randoms(use_true_random=False))
def test_what_is_drawn_is_one_of_all(tree: tuple[str, list[str]], random: object) -> None:
    text, expected = tree
    template = parsed(text, no_wildcards)
    assert template.drawn(random.randrange) in expected  # type: ignore[attr-defined]


def test_every_number_that_is_taken_is_drawn() -> None:
    template = parsed("{1-2$$a|b|c}", no_wildcards)
    numbers = itertools.count()
    drawn = {template.drawn(lambda below: next(numbers) * 7 // 3 % below) for _ in range(200)}
    assert drawn == set(texts("{1-2$$a|b|c}"))


def test_a_template_of_more_texts_than_can_be_made_costs_nothing() -> None:
    template = parsed(" ".join(["{a|b|c|d}"] * 100), no_wildcards)
    assert template.count == 4**100
    assert template.text(4**100 - 1) == " ".join(["d"] * 100)
    assert template.text(1) == " ".join(["a"] * 99 + ["b"])


def test_weights_say_how_often_an_option_is_drawn() -> None:
    template = parsed("{3::a|.5::b|c}", no_wildcards)
    drawn = [template.drawn(lambda below, i=i: i * below // 9) for i in range(9)]
    assert "".join(drawn) == "aaaaaa" + "b" + "cc"
    even = parsed("{2::a|2::b}", no_wildcards)
    assert even == parsed("{a|b}", no_wildcards)  # drawn as it always was


def test_two_of_weighted_options_are_never_the_same() -> None:
    template = parsed("{2$$3::a|b|.5::c}", no_wildcards)
    drawn = {template.drawn(random.Random(seed).randrange) for seed in range(60)}
    assert drawn == set(texts("{2$$a|b|c}"))


def test_a_variable_is_drawn_once_or_at_each_use() -> None:
    once = parsed("${c=!{a|b|c|d}}${c}${c}${c}", no_wildcards)
    each = parsed("${c={a|b|c|d}}${c}${c}${c}", no_wildcards)
    for seed in range(20):
        assert len(set(once.drawn(random.Random(seed).randrange))) == 1
    assert any(len(set(each.drawn(random.Random(seed).randrange))) > 1 for seed in range(20))


def test_variables_of_variables_cannot_grow_without_end() -> None:
    text = "${a0=xx}" + "".join(f"${{a{n + 1}=${{a{n}}}${{a{n}}}}}" for n in range(40)) + "${a40}"
    with pytest.raises(PromptError, match="longer than 100000"):
        parsed(text, no_wildcards)


# Files of wildcards


@pytest.fixture
def words(tmp_path: Path) -> Path:
    (tmp_path / "birds").mkdir()
    (tmp_path / "animals.txt").write_text("\ufefffrog\n\n# none\n  {big|small} cat \n", "utf-8")
    (tmp_path / "birds/small.txt").write_text("parrot\nwren\n")
    (tmp_path / "all.txt").write_text("__animals__\n__birds/small__ in a tree\n")
    return tmp_path


def test_files_stand_for_their_lines(words: Path) -> None:
    assert texts("a __animals__!", words) == ["a frog!", "a big cat!", "a small cat!"]
    assert texts("{__birds/small__|dog}", words) == ["parrot", "wren", "dog"]
    assert texts("__all__", words) == [
        *("frog", "big cat", "small cat", "parrot in a tree", "wren in a tree")
    ]


def test_several_of_a_file_are_several_of_its_lines(words: Path) -> None:
    assert texts("{2$$__birds/small__}", words) == ["parrot, wren"]


def test_several_files_by_one_name(words: Path) -> None:
    (words / "birds/big.txt").write_text("eagle\nparrot\n")
    assert texts("__birds/*__", words) == ["eagle", "parrot", "wren"]  # parrot counts once
    assert texts("__bird?/[bs]*__", words) == texts("__b**__", words) == texts("__birds/*__", words)
    assert texts("{2$$__birds/*__}", words) == ["eagle, parrot", "eagle, wren", "parrot, wren"]


def test_lines_with_weights(words: Path) -> None:
    (words / "heavy.txt").write_text("3::elephant\n1::rhino\n 0.5::{a|b}\n")
    assert texts("__heavy__", words) == ["elephant", "rhino", "a", "b"]
    template = parsed("__heavy__", wildcards(str(words)))
    drawn = [template.drawn(lambda below, i=i: i * below // 9) for i in range(9)]
    assert (drawn.count("elephant"), drawn.count("rhino")) == (6, 2)
    assert texts("{2$$5::__heavy__}", words)[:2] == ["elephant, rhino", "elephant, a"]


def test_files_use_the_variables_of_the_prompt(words: Path) -> None:
    (words / "dress.txt").write_text("${hat?=!{cap|hood}}in ${season:June} a ${hat}, ${hat}")
    assert texts("__dress__", words) == ["in June a cap, cap", "in June a hood, hood"]
    assert texts("__dress(season=May, hat=fez)__", words) == ["in May a fez, fez"]
    assert texts("${season={a|b}} __dress(hat=x)__", words) == ["in a a x, x", "in b a x, x"]
    with pytest.raises(PromptError, match="name=value, got 'May'"):
        texts("__dress(May)__", words)


def test_names_of_files_that_another_system_wrote(words: Path, tmp_path: Path) -> None:
    (words / "hair colour.txt").write_text("grey")
    (words / "Cafe\u0301.TXT").write_text("au lait")
    (words / "linked").symlink_to(words / "birds", target_is_directory=True)
    assert texts("__hair colour__", words) == ["grey"]
    assert texts("__Caf\u00e9__", words) == ["au lait"]
    assert texts("__linked\\small__", words) == texts("__birds\\small__", words)
    assert texts("__small__", words) == ["parrot", "wren"]  # of the only folder that has it


@pytest.mark.parametrize(
    "name, content, complaint",
    [
        ("none*", None, r"there is no none\*.txt"),
        ("missing", None, r"there is no missing.txt in .*"),
        ("animal", None, "did you mean __animals__"),
        ("bad", b"\xff", "bad.txt is not UTF-8 text"),
        ("nul", b"a\0", "contains a NUL"),
        ("empty", b"# nothing\n", "holds no line"),
        (
            "loop",
            b"a\n__loop__",
            r"loop.txt, line 2: .*must not include each other in a circle: loop → loop",
        ),
        ("broken", b"fine\n{a|b", r"broken.txt, line 2: a \{ is never closed"),
        ("a/../../secret", None, "must be a file in"),
    ],
)
def test_files_that_are_refused(
    words: Path, name: str, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (words / f"{name}.txt").write_bytes(content)
    with pytest.raises(PromptError, match=complaint) as caught:
        parsed(f"a __{name}__", wildcards(str(words)))
    assert str(caught.value).endswith("^")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="wildcards must be a folder"):
        wildcards(str(tmp_path / "none"))


def test_files_that_name_each_other_without_end_in_sight(tmp_path: Path) -> None:
    for number in range(80):
        (tmp_path / f"w{number}.txt").write_text(f"{{__w{number + 1}__|x}}")
    with pytest.raises(PromptError, match="must not include each other"):
        parsed("__w0__", wildcards(str(tmp_path)))


def test_files_that_share_files_are_read_once_each(tmp_path: Path) -> None:
    for number in range(30):
        names = f"{{__a{number + 1}__|__b{number + 1}__}}"
        for letter in "ab":
            (tmp_path / f"{letter}{number}.txt").write_text(names)
    for letter in "ab":
        (tmp_path / f"{letter}30.txt").write_text("end")
    assert parsed("__a0__", wildcards(str(tmp_path))).count == 2**30


def test_a_large_file_is_looked_up_quickly(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(f"word{n}" for n in range(20_000)))
    template = parsed("{2$$__words__}", wildcards(str(tmp_path)))
    assert template.count == 20_000 * 19_999 // 2
    assert template.text(template.count - 1) == "word19998, word19999"
    assert isinstance(template, Template)
