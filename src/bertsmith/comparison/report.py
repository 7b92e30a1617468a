"""What a comparison leaves to look at: a page with its figures and pictures, and these as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bertsmith.comparison.labelled_sentences import LabelledSentence
from bertsmith.comparison.page import write_page
from bertsmith.comparison.study import Results, Study
from bertsmith.comparison.table import losses_of, result_rows
from bertsmith.comparison.word_files import PAGE, write_word_study
from bertsmith.comparison.word_study import first_places
from bertsmith.export.model_folder import load_model
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.version import own_version


@dataclass(frozen=True)
class LookedAt:
    """A word, and the sentences that have it."""

    word: str
    sentences: Sequence[LabelledSentence]

    def check(self, study: Study) -> None:
        """See that the word can be found, before hours of training.

        Raises:
            DataError: it cannot.
        """
        tokenizer = Tokenizer.load(study.plan.train)
        first_places(tokenizer, self.word, self.sentences, study.plan.max_seqlen)


def write_report(study: Study, results: Results, looked_at: LookedAt | None) -> Path:
    """Draw a word in its sentences and the attention of the trained models, and write the page.

    Args:
        study: at its end.
        results: what has come of it.
        looked_at: the word; None: the page has the tasks alone.

    Returns:
        The page; pictures and `word.json` are beside it.

    Raises:
        DataError: a sentence does not have the word, or the folder cannot be written.
    """
    found = None
    if looked_at is not None:
        found = write_word_study(
            {title: load_model(folder) for title, folder in study.model_folders().items()},
            study.plan.held_out,
            study.output,
            word=looked_at.word,
            sentences=looked_at.sentences,
        )
    path = study.output / PAGE
    write_page(
        path,
        title="BERT beside the systems before it",
        study=found,
        rows=result_rows(study, results),
        facts=_facts(study, results),
    )
    return path


def _facts(study: Study, results: Results) -> list[tuple[str, str]]:
    facts = []
    for system in study.systems:
        if system.shares is not None:
            continue
        made = results.pretrained[system.name]
        losses = losses_of(made)
        facts.append(
            (
                system.title,
                f"{made.parameters:,} parameters, {made.tokens:,} tokens in {made.seconds:,.0f} s"
                f"{f', held-out loss {losses}' if losses else ''} ({system.source})",
            )
        )
    budget = (
        f"{study.plan.tokens:,} tokens"
        if study.plan.minutes is None
        else f"{study.plan.minutes:g} minutes"
    )
    return [
        *facts,
        ("budget", f"{budget} of pre-training for each system"),
        ("records", "all of each task" if study.limit is None else f"{study.limit:,} of each file"),
        ("versions", f"bertsmith {own_version()}"),
    ]
