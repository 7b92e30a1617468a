"""Names as a picture can show them: short, different from each other, and in letters of its font.

What cannot be shown so becomes a number, such as "sense 2"; the page says whose it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from bertsmith.training.curves import SMALL

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

# Points, of which an inch has 72, in small letters.
WIDTH = 84.0
TITLE_WIDTH = 112.0
_MARK = 32.0  # of a legend, with the room around it


def picture_labels(names: Sequence[str], kind: str, *, width: float = WIDTH) -> dict[str, str]:
    """Each name as matplotlib shall write it; two names never look the same.

    Args:
        names: any, each once.
        kind: what a number is to stand beside, where a name cannot be shown.
        width: that there is room for; what is wider loses its middle.
    """
    cleaned = [_cleaned(name) for name in names]
    shown = [_cut(text, width) if _has_letters(text) else "" for text in cleaned]
    counts, numbers = Counter(shown), [f"{kind} {number + 1}" for number in range(len(names))]
    labels = [
        text if text and counts[text] == 1 else number
        for text, number in zip(shown, numbers, strict=True)
    ]
    if len(set(labels)) < len(labels):  # somebody's name is "sense 2"
        labels = numbers
    # "$" would begin a formula.
    return {name: text.replace("$", r"\$") for name, text in zip(names, labels, strict=True)}


def numbered_names(
    names: Sequence[str], kind: str, *, width: float = WIDTH
) -> list[tuple[str, str]]:
    """The names that a picture does not show whole: what it shows, and the name."""
    return [
        (shown.replace(r"\$", "$"), name)
        for name, shown in picture_labels(names, kind, width=width).items()
        if shown.replace(r"\$", "$") != _cleaned(name)
    ]


def legend_columns(labels: Iterable[str], inches: float, most: int) -> int:
    """How many columns a legend of such labels may have, so that none is cut off."""
    widest = max(sum(map(_width, label)) for label in labels)
    return max(1, min(most, int(72 * inches / (widest + _MARK))))


def _cleaned(name: str) -> str:
    """Without line breaks and what else is not to be seen."""
    return " ".join("".join(x if x.isprintable() else " " for x in name).split())


def _cut(text: str, width: float) -> str:
    """Without its middle where it is too wide: names often differ at the end alone."""
    widths = [_width(letter) for letter in text]
    if sum(widths) <= width:
        return text
    room = (width - _width("…")) / 2
    start, end = _fitting(widths, room), _fitting(widths[::-1], room)
    return f"{text[:start].rstrip()}…{text[len(text) - end :].lstrip()}"


def _fitting(widths: Sequence[float], room: float) -> int:
    """How many of the first letters there is room for."""
    total = 0.0
    for place, width in enumerate(widths):
        total += width
        if total > room:
            return place
    return len(widths)


def _has_letters(text: str) -> bool:
    return all(_font().get_char_index(ord(letter)) for letter in text)


def _width(letter: str) -> float:
    """In points."""
    return float(_font().load_char(ord(letter)).linearHoriAdvance) / 65536


@cache
def _font() -> FT2Font:
    """The one that pictures are written in."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    font = FT2Font(findfont(FontProperties()))
    font.set_size(SMALL, 72)
    return font
