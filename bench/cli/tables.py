"""Every table that the command line prints: a number is whole, or it is not there and that is said.

Where a table is wider than the terminal, in this order: what all rows share is said once beneath; text is
wrapped between its words; whole columns are left out, those that the table can spare, and named; a row
becomes a block of lines. In a pipe or a file a row is a line of any length.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDE = 10_000  # not wrapped where nobody looks at it: a pipe or a file gets each row on one line
GAP = 2
# A column of these alone is one of numbers, which are not wrapped: `12.3 [12.0, 12.6]`, `10 vs 8`, `4 (n 3)`.
_NUMBERS = re.compile(r"[-<~]?\d.*")
_SPACES = re.compile(r"[^\S\n]+")

# The colour of an outcome and of a verdict; an outcome that is not here is red.
OUTCOMES = {
    "ok": "green",
    "fallback": "yellow",
    "unsupported": "dim",
    "unavailable": "dim",
    "interrupted": "dim",
}
VERDICTS = {"faster": "green", "slower": "red", "equivalent": "cyan", "inconclusive": "dim"}

Cell = str | Text


def console() -> Console:
    """stdout; not wrapped where nobody looks at it."""
    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDE)


def captured(draw: Callable[[Console], None], *, plain: bool = True) -> str:
    """What `draw` prints, as text without blanks at the ends of lines; unless plain, no wider than stdout."""
    out = Console(file=sys.stdout, highlight=False, width=WIDE if plain else None, no_color=plain)
    with out.capture() as text:
        draw(out)
    return "\n".join(line.rstrip() for line in text.get().splitlines())


@dataclass(frozen=True)
class Layout:
    """What a table is like.

    Attributes:
        spare: columns that may be left out, the first of them first.
        own: columns of which each row keeps its own even where all are the same.
        right: columns with their right ends in line.
    """

    spare: Sequence[str] = ()
    own: Collection[str] = ()
    right: Collection[str] = ()


@dataclass
class _Columns:
    """A table by its columns, and what is said beneath it."""

    names: list[str]
    cells: list[list[Text]]
    shared: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def natural(self) -> list[int]:
        """How wide each column is where nothing is wrapped."""
        return [
            max(map(cell_len, [name, *(line for cell in column for line in cell.plain.split("\n"))]))
            for name, column in zip(self.names, self.cells, strict=True)
        ]

    @property
    def least(self) -> list[int]:
        """How narrow each may get: numbers not at all, text to its longest word."""
        return [
            max(map(cell_len, [*name.split(), *(word for cell in column for word in cell.plain.split())]))
            if not self.numbers(place)
            else self.natural[place]
            for place, (name, column) in enumerate(zip(self.names, self.cells, strict=True))
        ]

    def numbers(self, place: int) -> bool:
        """Whether a column holds numbers; blanks aside."""
        return all(_NUMBERS.fullmatch(cell.plain) for cell in self.cells[place] if cell.plain)

    def take(self, place: int) -> None:
        del self.names[place], self.cells[place]


def print_table(
    out: Console,
    head: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    layout: Layout | None = None,
    *,
    width: int | None = None,
) -> None:
    """Print rows of texts under headings.

    Args:
        out: where to; as wide as it is.
        head: headings.
        rows: of as many texts; foreign words are text, never markup.
        layout: what may be left out.
        width: instead of the console's.
    """
    layout = layout or Layout()
    room = out.width if width is None else width
    lines = [[cell.copy() if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    if not lines:
        say(out, "  ".join(head), room, style="bold underline")
        return
    table = _Columns(list(head), [list(column) for column in zip(*lines, strict=True)])
    if not _fits(table.natural, room):
        _share(table, layout, room)
        for name in layout.spare:
            if _fits(table.least, room):
                break
            if name in table.names:
                table.take(table.names.index(name))
                table.left_out.append(name)
    if _fits(table.least, room):
        out.print(_drawn(table, layout, room))
    else:
        _stack(out, head, lines, room)
        return
    for words in table.shared:
        say(out, words, room)
    if table.left_out:
        say(out, f"not shown, for the terminal is narrow: {', '.join(table.left_out)}", room, style="dim")


def say(out: Console, text: str, width: int | None = None, *, indent: str = "", style: str = "") -> None:
    """A line, wrapped between words and never within one."""
    for line in text.split("\n"):
        for part in _wrapped(line, (width or out.width) - len(indent)):
            out.print(Text(indent + part, style=style), soft_wrap=True)


def fields(out: Console, pairs: Iterable[tuple[str, Cell]], indent: str = "  ", label: int = 20) -> None:
    """Labels and their values in two columns, the values wrapped between words and never within one."""
    for name, cell in pairs:
        value = cell if isinstance(cell, Text) else Text(cell)
        begins = len(indent) + max(label, cell_len(name) + 1)  # a long name leaves its first line less room
        words = value.plain.split()
        if out.width - begins < max(map(cell_len, words), default=0):
            beside = len(indent) * 2
            say(out, name, indent=indent, style="dim")
            lines = _wrapped(value.plain, out.width - beside)
        else:
            beside = begins
            lines = [part for line in value.plain.split("\n") for part in _wrapped(line, out.width - beside)]
            first = Text(indent + name.ljust(label), style="dim")
            if cell_len(name) >= label:
                first = Text(f"{indent}{name} ", style="dim")
            out.print(first + Text(lines.pop(0) if lines else "", style=value.style), soft_wrap=True)
        for line in lines:
            out.print(Text(" " * beside + line, style=value.style), soft_wrap=True)


def _fits(widths: Sequence[int], room: int) -> bool:
    return sum(widths) + GAP * (len(widths) - 1) <= room


def _share(table: _Columns, layout: Layout, room: int) -> None:
    """Say beneath what every row has in common, the widest column first, until the table fits."""
    if len(table.cells[0]) < 2:
        return
    alike = [
        (width, name)
        for place, (name, width) in enumerate(zip(table.names, table.natural, strict=True))
        if name not in layout.own and place and len({cell.plain for cell in table.cells[place]}) == 1
    ]
    for _, name in sorted(alike, reverse=True):
        if _fits(table.natural, room):
            return
        place = table.names.index(name)
        if value := table.cells[place][0].plain.replace("\n", ", "):
            table.shared.append(f"every row: {name} {value}")
        table.take(place)


def _drawn(table: _Columns, layout: Layout, room: int) -> Table:
    """The table at widths of ours: the library's own would cut within a word."""
    drawn = Table(header_style="bold underline", box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for name, width in zip(table.names, _widths(table, room), strict=True):
        right = name in layout.right
        drawn.add_column(Text(name), width=width, justify="right" if right else "left", overflow="fold")
    for row in zip(*table.cells, strict=True):
        drawn.add_row(*row)
    return drawn


def _widths(table: _Columns, room: int) -> list[int]:
    """From the least, a step at a time to the column that is wrapped the most."""
    natural, widths = table.natural, table.least
    while _fits(widths, room - 1):
        short = [(wide / now, place) for place, (wide, now) in enumerate(zip(natural, widths, strict=True))]
        most, place = max(short)
        if most <= 1:
            break
        widths[place] += 1
    return widths


def _stack(out: Console, head: Sequence[str], rows: Sequence[Sequence[Text]], room: int) -> None:
    """Each row as lines: nothing is left out, and every value stands beside its name."""
    label = min(max(map(cell_len, head)) + 1, max(room // 2 - 2, 1))
    for count, row in enumerate(rows):
        if count:
            out.print()
        say(out, f"{head[0]} {row[0].plain}", room, style="bold")
        pairs = zip(head[1:], row[1:], strict=True)
        fields(out, [(name, cell) for name, cell in pairs if cell.plain], label=label)


def _wrapped(text: str, room: int) -> list[str]:
    """Lines of a text that are as wide as the room, or one word."""
    if cell_len(text) <= room:
        return [text]
    lines: list[str] = []
    for word in _SPACES.split(text.strip()):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def toned(value: str, tones: Mapping[str, str], default: str = "") -> Text:
    """A text in the colour of its first word."""
    return Text(value, style=tones.get(value.partition(" ")[0].rstrip(":"), default))
