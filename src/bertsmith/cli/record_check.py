"""What the check of the records says, in lines for someone who is about to train on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bertsmith.training.record_check import RecordCheck, Twins

# Below it [UNK] is of no consequence.
MIN_UNKNOWN_SHARE = 0.02
MAX_LABELS = 10


def check_lines(check: RecordCheck) -> Iterator[str]:
    """The report; nothing is said of what is as it should be, but for labels and lengths."""
    yield from _labels(check)
    yield from _lengths(check)
    train = check.train.num_records
    what = "training records with text and label of an earlier one"
    yield from _twins(check.repeated, train, what)
    what = "training records with the text of an earlier one and another label"
    yield from _twins(check.contradicting, train, what)
    if check.eval is not None:
        what = "held-out records whose text is in the training records"
        yield from _twins(check.shared, check.eval.num_records, what)


def _labels(check: RecordCheck) -> Iterator[str]:
    if not check.train.label_counts:
        return
    shares = [f"{check.train.majority_share:.1%} in training"]
    if check.eval is not None and check.eval.label_counts:
        shares.append(f"{check.eval.majority_share:.1%} held out")
    among = "" if check.train.is_single_label else " among all labels of the records"
    yield f"share of the most frequent label{among}: {', '.join(shares)}"
    if check.rare_labels:
        rare = [f"{label} {count}" for label, count in check.rare_labels.items()]
        yield f"labels with too few training records to be learned: {_some(rare)}"
    if check.unmeasured_labels:
        yield f"labels that no held-out record has: {_some(check.unmeasured_labels)}"


def _lengths(check: RecordCheck) -> Iterator[str]:
    files = [(check.train, "training")]
    lengths = check.train.lengths
    line = (
        f"wordpieces of a record: median {lengths.median:,}, 95% up to {lengths.percentile_95:,}, "
        f"longest {lengths.longest:,}"
    )
    if check.eval is not None:
        files.append((check.eval, "held-out"))
        lengths = check.eval.lengths
        line += f" (held out {lengths.median:,}, {lengths.percentile_95:,}, {lengths.longest:,})"
    yield f"{line}; the limit is {check.max_length:,}"
    for each, name in files:
        if each.num_cut:
            yield f"{name} records that lose text: {_share(each.num_cut, each.num_records)}"
        elif each.num_long:
            yield f"{name} records beyond the limit: {_share(each.num_long, each.num_records)}"
        if each.unknown_share >= MIN_UNKNOWN_SHARE:
            yield (
                f"{each.unknown_share:.1%} of the wordpieces of {name} records are [UNK]; the "
                "model's vocabulary does not fit this text"
            )


def _twins(twins: Twins, total: int, what: str) -> Iterator[str]:
    if twins.count:
        yield f"{what}: {_share(twins.count, total)}, such as"
        yield from (f"  {record} and {earlier}" for record, earlier in twins.examples)


def _share(count: int, total: int) -> str:
    return f"{count:,} ({count / total:.1%})"


def _some(names: list[str]) -> str:
    more = len(names) - MAX_LABELS
    return ", ".join(names[:MAX_LABELS]) + (f" and {more} more" if more > 0 else "")
