"""Words' vectors are those that the library's own function has, and wordpieces' means."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.comparison.systems import default_tokenizer, save

from bertsmith.comparison.word_vectors import (
    BATCH_SENTENCES,
    all_words,
    flat,
    read_words,
    word_vectors,
)
from bertsmith.export.model_folder import load_model
from bertsmith.inference.word_in_context import layer_states

TEXTS = ["Turn right at the church.", "", "He was right, said the king.", "."]


def test_they_are_the_means_of_each_words_wordpieces(tmp_path: Path) -> None:
    loaded = load_model(save(tmp_path / "m", default_tokenizer(without=["right", "church"])))
    read = read_words(loaded, TEXTS)
    chosen = all_words(read, 1000)
    assert [[word.text for word in words] for words in chosen] == [
        ["Turn", "right", "at", "the", "church"],
        [],
        ["He", "was", "right", "said", "the", "king"],
        [],
    ]
    assert len(chosen[0][1].pieces) == 5
    sequences = [example for example, _ in read]
    (layers,) = word_vectors(loaded, sequences, chosen)
    assert len(layers) == 3
    for place, vectors in enumerate(layers):
        states = layer_states(loaded.model, sequences, [place - 1] * len(sequences))
        words = flat(chosen)
        rows = [states[each.sentence][each.pieces.start : each.pieces.stop] for each in words]
        torch.testing.assert_close(vectors, torch.stack([row.mean(0) for row in rows]))


def test_parts_say_what_the_whole_says(tmp_path: Path) -> None:
    loaded = load_model(save(tmp_path / "m"))
    texts = [f"the right of {'the ' * (number % 7)}king" for number in range(BATCH_SENTENCES + 9)]
    read = read_words(loaded, texts)
    chosen = all_words(read, 10**6)
    parts = list(word_vectors(loaded, [example for example, _ in read], chosen))
    assert len(parts) == 2
    last = torch.cat([layers[-1] for layers in parts])
    (alone,) = word_vectors(loaded, [read[-1][0]], [chosen[-1]])
    torch.testing.assert_close(last[-len(chosen[-1]) :], alone[-1], atol=1e-5, rtol=0)


def test_so_many_words_and_no_more(tmp_path: Path) -> None:
    loaded = load_model(save(tmp_path / "m", positions=5))
    read = read_words(loaded, TEXTS)
    # What is beyond the model's positions is not read.
    assert [word.text for word in read[0][1]] == ["Turn", "right", "at"]
    assert [len(words) for words in all_words(read, 4)] == [3, 0, 1, 0]
