"""A question's answer as a span of its passage (paper, section 4.2 and 4.3, figure 4 c).

Every token gets a score as the start of the answer and one as its end; the tokens of one sequence
compete. A question without an answer has its span at [CLS], and so has a window that does not hold
the answer.

Dimension key: `T` tokens of the batch, `B` sequences, `S` the longest, `L` tokens of one sequence,
`H` hidden size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.data.chunked import chunked
from bertsmith.data.columns import listed
from bertsmith.data.example import EncodedRecord, Example
from bertsmith.data.layout import Layout
from bertsmith.data.question import (
    Question,
    has_answers,
    is_question_column,
    question_of,
    without_answers,
)
from bertsmith.data.question_windows import QuestionCutter, QuestionWindows
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.metrics.accumulator import CrossEntropyAndAccuracy
from bertsmith.metrics.squad import AnswerScore, answer_figures, best_threshold, score_answer
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.model.initialization import initialize_head
from bertsmith.ops.ragged import row_indices, take_rows
from bertsmith.tasks.answer_spans import RankedSpans, rank_spans
from bertsmith.tasks.losses import NO_SCORE, mean_cross_entropy
from bertsmith.tasks.task import TOKENIZED_AT_ONCE, Head, RecordTask, ScoredRecord, Targets
from bertsmith.tasks.verdict import Table, Verdict
from bertsmith.text.tokenizer import Tokenizer

_CLS = (0, 0)
LONGEST_CONTEXT = 400
MAX_MOVED_SHOWN = 3
# Of right answers, in words.
_LENGTHS = {"no answer": 0, "1": 1, "2": 2, "3 to 5": 5, "6 to 10": 10, "11 or more": 10**9}


class QuestionAnsweringHead(Head):
    """A linear layer on every token, without dropout as published."""

    def __init__(self, bert: Bert) -> None:
        super().__init__()
        self.classifier = nn.Linear(bert.output_size, 2)
        initialize_head(self, bert.config.initializer_range)

    def forward(self, output: BertOutput, targets: Targets) -> Tensor:  # noqa: ARG002
        """(T, H) hidden states → (T, 2): column 0 scores starts, column 1 ends."""
        logits: Tensor = self.classifier(output.hidden_states)
        return logits


class QuestionAnswering(RecordTask):
    """Targets: `answer_places` (B, 2) and `token_indices` (B, S).

    The places are start and end in each sequence, counted from its [CLS]; -100 where there is none.
    The indices are those of the sequence's tokens in the batch, -1 after the last of them. Google's
    loss lets padding compete too; here there is no padding.

    Args:
        has_unanswerable: whether "no answer" may be the answer; where not set, learned from the
            training records.
        no_answer_threshold: how far the score of "no answer" must be above that of the best span
            for it to be the answer; where not set, chosen for the best F1 on the evaluation file,
            or 0.0 without one.
        doc_stride: how many wordpieces each window of a passage starts after the one before it.
        max_query_length: the most wordpieces of a question.
        max_answer_length: the most wordpieces of an answer.
        n_best_size: how many answers to a question are ranked.
        columns: of the training file, as the user named them (`text` the question, `pair` the
            passage, `label` the answer).

    Raises:
        ConfigError: a setting that cannot work.
    """

    name = "question_answering"
    needs_pooler = False
    target = "answer_places"
    figure = "f1"
    scores_tokens = True
    default_max_seqlen = 384
    item_kinds = "a pair of a question and its passage, or a mapping of fields by name"
    field_names = ("question", "context", "id")

    def __init__(
        self,
        *,
        has_unanswerable: bool | None = None,
        no_answer_threshold: float | None = None,
        doc_stride: int = 128,
        max_query_length: int = 64,
        max_answer_length: int = 30,
        n_best_size: int = 20,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self._sizes = {
            "doc_stride": doc_stride,
            "max_query_length": max_query_length,
            "max_answer_length": max_answer_length,
            "n_best_size": n_best_size,
        }
        for key, size in self._sizes.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ConfigError(f"task.{key} ({size!r}) must be a whole number of at least 1")
        if has_unanswerable not in (None, True, False):
            raise ConfigError(f"task.has_unanswerable ({has_unanswerable!r}) must be true or false")
        threshold = 0.0 if no_answer_threshold is None else no_answer_threshold
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            raise ConfigError(f"task.no_answer_threshold ({threshold!r}) must be a number")
        self.no_answer_threshold = float(threshold)
        self._has_given_threshold = no_answer_threshold is not None
        self.columns = Layout.from_settings(columns or {}).named
        self._set_has_unanswerable(has_unanswerable)

    def learn_labels(self, records: Iterable[Record]) -> dict[str, int]:
        """Find out whether there are questions without an answer.

        Returns:
            How many questions have an answer and how many have none; empty where all have one.

        Raises:
            DataError: an answer is not in its passage, or no question has one.
        """
        counts = {"answer": 0, "no answer": 0}
        moved: list[str] = []
        for record in self.labelled(records):
            answers = question_of(record).answers or ()
            counts["answer" if answers else "no answer"] += 1
            if answers and answers[0].problem is not None:
                raise DataError(f"{record.location}: {answers[0].problem}")
            if answers and answers[0].is_moved:
                moved.append(record.location)
        if not counts["answer"]:
            raise DataError("no question has an answer; give some that have one to learn from")
        if moved:
            shown = ", ".join(moved[:MAX_MOVED_SHOWN])
            self.remarks = (
                f"{len(moved):,} of {counts['answer']:,} answers are not at their answer_start; "
                f"each was found at the only other place where it stands: {shown}"
                + (", …" if len(moved) > MAX_MOVED_SHOWN else ""),
            )
        if self.has_unanswerable is None:
            self._set_has_unanswerable(counts["no answer"] > 0)
        return counts if counts["no answer"] else {}

    def labelled(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records.

        Raises:
            DataError: one does not say what is right.
        """
        for record in records:
            if not has_answers(record):
                raise DataError(
                    f"{record.location} has no answer ({listed(record)}); give answers, an empty "
                    "list of them (or is_impossible) where the passage has none, or name their "
                    "column with data.label=COLUMN"
                )
            yield record

    def without_label(self, record: Record) -> Record:
        """The record without its answers."""
        return without_answers(record)

    def knows_field(self, name: str) -> bool:
        """Whether a field of this name may be looked at."""
        return is_question_column(name)

    def fields_of(self, item: Any) -> Mapping[str, Any] | None:
        """A pair is a question and its passage."""
        match item:
            case Mapping():
                return item
            case (str(question), str(context)):
                return {"question": question, "context": context}
        return None

    def encode(
        self, records: Iterable[Record], tokenizer: Tokenizer, *, max_length: int
    ) -> Iterator[EncodedRecord]:
        """Encode question and passage; each window has a target of its own.

        Raises:
            DataError: a record is no question about a passage.
        """
        cutter = QuestionCutter(
            tokenizer,
            max_length=max_length,
            step=self._sizes["doc_stride"],
            max_question_length=self._sizes["max_query_length"],
        )
        read = ((record, question_of(record)) for record in records)
        for chunk in chunked(read, TOKENIZED_AT_ONCE):
            found = cutter.cut([question for _, question in chunk])
            for (record, _), (windows, sequences) in zip(chunk, found, strict=True):
                self.num_truncated += windows.is_question_cut
                examples = (
                    Example(ids, segment_ids, target)
                    for (ids, segment_ids), target in zip(sequences, _targets(windows), strict=True)
                )
                yield EncodedRecord(record, tuple(examples), windows)

    def collate(self, examples: list[Example]) -> dict[str, Tensor]:
        """`answer_places` and `token_indices`."""
        places = [(-100, -100) if each.target is None else each.target for each in examples]
        return {
            "answer_places": torch.tensor(places),
            "token_indices": row_indices([len(each.input_ids) for each in examples]),
        }

    def build_head(self, bert: Bert) -> QuestionAnsweringHead:
        """A linear layer to two scores."""
        return QuestionAnsweringHead(bert)

    def rows(self, logits: Tensor, targets: Targets) -> Tensor:
        """(T, 2) → (B, 2, S): the starts and the ends of each sequence."""
        return take_rows(logits.float(), targets["token_indices"], NO_SCORE).transpose(1, 2)

    def loss(self, logits: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy of the starts and the ends."""
        return mean_cross_entropy(self.rows(logits, targets), targets["answer_places"])

    def metrics(self) -> CrossEntropyAndAccuracy:
        """`answer_place_loss` (nats) and `answer_place_accuracy`, of starts and ends alike."""
        return CrossEntropyAndAccuracy("answer_place")

    def join(self, record: EncodedRecord, logits: Sequence[Tensor]) -> RankedSpans:
        """(L, 2) of each window → the best spans of all of them."""
        return rank_spans(
            record.source,
            [rows.numpy() for rows in logits],
            n_best_size=self._sizes["n_best_size"],
            max_answer_length=self._sizes["max_answer_length"],
            has_null=bool(self.has_unanswerable),
        )

    def answer(self, record: EncodedRecord, scores: RankedSpans) -> dict[str, Any]:
        """The likeliest `answer` out of the passage, from character `start` to before `end`.

        Its `probability` is among the `n_best`. Where questions may have no answer the record's
        `no_answer_score` is compared with the threshold, and "" is "no answer"; a passage without
        a word is answered so, too.
        """
        given = record.source.question.id
        name = {} if given is None else {"id": given}
        return name | scores.answer(self.no_answer_threshold)

    def figures(self, scored: Sequence[ScoredRecord]) -> dict[str, float]:
        """`exact_match` and `f1` as in SQuAD's scripts, but from 0 to 1.

        Where there are questions without an answer, those of each kind too; and where the task
        knows such questions, the `best_f1` and the threshold that reaches it.
        """
        figures = answer_figures(self._decided(scored))
        if self.has_unanswerable:
            total, threshold = best_threshold(self._with_odds(scored), "f1")
            figures |= {"best_f1": total / len(scored), "best_f1_threshold": threshold}
        return figures

    def tune(self, scored: Sequence[ScoredRecord]) -> str:
        """Choose `no_answer_threshold`, unless it was given, where there are both kinds to see."""
        if not self.has_unanswerable or self._has_given_threshold:
            return ""
        with_odds = self._with_odds(scored)
        if len({score.has_answer for score, _ in with_odds}) < 2:
            return ""
        _, threshold = best_threshold(with_odds, "f1")
        # Halfway to the next odds: rounding on another machine must not decide.
        above = min((odds for _, odds in with_odds if odds > threshold), default=threshold)
        self.no_answer_threshold = (threshold + above) / 2
        return f"no-answer threshold {self.no_answer_threshold:.3f}"

    def verdict(self, scored: ScoredRecord) -> Verdict:
        """The answers that are right and the one given; the credit is its F1."""
        question, is_known = scored.record.source.question, bool(self.has_unanswerable)
        golds = [answer.text for answer in question.answers]
        answer = self.answer(scored.record, scored.scores)
        score = score_answer(answer["answer"], golds, is_unanswerable_known=is_known)
        confidence = answer["probability"]
        return Verdict(
            {"question": question.question, "context": _around(question, LONGEST_CONTEXT)},
            " / ".join(dict.fromkeys(golds)) or "no answer",
            answer["answer"] or "no answer",
            error=(1 - score.f1) * (confidence or 1.0),
            credit=score.f1,
            confidence=confidence,
        )

    def tables(self, scored: Sequence[ScoredRecord]) -> list[Table]:
        """Exact match and F1 by the words of the shortest right answer."""
        scores: dict[str, list[AnswerScore]] = {}
        for score, each in zip(self._decided(scored), scored, strict=True):
            answers = each.record.source.question.answers
            length = min((len(answer.text.split()) for answer in answers), default=0)
            key = next(name for name, most in _LENGTHS.items() if length <= most)
            scores.setdefault(key, []).append(score)
        rows = [
            (
                name,
                sum(score.exact for score in scores[name]) / len(scores[name]),
                sum(score.f1 for score in scores[name]) / len(scores[name]),
                len(scores[name]),
            )
            for name in _LENGTHS
            if name in scores
        ]
        return [Table("By length of the answer", ("words", "exact match", "F1", "records"), rows)]

    def settings(self) -> dict[str, Any]:
        """What was given or learned."""
        defaults = QuestionAnswering()._sizes
        given: dict[str, Any] = {
            key: size for key, size in self._sizes.items() if size != defaults[key]
        }
        if self.columns:
            given["columns"] = self.columns
        if self.has_unanswerable is not None:
            given["has_unanswerable"] = self.has_unanswerable
        if self.has_unanswerable:
            given["no_answer_threshold"] = self.no_answer_threshold
        return given

    def _set_has_unanswerable(self, has_unanswerable: bool | None) -> None:
        self.has_unanswerable = has_unanswerable
        if has_unanswerable:
            self.figure = "best_f1"

    def _decided(self, scored: Sequence[ScoredRecord]) -> list[AnswerScore]:
        """How right each answer is, "no answer" where the threshold says so."""
        return [
            score if each.scores.chosen(self.no_answer_threshold) else score.if_unanswered()
            for score, each in zip(self._answer_scores(scored), scored, strict=True)
        ]

    def _answer_scores(self, scored: Sequence[ScoredRecord]) -> list[AnswerScore]:
        """How right the best span of each question is."""
        answers = [[a.text for a in each.record.source.question.answers] for each in scored]
        is_known = not all(answers)
        return [
            score_answer(
                each.scores.best.text if each.scores.best else "",
                golds,
                is_unanswerable_known=is_known,
            )
            for each, golds in zip(scored, answers, strict=True)
        ]

    def _with_odds(self, scored: Sequence[ScoredRecord]) -> list[tuple[AnswerScore, float]]:
        """How right the best span of each question is, and the odds of "no answer"."""
        odds = [each.scores.no_answer_score or 0.0 for each in scored]
        return list(zip(self._answer_scores(scored), odds, strict=True))


def _around(question: Question, most: int) -> str:
    """So much of the passage as is to be read, from before the first answer on."""
    starts = [answer.start for answer in question.answers or () if answer.start is not None]
    start = max(0, min(starts, default=0) - most // 2)
    start = min(start, max(0, len(question.context) - most))
    end = start + most
    before, after = "…" * (start > 0), "…" * (end < len(question.context))
    return f"{before}{question.context[start:end]}{after}"


def _targets(windows: QuestionWindows) -> Iterator[tuple[int, int] | None]:
    """First and last place of the answer in each window; [CLS] where it has none, None unknown."""
    answers = windows.question.answers
    if answers is not None and not answers:
        yield from [_CLS] * len(windows.windows)
        return
    for answer in answers or ():
        if answer.start is not None:
            pieces = windows.pieces_of(answer.start, answer.start + len(answer.text))
            if pieces:
                yield from (windows.places_in(window, pieces) for window in windows.windows)
                return
    yield from [None] * len(windows.windows)


TASK = QuestionAnswering
