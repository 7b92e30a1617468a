"""A small corpus of real sentences' shape, with structure that a tiny model can learn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.training.mood_runs import write_start

from bertsmith.data.prepare import PrepareSettings, prepare
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

NUM_TOPICS = 8
NOUNS = 3
TOPICS = [[f"{chr(97 + topic)}{noun}" for noun in range(NOUNS)] for topic in range(NUM_TOPICS)]
SHARED = "the saw a near old small .".split()  # noqa: SIM905
WORDS = [word for words in TOPICS for word in words] + SHARED
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def write_text(path: Path, *, documents: int, seed: int) -> None:
    """Documents that stay with their topic, so that masked words and next sentences have cues."""
    rng = random.Random(seed)
    texts = []
    for _ in range(documents):
        nouns = rng.choice(TOPICS)
        sentence = "the {} {} saw a {} near the {} .".format
        lines = [sentence(rng.choice(["old", "small"]), *rng.choices(nouns, k=3)) for _ in range(6)]
        texts.append("\n".join(lines))
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train` and `eval` shards."""
    folder = tmp_path_factory.mktemp("corpus")
    tokenizer = Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)
    for name, documents, seed in (("train", 400, 1), ("eval", 60, 2)):
        write_text(folder / f"{name}.txt", documents=documents, seed=seed)
        settings = PrepareSettings(language=None)
        prepare([folder / f"{name}.txt"], tokenizer, folder / name, settings, workers=1)
    return folder


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pre-trained model, and records to train and to measure on."""
    return write_start(tmp_path_factory.mktemp("finetuning"))


RECIPE = """
tasks = ["masked_lm", "next_sentence"]

[model]
preset = "tiny"
hidden_size = 32
num_attention_heads = 2
intermediate_size = 64
max_position_embeddings = 32
initializer_range = 0.1

[data]
train = "{corpus}/train"
eval = "{corpus}/eval"
eval_tokens = 4096
max_seqlen = 32

[optimizer]
name = "{optimizer}"
learning_rate = 3e-3

[train]
output = "{output}"
steps = {steps}
batch_tokens = 512
eval_every_steps = {every}
checkpoint_every_steps = {every}
num_threads = 1
precision = "fp32"

[log]
every_steps = 5
"""


def write_recipe(
    path: Path, corpus: Path, output: Path, *, steps: int, every: int = 10, optimizer: str = "adamw"
) -> Path:
    """A recipe for a run of seconds; dropout is on, so that generators matter."""
    values = {"corpus": corpus, "output": output, "steps": steps, "every": every}
    path.write_text(RECIPE.format(**values, optimizer=optimizer), encoding="utf-8")
    return path
