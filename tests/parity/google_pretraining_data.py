"""What Google's create_pretraining_data.py makes of the generated corpus."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from generated_corpus import CORPUS, generated_text, vocabulary
from pretraining_instances import Counts, Instance

SETTINGS = {
    "max_seq_length": 128,
    "dupe_factor": 10,
    "short_seq_prob": 0.1,
    "masked_lm_prob": 0.15,
    "max_predictions_per_seq": 20,
}
INSTANCES_SEED = 12345
NUM_EXACT = 20


def pretraining_data(
    create: ModuleType, tokenization: ModuleType
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The corpus, and what is made of it."""
    pieces = vocabulary()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
        (Path(folder) / "corpus.txt").write_text(generated_text(pieces))
        tokenizer = tokenization.FullTokenizer(str(Path(folder) / "vocab.txt"))
        arguments = {**SETTINGS, "input_files": [str(Path(folder) / "corpus.txt")]}
        counts = {}
        for name, whole_word in (("wordpieces", False), ("whole_words", True)):
            create.FLAGS.do_whole_word_mask = whole_word
            rng = random.Random(INSTANCES_SEED)
            made = create.create_training_instances(tokenizer=tokenizer, rng=rng, **arguments)
            instances = [instance_of(one, tokenizer) for one in made]
            counts[name] = dataclasses.asdict(
                Counts.of(
                    instances,
                    max_seqlen=SETTINGS["max_seq_length"],
                    vocab_size=len(pieces),
                    mask_id=pieces.index("[MASK]"),
                )
            )
        documents = read_documents((Path(folder) / "corpus.txt").read_text(), tokenizer)
    ids = [[tokenizer.convert_tokens_to_ids(line) for line in lines] for lines in documents]
    corpus = {
        "wordpieces": np.array([i for lines in ids for line in lines for i in line], np.uint8),
        "sentence_lengths": np.array([len(line) for lines in ids for line in lines], np.uint16),
        "document_sentences": np.array([len(lines) for lines in ids], np.uint16),
    }
    return corpus, {
        "vocabulary": pieces,
        "corpus": CORPUS,
        "settings": SETTINGS,
        "seed": INSTANCES_SEED,
        "counts": counts,
        "pairs": exact_pairs(create, documents, tokenizer),
        "masks": exact_masks(create, instances, pieces),
    }


def read_documents(text: str, tokenizer: Any) -> list[list[list[str]]]:
    """Each document's sentences in wordpieces."""
    return [
        [tokenizer.tokenize(line) for line in document.splitlines()]
        for document in text.split("\n\n")
    ]


def instance_of(made: Any, tokenizer: Any) -> Instance:
    """One of Google's, with nothing masked beside what is shown."""
    shown = tokenizer.convert_tokens_to_ids(made.tokens)
    original = list(shown)
    labels = tokenizer.convert_tokens_to_ids(made.masked_lm_labels)
    for position, label in zip(made.masked_lm_positions, labels, strict=True):
        original[position] = label
    first_length = made.segment_ids.index(1) - 2
    return Instance(original, shown, first_length, made.is_random_next, made.masked_lm_positions)


def exact_pairs(create: ModuleType, documents: Any, tokenizer: Any) -> dict[str, Any]:
    """Pairs drawn with nothing masked in between: the first, and a hash of all of one pass."""
    mask = create.create_masked_lm_predictions
    create.create_masked_lm_predictions = lambda tokens, *_: (tokens, [], [])
    rng = random.Random(INSTANCES_SEED)
    pairs = []
    for index in range(len(documents)):
        for made in create.create_instances_from_document(
            documents, index, SETTINGS["max_seq_length"], SETTINGS["short_seq_prob"], 0, 0, [], rng
        ):
            ids = tokenizer.convert_tokens_to_ids(made.tokens)
            middle = made.segment_ids.index(1)
            pairs.append([ids[1 : middle - 1], ids[middle:-1], made.is_random_next])
    create.create_masked_lm_predictions = mask
    digest = hashlib.sha256(json.dumps(pairs).encode()).hexdigest()
    return {"number": len(pairs), "sha256": digest, "first": pairs[:NUM_EXACT]}


def exact_masks(
    create: ModuleType, instances: list[Instance], pieces: list[str]
) -> list[dict[str, Any]]:
    """The choice in a few sequences, each with the sequence's number for a seed."""
    masks = []
    for number, instance in enumerate(instances[:NUM_EXACT]):
        tokens = [pieces[i] for i in instance.original_ids]
        found = {"tokens": instance.original_ids}
        for name, whole_word in (("wordpieces", False), ("whole_words", True)):
            create.FLAGS.do_whole_word_mask = whole_word
            _, positions, _ = create.create_masked_lm_predictions(
                tokens,
                SETTINGS["masked_lm_prob"],
                SETTINGS["max_predictions_per_seq"],
                pieces,
                random.Random(number),
            )
            found[name] = positions
        masks.append(found)
    return masks
