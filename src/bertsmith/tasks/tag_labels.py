"""The tags that a model gives words: their names, their scheme, and what those of a file are."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bertsmith.data.record import Record
from bertsmith.data.tag_schemes import (
    OUTSIDE,
    Scheme,
    canonical,
    continued,
    converted,
    entities_of,
    is_scheme_tag,
    scheme_labels,
    scheme_of,
)
from bertsmith.data.tagged_sentences import location_of, tagged_sentence
from bertsmith.errors import ConfigError, DataError


class TagLabels:
    """Tags by number.

    Args:
        names: the tags, in the order of the logits.
        scheme: whether and how they spell entities; None: as they look.

    Raises:
        ConfigError: the names are not of the scheme.
    """

    def __init__(self, names: list[str], scheme: Scheme | None = None) -> None:
        self.names = names
        seen = scheme_of(names)  # of others' models, even if there are labels such as [CLS] too
        if seen == "plain" and scheme not in (None, "plain"):
            raise ConfigError(
                f"task.labels ({', '.join(names)}) must be O or begin with B-, I- and the like "
                f"where task.scheme is {scheme}; plain is for others"
            )
        self.scheme: Scheme = scheme or seen
        keys = names if self.scheme == "plain" else map(canonical, names)
        self._numbers = {key: number for number, key in enumerate(keys)}

    def numbers(self, record: Record, tags: Sequence[str | int]) -> Sequence[int]:
        """The labels of a record's words, whose tags may be of any scheme.

        Raises:
            DataError: one is none of these labels.
        """
        given = _by_name(record, tags, self.names)
        if self.scheme != "plain":
            for place, tag in enumerate(given):
                if not is_scheme_tag(tag):
                    raise _no_scheme_tag(tag, location_of(record, place))
        found = array("i")
        for place, tag in enumerate(converted(given, self.scheme)):
            if tag not in self._numbers:
                raise DataError(
                    f"{location_of(record, place)}: the tag {given[place]!r} is not one of the "
                    f"task's labels ({', '.join(self.names)}); correct it, or train on sentences "
                    "that have it"
                )
            found.append(self._numbers[tag])
        return found

    def tags(self, numbers: Iterable[int]) -> list[str]:
        """Names of labels; below 0 is a word that the model did not see, which is outside."""
        return [OUTSIDE if number < 0 else self.names[number] for number in numbers]

    def later_piece(self, number: int) -> int:
        """The label of the later pieces of a word that has this one; -100: there is none."""
        return self._numbers.get(continued(self.names[number], self.scheme), -100)


def learn_tags(
    records: Iterable[Record], given: TagLabels | None, scheme: Scheme | None
) -> tuple[TagLabels, dict[str, int]]:
    """The labels of training records.

    Args:
        records: all with tags.
        given: the labels, where they are not to be learned.
        scheme: the one to turn those of the records into; None: iob2, or plain where they spell
            no entities.

    Returns:
        The labels: of plain tags those that occur, of a scheme all that the types of entities can
        have; sorted, O first. And how many entities there are of each type, or words of each tag.

    Raises:
        DataError: the tags make no scheme or no classification.
    """
    sentences: list[list[str]] = []
    places: dict[str, str] = {}
    for record in records:
        tags = _by_name(record, tagged_sentence(record).tags or (), given.names if given else None)
        for place, tag in enumerate(tags):
            if tag not in places:
                places[tag] = location_of(record, place)
        sentences.append(tags)
    labels = given or _labels(places, scheme)
    if labels.scheme == "plain":
        counts = Counter(tag for tags in sentences for tag in tags)
        return labels, {name: counts[name] for name in labels.names}
    kinds = Counter(entity.type for tags in sentences for entity in entities_of(tags))
    return labels, {kind or "entity": kinds[kind] for kind in sorted(kinds)}


def _by_name(record: Record, tags: Sequence[str | int], names: Sequence[str] | None) -> list[str]:
    """The tags of a record's words; numbers among them stand for `names`."""
    found = []
    for place, tag in enumerate(tags):
        if isinstance(tag, int):
            if names is None or not 0 <= tag < len(names):
                known = "no label is known" if names is None else f"there are {len(names)} labels"
                raise DataError(
                    f"{location_of(record, place)}: the tag {tag} stands for a label by its number "
                    f"from 0, and {known}; list all labels in their order in task.labels"
                )
            tag = names[tag]
        found.append(tag)
    return found


def _labels(places: Mapping[str, str], scheme: Scheme | None) -> TagLabels:
    """Labels by the tags that there are, given where each comes first."""
    scheme = scheme or ("plain" if scheme_of(places) == "plain" else "iob2")
    names = set(places)
    if scheme != "plain":
        for tag, location in places.items():
            if not is_scheme_tag(tag):
                raise _no_scheme_tag(tag, location)
        names = scheme_labels(places, scheme)
    if len(names) < 2:
        raise DataError(
            f"every word has the tag {', '.join(names) or OUTSIDE!r}; a classification needs two, "
            "so add sentences with others or list all tags in task.labels"
        )
    return TagLabels(sorted(names, key=lambda name: (name != OUTSIDE, name)), scheme)


def _no_scheme_tag(tag: str, location: str) -> DataError:
    return DataError(
        f"{location}: the tag {tag!r} has no B-, I- or the like before its type, as other tags "
        "have; correct it, or say task.scheme=plain if the tags spell no entities"
    )
