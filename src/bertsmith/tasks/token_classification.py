"""One label for each word: named entities, parts of speech (paper, section 5.3, figure 4 d).

The label of a word is read at its first wordpiece, as in the paper, and there is no CRF.

Dimension key: `T` tokens of the batch, `H` hidden size, `C` labels.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from bertsmith.data.chunked import chunked
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.data.tag_schemes import Scheme, entities_of
from bertsmith.data.tagged_sentences import (
    is_column_of_words,
    tagged,
    tagged_sentence,
    without_tags,
)
from bertsmith.errors import ConfigError
from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.metrics.tagging import entity_figures, tag_figures
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.tasks.labels import checked_labels
from bertsmith.tasks.linear_head import LinearHead, check_dropout
from bertsmith.tasks.losses import mean_cross_entropy
from bertsmith.tasks.tag_labels import TagLabels, learn_tags
from bertsmith.tasks.task import TOKENIZED_AT_ONCE, RecordTask, ScoredRecord, Targets
from bertsmith.tasks.verdict import Verdict
from bertsmith.tasks.word_windows import Window, WordVotes, WordWindows, cut_words, vote
from bertsmith.text.tokenizer import Tokenizer

LabelPieces = Literal["first", "all"]
LongSentences = Literal["windows", "head"]


class TokenClassificationHead(LinearHead):
    """Dropout and a linear layer on the hidden state of every token."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(T, H) hidden states → (T, C)."""
        logits: Tensor = self.classifier(self.dropout(output.hidden_states))
        return logits


@dataclass(frozen=True)
class _Sentence:
    record: Record
    words: list[str]
    gold: Sequence[int] | None
    """The label of each word."""


@dataclass(frozen=True)
class _Source:
    num_words: int
    windows: list[Window]
    gold: Sequence[int] | None
    """The label of each word, also of those that are cut."""


class TokenClassification(RecordTask):
    """Targets: `token_labels` (T,), the label's place among the task's labels; -100 = no label.

    Args:
        labels: the names, in the order of the logits; where not set, those of the training records.
        classifier_dropout: before the last layer, from 0 to below 1; where not set, the model's
            `hidden_dropout_prob`.
        columns: of the training file, as the user named them (`text`, `label`); a model remembers
            them for files like it.
        scheme: which tags spell entities: iob2 or bioes, into which those of the files are turned
            from whatever scheme they are in; plain where they spell none. Where not set it is
            found out, and is iob2 where they do.
        label_pieces: whether a word's first wordpiece alone is trained to give its label, or all
            of them, the later ones of B-X giving I-X. Predictions are read at the first.
        long_text: what becomes of a sentence longer than the model reads: windows, or its head
            alone, so that the words that are cut get the tag O.
        window_step: how many wordpieces each window starts after the one before it; where not set
            half of `data.max_seqlen`.
        document_context: fill the room around a sentence with the sentences around it.

    Raises:
        ConfigError: a setting that cannot work.
    """

    name = "token_classification"
    needs_pooler = False
    target = "token_labels"
    figure = "f1"
    scores_tokens = True
    item_kinds = "a text, a list of words or a mapping of fields by name"
    field_names = ("text", "tokens")
    # CoNLL-2003 has train.txt, and many a medical corpus train.tsv.
    conll_suffixes = ("txt", "tsv")

    def __init__(
        self,
        *,
        labels: Sequence[str | int] | None = None,
        classifier_dropout: float | None = None,
        columns: Mapping[str, str] | None = None,
        scheme: Scheme | None = None,
        label_pieces: LabelPieces = "first",
        long_text: LongSentences = "windows",
        window_step: int | None = None,
        document_context: bool = False,
    ) -> None:
        check_dropout(classifier_dropout)
        _check_option("scheme", scheme, (None, *get_args(Scheme)))
        _check_option("label_pieces", label_pieces, get_args(LabelPieces))
        _check_option("long_text", long_text, get_args(LongSentences))
        _check_option("document_context", document_context, (False, True))
        if window_step is not None and (not isinstance(window_step, int) or window_step < 1):
            raise ConfigError(
                f"task.window_step ({window_step!r}) must be a whole number of at least 1"
            )
        self.classifier_dropout = classifier_dropout
        self.columns = Layout.from_settings(columns or {}).named
        self.scheme = scheme
        self.label_pieces = label_pieces
        self.long_text = long_text
        self.window_step = window_step
        self.document_context = document_context
        self._tags: TagLabels | None = None
        if labels is not None:
            self._set_tags(TagLabels(checked_labels(labels), scheme))

    def labelled(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records that must have tags."""
        return tagged(records)

    def label_names(self, record: EncodedRecord) -> list[str]:
        """The types of the record's entities, or its plain tags."""
        tags = self._known_tags().tags(record.source.gold)
        return tags if self.scheme == "plain" else [e.type or "entity" for e in entities_of(tags)]

    def without_label(self, record: Record) -> Record:
        """The record without its tags."""
        return without_tags(record)

    def knows_field(self, name: str) -> bool:
        """Whether a field of this name may be looked at."""
        return is_column_of_words(name)

    def fields_of(self, item: Any) -> Mapping[str, Any] | None:
        """Of a text, of a list or tuple of words, or fields as they are."""
        if isinstance(item, list | tuple) and all(isinstance(word, str) for word in item):
            return {"tokens": list(item)}
        return super().fields_of(item)

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:
        """Look through the training records before any work is done on them.

        Labels that were not given are learned: of plain tags those that occur, of a scheme all that
        the types of its entities can have; sorted, O first.

        Returns:
            How many entities there are of each type, or words of each plain tag.

        Raises:
            DataError: a record has no tags, or tags that make no scheme or no classification.
        """
        tags, counts = learn_tags(tagged(records), self._tags, self.scheme)
        self._set_tags(tags)
        return counts

    def encode(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[EncodedRecord]:
        """Cut words to wordpieces and sentences to windows; a document is held as a whole.

        Raises:
            DataError: a record has no words, or tags that are none of the task's.
        """
        windows = WordWindows(
            tokenizer,
            max_length,
            step=self.window_step or max(1, max_length // 2),
            only_first=self.long_text == "head",
            has_context=self.document_context,
        )
        for documents in chunked(self._documents(records), TOKENIZED_AT_ONCE):
            texts = [[word for each in document for word in each.words] for document in documents]
            for document, pieces in zip(documents, cut_words(texts, tokenizer), strict=True):
                end = 0
                for sentence in document:
                    start, end = end, end + len(sentence.words)
                    found = windows.of(pieces, start, end)
                    num_tagged = found[-1].first_word + len(found[-1].starts) - 1
                    self.num_truncated += num_tagged < end - start
                    examples = tuple(self._example(window, sentence.gold) for window in found)
                    source = _Source(end - start, found, sentence.gold)
                    length = pieces.starts[end] - pieces.starts[start] + 2
                    yield EncodedRecord(sentence.record, examples, source, length)

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """`token_labels` (T,)."""
        labels: list[int] = []
        for example in examples:
            labels.extend(example.target or [-100] * len(example.input_ids))
        return {"token_labels": torch.tensor(labels)}

    def build_head(self, bert: Bert) -> TokenClassificationHead:
        """Dropout and a linear layer to C labels."""
        return TokenClassificationHead(bert, len(self._known_tags().names), self.classifier_dropout)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the labelled tokens."""
        return mean_cross_entropy(logits, targets["token_labels"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`token_loss` (nats) and `token_accuracy`, of single tokens."""
        return CrossEntropyAndAccuracy("token")

    def join(self, record: EncodedRecord, logits: Sequence[Tensor]) -> WordVotes:
        """The label of each word, by the windows that it is in."""
        return vote(record.source.windows, logits, record.source.num_words)

    def answer(self, record: EncodedRecord, scores: WordVotes) -> dict[str, Any]:
        """`tokens`, their `tags`, and, unless these are plain, the `entities` that they spell.

        An entity has its `type`, `start` and `end`, in characters of the text or, where words were
        given, of these with a blank between them, `text`, and `probability`, the mean of its words.
        """
        sentence = tagged_sentence(record.record)
        tags = self._known_tags().tags(scores.labels)
        answer: dict[str, Any] = {"tokens": sentence.words, "tags": tags}
        if self.scheme == "plain":
            return answer
        text, places = sentence.joined()
        answer["entities"] = []
        for kind, first, last in entities_of(tags):
            start, end = places[first][0], places[last - 1][1]
            mean = sum(scores.probabilities[first:last]) / (last - first)
            answer["entities"].append(
                {
                    "type": kind,
                    "start": start,
                    "end": end,
                    "text": text[start:end],
                    "probability": mean,
                }
            )
        return answer

    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """As in `bertsmith.metrics.tagging`, of entities or of plain tags."""
        tags = self._known_tags().tags
        pairs = ((tags(each.record.source.gold), tags(each.scores.labels)) for each in scored)
        return tag_figures(pairs) if self.scheme == "plain" else entity_figures(pairs)

    def verdict(self, scored: ScoredRecord) -> Verdict:
        """True and found entities; the error is how many are in one of the two alone.

        Of plain tags the words that have a wrong one.
        """
        sentence = tagged_sentence(scored.record.record)
        text, places = sentence.joined()
        tags = self._known_tags().tags
        gold, given = tags(scored.record.source.gold), tags(scored.scores.labels)
        if self.scheme == "plain":
            triples = zip(sentence.words, gold, given, strict=True)
            wrong = [triple for triple in triples if triple[1] != triple[2]]
            return Verdict(
                {"text": text},
                "; ".join(f"{word}: {tag}" for word, tag, _ in wrong) or "the same",
                "; ".join(f"{word}: {tag}" for word, _, tag in wrong) or "the same",
                error=float(len(wrong)),
                credit=1 - len(wrong) / len(gold),
            )
        true, found = entities_of(gold), entities_of(given)
        listed = (
            "; ".join(f"{kind}: {text[places[a][0] : places[b - 1][1]]}" for kind, a, b in entities)
            for entities in (true, found)
        )
        gold_text, given_text = (each or "no entity" for each in listed)
        num_right, total = len({*true} & {*found}), len(true) + len(found)
        return Verdict(
            {"text": text},
            gold_text,
            given_text,
            error=float(total - 2 * num_right),
            credit=2 * num_right / total if total else 1.0,
        )

    def settings(self) -> dict[str, Any]:
        """What was given or learned, `labels` first of all."""
        others: dict[str, tuple[object, object]] = {
            "classifier_dropout": (self.classifier_dropout, None),
            "columns": (self.columns, {}),
            "label_pieces": (self.label_pieces, "first"),
            "long_text": (self.long_text, "windows"),
            "window_step": (self.window_step, None),
            "document_context": (self.document_context, False),
        }
        given = {key: value for key, (value, default) in others.items() if value != default}
        return {"labels": self._known_tags().names, "scheme": self.scheme} | given

    @property
    def labels(self) -> list[str] | None:
        """The names, in the order of the logits, once they are known."""
        return None if self._tags is None else self._tags.names

    def _set_tags(self, tags: TagLabels) -> None:
        self._tags, self.scheme = tags, tags.scheme
        self.figure = "token_accuracy" if tags.scheme == "plain" else "f1"

    def _known_tags(self) -> TagLabels:
        if self._tags is None:
            raise ConfigError(
                "task.labels is not set; list the labels, or learn them from the training records"
            )
        return self._tags

    def _example(self, window: Window, gold: Sequence[int] | None) -> Example:
        segment_ids = array("b", bytes(len(window.input_ids)))
        if gold is None:
            return Example(window.input_ids, segment_ids)
        target = array("i", [-100]) * len(window.input_ids)
        for word, (start, end) in enumerate(
            itertools.pairwise(window.starts), start=window.first_word
        ):
            target[start] = gold[word]
            if self.label_pieces == "all":
                later = self._known_tags().later_piece(gold[word])
                target[start + 1 : end] = array("i", [later]) * (end - start - 1)
        return Example(window.input_ids, segment_ids, target)

    def _documents(self, records: Iterable[Record]) -> Iterator[list[_Sentence]]:
        """Sentences in a row that share their context; each alone where there is none."""

        def document_of(record: Record) -> object:
            document = record.fields.get("document") if self.document_context else None
            return object() if document is None else (document,)

        for _, group in itertools.groupby(records, key=document_of):
            yield list(map(self._read, group))

    def _read(self, record: Record) -> _Sentence:
        sentence = tagged_sentence(record)
        gold = None
        if sentence.tags is not None:
            gold = self._known_tags().numbers(record, sentence.tags)
        return _Sentence(record, sentence.words, gold)


TASK = TokenClassification


def _check_option(name: str, value: object, options: Sequence[object]) -> None:
    if value not in options:
        known = ", ".join(str(option).lower() for option in options if option is not None)
        raise ConfigError(f"task.{name} ({value!r}) must be one of {known}")
