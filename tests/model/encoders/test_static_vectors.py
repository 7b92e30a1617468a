"""A word's vector is the same in every sentence."""

from __future__ import annotations

import pytest
import torch
from tests.model.encoders.models import BATCH, SEQUENCES, build, config_of, sensitivity

from bertsmith.errors import ConfigError
from bertsmith.model.encoders.static_vectors import StaticVectors


def test_a_vector_is_the_table_s_row() -> None:
    bert = build("static_vectors")
    output = bert(BATCH, all_hidden_states=True)
    expected = bert.embeddings.wordpiece.weight[BATCH.input_ids]
    for states in (output.hidden_states, *output.all_hidden_states):
        assert torch.equal(states, expected)


def test_a_sequence_is_the_mean_of_its_tokens() -> None:
    bert = build("static_vectors")
    expected = [bert.embeddings.wordpiece.weight[sequence].mean(0) for sequence in SEQUENCES]
    torch.testing.assert_close(bert(BATCH).pooled_output, torch.stack(expected))


def test_no_other_token_counts() -> None:
    expected = [other == 4 for other in range(BATCH.num_tokens)]
    assert sensitivity(build("static_vectors"), BATCH, 4) == expected


def test_layers_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"num_hidden_layers \(2\) must be 1"):
        StaticVectors(config_of("static_vectors").replace(num_hidden_layers=2))
