"""What became of the faults as a table in Markdown, which is put into a page and read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.torture.faults import WRONG, Fault, counted

BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"

Ended = Mapping[str, Counter[str]]
"""By the fault's name, how often it ended how."""


def missing(faults: Iterable[Fault], ended: Ended) -> list[str]:
    """What of all this was too rare or wrong, in sentences."""
    return [sentence for fault in faults for sentence in fault.missing(_of(fault, ended))]


def as_table(faults: Iterable[Fault], ended: Ended) -> str:
    """Markdown: each fault, how often it must be and was, how it ended, and how often in something wrong."""
    rows = [_row(fault, _of(fault, ended)) for fault in faults]
    return "\n".join(["| fault | must | was | ended | wrong |", "|---|---:|---:|---|---:|", *rows, ""])


def _of(fault: Fault, ended: Ended) -> Counter[str]:
    return ended.get(fault.name, Counter())


def _row(fault: Fault, ended: Counter[str]) -> str:
    names = [*(end for end in fault.ends if end in ended), *sorted(ended.keys() - {WRONG, *fault.ends})]
    ends = ", ".join(f"{name} {ended[name]}" for name in names)
    return f"| {fault.name} | {fault.least} | {counted(ended)} | {ends} | {ended[WRONG]} |"


def put_between_marks(page: Path, text: str) -> None:
    """Replace what stands between the marks of a page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    page.write_text(before + BEGIN + "\n" + text + "\n" + END + rest.split(END)[1], encoding="utf-8")


def read_table(text: str) -> dict[str, Counter[str]]:
    """What the rows of a table say."""
    ended = {}
    for line in text.split(BEGIN)[-1].split(END)[0].splitlines():
        match [cell.strip() for cell in line.split("|")]:
            case ["", name, _must, was, ends, wrong, ""] if was.isdigit():
                pairs = [each.rsplit(" ", 1) for each in ends.split(", ") if each]
                ended[name] = Counter({end: int(count) for end, count in pairs} | {WRONG: int(wrong)})
    return ended
