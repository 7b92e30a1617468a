"""Labels that a model was never trained on, through entailment.

A model that tells whether one text follows from another is asked of each label whether a sentence
with it follows from the text (Yin et al. 2019, "Benchmarking zero-shot text classification").

Dimension key: `C` labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from bertsmith.data.columns import texts_of
from bertsmith.data.record import Record
from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.predictor import Predictor
from bertsmith.tasks.sequence_classification import SequenceClassification

TEMPLATE = "This example is {}."


class ZeroShotClassifier:
    """Probabilities of labels that are named when it is asked.

    Args:
        predictor: of a model that was fine-tuned to tell `entailment` from other labels, such as
            those of SNLI, MNLI and RTE.
        labels: C of them, in words.
        template: the sentence that is to follow from a text, `{}` being the label.
        multi_label: any number of labels may hold, each with a probability of its own; without it
            one of them does, and their probabilities add up to 1.

    Raises:
        ConfigError: the model does not tell entailment, or a setting cannot be.
    """

    def __init__(
        self,
        predictor: Predictor,
        labels: Sequence[str],
        *,
        template: str = TEMPLATE,
        multi_label: bool = False,
    ) -> None:
        self.predictor = predictor
        self.labels = list(labels)
        if not self.labels or len(set(self.labels)) < len(self.labels) or "" in self.labels:
            raise ConfigError(
                f"labels ({', '.join(self.labels)}) must be one or several words, each once"
            )
        if "{}" not in template:
            raise ConfigError(f"template ({template!r}) must have {{}} where the label is to stand")
        self.hypotheses = [template.replace("{}", label) for label in self.labels]
        self.multi_label = multi_label
        self._entailment, self._contradiction = _entailment_labels(predictor)
        if multi_label and self._contradiction is None:
            raise ConfigError(
                "the model's labels have no contradiction among them, which a probability of each "
                "label by itself is made of; leave multi_label out"
            )

    @classmethod
    def load(
        cls, path: str | Path, labels: Sequence[str], *, device: str | None = None, **settings: Any
    ) -> Self:
        """Open a model folder.

        Args:
            path: the folder.
            labels: as above.
            device: such as `cpu` or `cuda`; None takes a GPU where there is one.
            settings: `template`, `multi_label`.

        Raises:
            CheckpointError: the folder is not a model's, or damaged.
            ConfigError: as above, or there is no such device.
        """
        return cls(Predictor.load(path, device=device), labels, **settings)

    def classify(
        self, texts: Iterable[Any], *, batch_tokens: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """For each text the likeliest label and all probabilities, in order of the labels.

        Args:
            texts: texts, or records with them; read while answers are given.
            batch_tokens: as for `Predictor.predict`.

        Raises:
            DataError: one is neither, or has no text.
        """
        if isinstance(texts, str | Mapping | Record):
            raise DataError("many texts are expected and this is a single one; put it in a list")
        scored = self.predictor.scores(self._pairs(texts), batch_tokens=batch_tokens)
        count = len(self.labels)
        while rows := [each.scores for each in islice(scored, count)]:
            probabilities = self._probabilities(torch.stack(rows))
            named = dict(zip(self.labels, probabilities.tolist(), strict=True))
            yield {"label": max(named, key=named.__getitem__), "probabilities": named}

    def _pairs(self, texts: Iterable[Any]) -> Iterator[Record]:
        """Each text with every hypothesis."""
        for number, item in enumerate(texts, 1):
            record = item
            if not isinstance(item, Record):
                fields = {"text": item} if isinstance(item, str) else item
                if not isinstance(fields, Mapping):
                    raise DataError(
                        f"text {number} is of type {type(item).__name__}; it must be a text or a "
                        "mapping of fields by name"
                    )
                record = Record(dict(fields), f"text {number}")
            text, pair = texts_of(record)
            if pair is not None:
                raise DataError(f"{record.location} is a pair of texts; one text is expected")
            for hypothesis in self.hypotheses:
                yield Record({"text": text, "pair": hypothesis}, record.location)

    def _probabilities(self, logits: Tensor) -> Tensor:
        """(C, labels of the model) → (C,)."""
        if self.multi_label:
            return logits[:, [self._contradiction, self._entailment]].softmax(-1)[:, 1]
        return logits[:, self._entailment].softmax(-1)


def _entailment_labels(predictor: Predictor) -> tuple[int, int | None]:
    """The places of entailment and of its opposite among the model's labels."""
    task = predictor.task
    names = task.labels if isinstance(task, SequenceClassification) else None
    lowered = [name.lower() for name in names or []]
    found = [place for place, name in enumerate(lowered) if name.startswith("entail")]
    if len(found) != 1:
        raise ConfigError(
            f"the model's task is {task.name} with the labels ({', '.join(names or [])}), which "
            "must have entailment among them; take a model fine-tuned on SNLI, MNLI or RTE"
        )
    opposites = [
        place
        for place, name in enumerate(lowered)
        if name.startswith(("contradict", "not_entail", "not entail"))
    ]
    return found[0], opposites[0] if len(opposites) == 1 else None
