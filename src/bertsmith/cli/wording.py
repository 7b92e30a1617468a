"""Words that depend on a number."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 text`, `2,304 texts`; the plural may be given."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {plural or noun + 's'}"
