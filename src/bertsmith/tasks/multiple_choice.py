"""Which of several endings fits? (paper, section 4.4).

Each choice is a sequence of its own, `[CLS] context [SEP] choice [SEP]`; one score for each, and
the choices of one question compete. Questions may have different numbers of choices.

Dimension key: `B` sequences, `Q` questions, `K` the most choices, `H` hidden size.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from bertsmith.data.choices import (
    ChoiceQuestion,
    answer_of,
    answered,
    choice_question_of,
    is_choice_column,
    without_answer,
)
from bertsmith.data.chunked import chunked
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.ops.ragged import row_indices, take_rows
from bertsmith.tasks.linear_head import LinearHead, check_dropout
from bertsmith.tasks.long_text import LongText, LongTextRule, WindowJoin
from bertsmith.tasks.losses import NO_SCORE, mean_cross_entropy
from bertsmith.tasks.task import TOKENIZED_AT_ONCE, RecordTask, ScoredRecord, Targets
from bertsmith.tasks.verdict import Verdict
from bertsmith.text.encoding import room, windows
from bertsmith.text.tokenizer import Tokenizer


class MultipleChoiceHead(LinearHead):
    """Dropout and one score from the pooled output: its product with a learned vector."""

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(B, H) pooled output → (B,)."""
        scores: Tensor = self.classifier(self.dropout(output.pooled_output)).squeeze(-1)
        return scores


class MultipleChoice(RecordTask):
    """Targets: `answers` (Q,), the right choice's place, -100 = none; `choice_indices` (Q, K).

    The indices are those of a question's choices among the sequences, -1 after the last of them.

    Args:
        classifier_dropout: before the last layer; None takes the model's `hidden_dropout_prob`.
        columns: of the training file, as the user named them (`text`, `pair`, `choices`,
            `label`); a model remembers them for files like it.
        long_text, window_step, window_join: as for `SequenceTask`; windows are over the context.

    Raises:
        ConfigError: a setting that cannot work.
    """

    name = "multiple_choice"
    needs_pooler = True
    target = "answers"
    figure = "accuracy"
    item_kinds = "a context with a list of choices, or a mapping of fields by name"
    field_names = ("context", "question", "choices")

    def __init__(
        self,
        *,
        classifier_dropout: float | None = None,
        columns: Mapping[str, str] | None = None,
        long_text: LongTextRule = "head",
        window_step: int | None = None,
        window_join: WindowJoin = "mean",
    ) -> None:
        check_dropout(classifier_dropout)
        self.classifier_dropout = classifier_dropout
        self.columns = Layout.from_settings(columns or {}).named
        self.long_text = LongText(long_text, window_step, window_join)

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:
        """Look whether each training record can be learned from; there is nothing to count."""
        for _ in self.labelled(records):
            pass
        return {}

    def labelled(self, records: Iterable[Record]) -> Iterator[Record]:
        """Questions that say which choice is right.

        Raises:
            DataError: one does not.
        """
        return answered(records)

    def without_label(self, record: Record) -> Record:
        """The question alone."""
        return without_answer(record)

    def knows_field(self, name: str) -> bool:
        """Whether a field of this name may be looked at."""
        return is_choice_column(name)

    def fields_of(self, item: Any) -> Mapping[str, Any] | None:
        """The fields of a mapping, or of a context and a list of choices."""
        match item:
            case Mapping():
                return item
            case (str(context), [*choices]):
                return {"text": context, "choices": choices}
        return None

    def encode(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[EncodedRecord]:
        """One example for each question, or for each window of its context, with all choices.

        Raises:
            DataError: a record is no question, or its answer none of the choices.
        """
        for chunk in chunked(map(_read, records), TOKENIZED_AT_ONCE):
            texts = (text for _, question, _ in chunk for text in _texts(question))
            ids = iter(tokenizer.ids_batch(list(texts), split_special_tokens=False))
            for record, question, target in chunk:
                context, *choices = islice(ids, len(question.choices) + 1)
                length = len(context) + max(map(len, choices)) + 3
                examples = tuple(
                    _example([tokenizer.with_special_tokens(pair) for pair in window], target)
                    for window in self._windows(context, choices, max_length)
                )
                yield EncodedRecord(record, examples, question.choices, length)

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """`answers` (Q,) and `choice_indices` (Q, K)."""
        answers = [-100 if example.target is None else example.target for example in examples]
        indices = row_indices([example.num_sequences for example in examples])
        return {"answers": torch.tensor(answers), "choice_indices": indices}

    def build_head(self, bert: Bert) -> MultipleChoiceHead:
        """Dropout and a linear layer to one score."""
        return MultipleChoiceHead(bert, 1, self.classifier_dropout)

    def rows(self, logits: Tensor, targets: Targets) -> Tensor:
        """(B,) → (Q, K): the scores of each question's choices."""
        return take_rows(logits.float(), targets["choice_indices"], NO_SCORE)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the questions."""
        return mean_cross_entropy(self.rows(logits, targets), targets["answers"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`loss` (nats) and `accuracy`."""
        return CrossEntropyAndAccuracy()

    def join(self, record: EncodedRecord, logits: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """(choices,) scores of each window → (choices,)."""
        return self.long_text.join(logits)

    def answer(self, record: EncodedRecord, scores: Tensor) -> dict[str, Any]:
        """The likeliest `choice`, counted from 0, its `text`, and the `probabilities` of all."""
        probabilities = scores.softmax(-1).tolist()
        choice = int(scores.argmax())
        return {
            "choice": choice,
            "text": record.source[choice],
            "probability": probabilities[choice],
            "probabilities": probabilities,
        }

    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """`accuracy`, and `loss` in nats."""
        metrics = self.metrics()
        rows = pad_sequence([each.scores for each in scored], True, -torch.inf)
        targets = self.collate([each.record.examples[0] for each in scored])
        metrics.update(rows, targets["answers"])
        return metrics.compute()

    def verdict(self, scored: ScoredRecord) -> Verdict:
        """The right choice and the chosen one; their classes are their places, from 0."""
        question = choice_question_of(scored.record.record)
        answer = self.answer(scored.record, scored.scores)
        texts = {"context": question.context, "question": question.stem}
        place: int = scored.record.examples[0].target
        return Verdict.of_class(
            {name: text for name, text in texts.items() if text},
            question.choices[place],
            answer["text"],
            answer["probability"],
            classes=(str(place), str(answer["choice"])),
        )

    def settings(self) -> dict[str, Any]:
        """What was given."""
        given = {"classifier_dropout": self.classifier_dropout, "columns": self.columns or None}
        given |= self.long_text.settings()
        return {key: value for key, value in given.items() if value is not None}

    def _windows(
        self, context: list[int], choices: list[list[int]], max_length: int
    ) -> list[list[list[list[int]]]]:
        """The pairs of context and choice for each window of the context, or for the whole."""
        long_text, space = self.long_text, room(max_length, 2)
        longest = max(map(len, choices))
        if len(context) + longest <= space:
            return [[[context, choice] for choice in choices]]
        if long_text.rule != "windows":
            self.num_truncated += 1
            fitted = (long_text.fitted([context, choice], max_length) for choice in choices)
            return [[pair for (pair,), _ in fitted]]
        # All choices are compared in the same windows, as wide as the longest choice leaves them.
        max_choice = min(space - 1, max(space // 2, space - len(context)))
        self.num_truncated += longest > max_choice
        longest = min(longest, max_choice)
        of_choices = (
            windows(
                [context, choice],
                max_length=max_length - longest + min(len(choice), max_choice),
                step=long_text.window_step or max(1, max_length // 2),
                over="first",
                max_other=max_choice,
            )
            for choice in choices
        )
        return [list(pairs) for pairs in zip(*of_choices, strict=True)]


def _read(record: Record) -> tuple[Record, ChoiceQuestion, int | None]:
    """The record, its question, and the place of the right choice, if it is known."""
    question = choice_question_of(record)
    return record, question, answer_of(record, question.choices)


def _texts(question: ChoiceQuestion) -> list[str]:
    """Every text of which there are ids to be had: the context, and what follows it."""
    return [question.context, *question.continuations]


def _example(sequences: list[tuple[list[int], list[int]]], target: int | None) -> Example:
    """The sequences of one question, one for each choice."""
    return Example(
        array("i", chain.from_iterable(ids for ids, _ in sequences)),
        array("b", chain.from_iterable(segment_ids for _, segment_ids in sequences)),
        target,
        tuple(len(ids) for ids, _ in sequences),
    )


TASK = MultipleChoice
