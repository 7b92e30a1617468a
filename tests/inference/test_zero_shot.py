"""Labels through entailment are those of `transformers`' pipeline on the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers
from tests.inference.conftest import save

from bertsmith.errors import ConfigError, DataError
from bertsmith.inference.predictor import Predictor
from bertsmith.inference.zero_shot import ZeroShotClassifier
from bertsmith.tasks.sequence_classification import SequenceClassification

TEXTS = ["a good film", "paris .", "the dull book"]
LABELS = ["good", "bad", "fine book"]
TEMPLATE = "a {} film"


@pytest.fixture(scope="module")
def entailment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labels of SNLI, in the order that the pipeline takes contradiction to be first in."""
    labels = ["contradiction", "neutral", "entailment"]
    task = SequenceClassification(labels=labels, pairs=True)
    return save(tmp_path_factory.mktemp("models") / "entailment", [task])


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("batch_tokens", [1, None])
def test_labels_are_those_of_the_pipeline(
    entailment: Path, multi_label: bool, batch_tokens: int | None
) -> None:
    pipeline = transformers.pipeline("zero-shot-classification", model=str(entailment))
    expected = pipeline(TEXTS, LABELS, hypothesis_template=TEMPLATE, multi_label=multi_label)
    classifier = ZeroShotClassifier.load(
        entailment, LABELS, device="cpu", template=TEMPLATE, multi_label=multi_label
    )
    found = list(classifier.classify(TEXTS, batch_tokens=batch_tokens))
    for answer, theirs in zip(found, expected, strict=True):
        probabilities = dict(zip(theirs["labels"], theirs["scores"], strict=True))
        assert list(answer["probabilities"]) == LABELS
        assert answer["probabilities"] == pytest.approx(probabilities, abs=1e-5)
        assert answer["label"] == theirs["labels"][0]


def test_records_are_read_by_their_columns(entailment: Path) -> None:
    classifier = ZeroShotClassifier.load(entailment, LABELS)
    assert list(classifier.classify([{"sentence": "paris"}])) == list(
        classifier.classify(["paris"])
    )


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([], {}, "must be one or several words, each once"),
        (["a", "a"], {}, r"labels \(a, a\) must be one or several words, each once"),
        (["a", ""], {}, "must be one or several words"),
        (["a"], {"template": "a film"}, r"template \('a film'\) must have \{\} where the label"),
    ],
)
def test_settings_that_cannot_be_are_named(
    entailment: Path, labels: list[str], settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ZeroShotClassifier.load(entailment, labels, **settings)


def test_models_of_something_else_are_refused(classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"labels \(neg, pos\), which must have entailment among"):
        ZeroShotClassifier(Predictor.load(classifier), LABELS)
    two = save(tmp_path / "two", [SequenceClassification(labels=["entailment", "other"])])
    assert list(ZeroShotClassifier.load(two, LABELS).classify(["paris"]))
    with pytest.raises(ConfigError, match="have no contradiction among them"):
        ZeroShotClassifier.load(two, LABELS, multi_label=True)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("paris", "put it in a list"),
        ([("a", "b")], "text 1 is of type tuple; it must be a text or a mapping"),
        ([{"text": "a", "pair": "b"}], "text 1 is a pair of texts; one text is expected"),
    ],
)
def test_what_is_no_text_is_named(entailment: Path, texts: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(ZeroShotClassifier.load(entailment, LABELS).classify(texts))  # type: ignore[arg-type]
