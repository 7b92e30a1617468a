"""ELMo's directions share nothing and see nothing of each other."""

from __future__ import annotations

import pytest
import torch
from tests.model.encoders.models import BATCH, CONFIG, build, config_of, sensitivity
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.encoders.two_lstms import TwoLSTMs

HALF = CONFIG.hidden_size // 2


@pytest.mark.parametrize("token", [0, 3, 6, 9, 14])
@pytest.mark.parametrize("direction", [0, 1])
def test_each_half_sees_its_own_side_alone(token: int, direction: int) -> None:
    sequence = int((BATCH.cu_seqlens <= token).sum()) - 1
    start, end = BATCH.cu_seqlens[sequence : sequence + 2].tolist()
    seen = range(start, token + 1) if direction == 0 else range(token, end)
    columns = slice(direction * HALF, (direction + 1) * HALF)
    found = sensitivity(build("two_lstms"), BATCH, token, columns)
    assert found == [other in seen for other in range(BATCH.num_tokens)]


def test_the_directions_share_no_layer_s_parameter() -> None:
    bert = build("two_lstms")
    layers = dict(bert.encoder.named_parameters())
    forward = {name: p for name, p in layers.items() if ".forward_lstm." in name}
    backward = {name: p for name, p in layers.items() if ".backward_lstm." in name}
    assert len(forward) == len(backward) == len(layers) // 2
    assert {id(p) for p in forward.values()}.isdisjoint(id(p) for p in backward.values())
    # What one direction's vectors are made of: its own parameters, and the embeddings.
    for columns, own in ((slice(HALF), forward), (slice(HALF, None), backward)):
        bert.zero_grad()
        bert(BATCH).hidden_states[:, columns].square().sum().backward()
        reached = {
            name
            for name, p in bert.encoder.named_parameters()
            if p.grad is not None and p.grad.any()
        }
        assert reached == set(own)


def of_one_direction(bert: TwoLSTMs, ids: Tensor, direction: int) -> Tensor:
    """(S, H / 2) by PyTorch's LSTMs on one sequence, one after the other: the definition."""
    name = ("forward_lstm", "backward_lstm")[direction]
    states = bert.embeddings.wordpiece(ids)
    states = states if direction == 0 else states.flip(0)
    for number, layer in enumerate(bert.encoder.layers):
        lstm = getattr(layer, name)
        assert isinstance(lstm, nn.LSTM)
        output, _ = lstm(states)
        states = output if number == 0 else states + output
    return states if direction == 0 else states.flip(0)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_packed_sequences_are_those_of_plain_lstms() -> None:
    bert = build("two_lstms")
    assert isinstance(bert, TwoLSTMs)
    output = bert(BATCH)
    for index, (start, end) in enumerate(
        zip(BATCH.cu_seqlens[:-1].tolist(), BATCH.cu_seqlens[1:].tolist(), strict=True)
    ):
        halves = [of_one_direction(bert, BATCH.input_ids[start:end], d) for d in (0, 1)]
        expected = torch.cat(halves, 1)
        torch.testing.assert_close(output.hidden_states[start:end], expected)
        pooled = torch.cat([halves[0][-1], halves[1][0]])
        torch.testing.assert_close(output.pooled_output[index], pooled)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for is_on in (False, True):
        bert = build("two_lstms").train()
        bert.encoder.gradient_checkpointing = is_on
        bert(BATCH).hidden_states.square().sum().backward()
        gradients.append([p.grad for p in bert.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 15, "num_attention_heads": 1}, r"hidden_size \(15\) must be even"),
        ({"intermediate_size": 8}, r"intermediate_size \(8\) must be above 8"),
    ],
)
def test_sizes_that_cannot_be_are_one_sentence(changes: dict[str, int], message: str) -> None:
    config: BertConfig = config_of("two_lstms").replace(**changes)
    with pytest.raises(ConfigError, match=message):
        TwoLSTMs(config)


def test_a_sequence_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than the model's 16 positions"):
        build("two_lstms")(Batch.from_sequences([[2] * 17]))
