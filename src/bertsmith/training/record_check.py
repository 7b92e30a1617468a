"""What to know of records before a model is trained on them: labels, lengths, twins.

Two records are twins where the model reads the same wordpieces of both, whatever their texts
differ in: capitals to an uncased model, what was cut off, words that it does not know.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from bertsmith.data.example import EncodedRecord
from bertsmith.tasks.task import RecordTask

# Fewer records than these are not learned, or learned by heart.
MIN_LABEL_RECORDS = 5
MAX_EXAMPLES = 3


@dataclass(frozen=True)
class Twins:
    """Records of which the model reads the same as of an earlier one."""

    count: int = 0
    examples: tuple[tuple[str, str], ...] = ()
    """The first few, each beside the earlier one: `file:line (label)`."""


@dataclass(frozen=True)
class Lengths:
    """How many wordpieces records have before they are cut, special ones too."""

    median: int
    percentile_95: int
    longest: int


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """What was seen of one file."""

    num_records: int
    label_counts: dict[str, int]
    """By name, in the order of the task's labels; empty for a task whose answers have none."""
    lengths: Lengths
    num_long: int
    """Records of more wordpieces than the model reads at once."""
    num_cut: int
    """Records that lose text."""
    num_windows: int
    """How many sequences the records are where the long ones are read in windows, each half of
    its length after the one before it."""
    unknown_share: float
    """Share of [UNK] among the wordpieces, 0 to 1."""

    @property
    def majority_share(self) -> float:
        """The most frequent label's share of all labels, 0 to 1; 0 without labels."""
        return max(self.label_counts.values(), default=0) / max(1, sum(self.label_counts.values()))

    @property
    def is_single_label(self) -> bool:
        """Whether each record has one label, as far as can be seen."""
        return sum(self.label_counts.values()) == self.num_records


@dataclass(frozen=True, kw_only=True)
class RecordCheck:
    """The report of a training file and, where there is one, of the file to measure on."""

    max_length: int
    """Wordpieces at which texts are cut, or windows end."""
    train: FileCheck
    eval: FileCheck | None
    repeated: Twins
    """Training records with the label of an earlier twin."""
    contradicting: Twins
    """Training records with another label than an earlier twin's."""
    shared: Twins
    """Records to measure on that have a twin among those trained on."""

    @property
    def rare_labels(self) -> dict[str, int]:
        """Labels of fewer than `MIN_LABEL_RECORDS` training records, and how many they have."""
        counts = self.train.label_counts
        return {label: count for label, count in counts.items() if count < MIN_LABEL_RECORDS}

    @property
    def unmeasured_labels(self) -> list[str]:
        """Labels that no record to measure on has."""
        if self.eval is None or not self.eval.label_counts:
            return []
        return [label for label, count in self.eval.label_counts.items() if not count]


class RecordChecker:
    """Looks at records while they stream by.

    Args:
        task: whose records they are.
        unk_id: the vocabulary's [UNK].
        max_length: wordpieces at which texts are cut, or windows end.
    """

    def __init__(self, task: RecordTask, *, unk_id: int, max_length: int) -> None:
        self._task = task
        self._unk_id = unk_id
        self._max_length = max_length
        self._train, self._eval = _Tally(), _Tally()
        # By what the model reads: the first training record that has it, and its target.
        self._first: dict[int, tuple[str, int]] = {}
        self._repeated, self._contradicting, self._shared = _Pairs(), _Pairs(), _Pairs()

    def training(self, records: Iterable[EncodedRecord]) -> Iterator[EncodedRecord]:
        """The same records, seen as those to train on."""
        for record, read in self._seen(records, self._train):
            place = self._place(record)
            target = hash(repr([example.target for example in record.examples]))
            earlier, its_target = self._first.setdefault(read, (place, target))
            if earlier is not place:
                pairs = self._repeated if target == its_target else self._contradicting
                pairs.add(place, earlier)
            yield record

    def held_out(self, records: Iterable[EncodedRecord]) -> Iterator[EncodedRecord]:
        """The same records, seen as those to measure on; to come after those to train on."""
        for record, read in self._seen(records, self._eval):
            if read in self._first:
                self._shared.add(self._place(record), self._first[read][0])
            yield record

    def label_counts(self, labels: Iterable[str]) -> dict[str, int]:
        """How often each label was seen among the training records."""
        return {label: self._train.labels[label] for label in labels}

    def report(self, label_counts: Mapping[str, int]) -> RecordCheck:
        """What was seen; `label_counts` are those of the training records, by every label."""
        held_out = None
        if self._eval.lengths:
            names = label_counts if self._eval.labels else {}
            counts = {label: self._eval.labels[label] for label in names}
            held_out = self._eval.report(counts, self._max_length)
        return RecordCheck(
            max_length=self._max_length,
            train=self._train.report(dict(label_counts), self._max_length),
            eval=held_out,
            repeated=self._repeated.twins(),
            contradicting=self._contradicting.twins(),
            shared=self._shared.twins(),
        )

    def _seen(
        self, records: Iterable[EncodedRecord], tally: _Tally
    ) -> Iterator[tuple[EncodedRecord, int]]:
        """Each record, counted, and a hash of what the model reads of it."""
        cut_before = self._task.num_truncated
        for record in records:
            ids = [array("i", example.input_ids) for example in record.examples]
            tally.lengths.append(record.num_wordpieces)
            tally.labels.update(self._task.label_names(record))
            tally.num_cut += self._task.num_truncated - cut_before
            tally.num_wordpieces += sum(map(len, ids))
            tally.num_unknown += sum(each.count(self._unk_id) for each in ids)
            yield record, hash(b"".join(each.tobytes() for each in ids))
            cut_before = self._task.num_truncated

    def _place(self, record: EncodedRecord) -> str:
        """`file:line (label)`."""
        label = ", ".join(self._task.label_names(record))
        target = record.examples[0].target if record.examples else None
        if isinstance(target, float):
            label = f"{target:g}"
        return f"{record.record.location} ({label})" if label else record.record.location


@dataclass
class _Tally:
    """What adds up over the records of a file."""

    lengths: array[int] = field(default_factory=lambda: array("i"))
    labels: Counter[str] = field(default_factory=Counter)
    num_cut: int = 0
    num_wordpieces: int = 0
    num_unknown: int = 0

    def report(self, label_counts: dict[str, int], max_length: int) -> FileCheck:
        lengths = np.asarray(self.lengths)
        median, percentile_95, longest = np.percentile(
            lengths, (50, 95, 100), method="inverted_cdf"
        ).tolist()
        beyond = np.maximum(0, lengths - max_length)
        return FileCheck(
            num_records=len(lengths),
            label_counts=label_counts,
            lengths=Lengths(median, percentile_95, longest),
            num_long=int((beyond > 0).sum()),
            num_cut=self.num_cut,
            num_windows=int((1 + np.ceil(beyond / max(1, max_length // 2))).sum()),
            unknown_share=self.num_unknown / max(1, self.num_wordpieces),
        )


@dataclass
class _Pairs:
    """Twins while they are being found."""

    count: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)

    def add(self, place: str, earlier: str) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append((place, earlier))

    def twins(self) -> Twins:
        return Twins(self.count, tuple(self.examples))
