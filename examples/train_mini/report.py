"""What ``evaluate.py`` prints for people."""

from collections.abc import Sequence

from findings import Numbers
from questions import STILTS


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words in columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            word.rjust(width) if place else word.ljust(width)
            for place, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def percent(share: float | None) -> str:
    """A share in per cent; "-" where nothing was asked."""
    return "-" if share is None else f"{100 * share:.1f} %"


def shares_table(found: Numbers) -> str:
    """How many pictures are right, beside what the judge makes of drawn scenes and of those that
    went through the VAE."""
    rows = [["", "right", "of", "share", "95 % interval", "drawn", "through the VAE"]]
    for name, share in found["shares"].items():
        low, high = (100 * end for end in share["interval"])
        row = [name, str(share["right"]), str(share["asked"]), percent(share["share"])]
        row.append(f"{low:.1f} - {high:.1f}")
        asked = "stilts" if name in STILTS else name
        row += [percent(found[by][asked]) for by in ("judge", "seen_through_vae")]
        rows.append(row)
    return table(rows)


def in_styles(values: Numbers, digits: int) -> str:
    """A number for each style that there is one for."""
    return ", ".join(f"{style} {value:.{digits}f}" for style, value in values.items() if value)


def print_report(size: str, found: Numbers) -> None:
    """One size's findings for people."""
    vae, frechet, seeds = found["vae"], found["frechet"], found["seeds"]
    styles = in_styles(vae["psnr_by_style"], 1)
    columns = found | {"seen_through_vae": vae["accuracy"]}
    print(f"{size}\n{shares_table(columns)}")
    print("on stilts: of the prompts that ask for stilts; off stilts: of all others")
    for name in found["judge"].keys() - found["shares"].keys() - {"stilts"}:
        print(f"{name} is not judged: of drawn scenes it tells {percent(found['judge'][name])}")
    print()
    print(f"reconstruction {vae['psnr']:.1f} dB ({styles})")
    print(
        f"edges, of those of drawn scenes: generated {in_styles(found['sharpness'], 2)}; "
        f"reconstructed {in_styles(vae['sharpness'], 2)}"
    )
    print(
        f"Frechet distance {frechet['generated']:.2f} from drawn scenes; "
        f"other drawn scenes have {frechet['drawn']:.2f}"
    )
    print(
        f"{seeds['prompt']!r}: seeds are {seeds['different_seeds']:.1f} levels of 255 apart, "
        f"a seed and itself {seeds['same_seed']:.1f}\n"
    )
    rows = [["mixed", *next(iter(found["mix"].values()))]]
    rows += [[share, *(f"{n:.2f}" for n in row.values())] for share, row in found["mix"].items()]
    print(f"{table(rows)}\n")


def print_sweep(name: str, found: Numbers) -> None:
    """The shares in per cent, a row for each value."""
    first = next(iter(found.values()))
    rows = [[name, *first]]
    rows += [
        [value, *(percent(one["share"]) for one in row.values())] for value, row in found.items()
    ]
    print(f"{table(rows)}\n")
