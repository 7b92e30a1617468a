"""What a token's vector depends on, by every attention that runs on a CPU."""

from __future__ import annotations

import pytest
import torch
import transformers
from tests.model.encoders.models import BATCH, CONFIG, SEQUENCES, build, sensitivity

from bertsmith.batch import Batch
from bertsmith.inference.features import attention_maps
from bertsmith.model.encoders.left_to_right import LeftToRight
from bertsmith.ops.attention import get_attention
from bertsmith.tasks.model import BertForTasks

ON_A_CPU = ("auto", "eager", "reference", "sdpa")


@pytest.mark.parametrize("name", ON_A_CPU)
def test_later_tokens_do_not_change_a_vector(name: str) -> None:
    bert = build("left_to_right", get_attention(name))
    before = bert(BATCH).hidden_states
    for token in (3, 8, 14):  # inside sequences 0, 1 and 2
        ids = BATCH.input_ids.clone()
        ids[token] = 29
        changed = Batch(
            ids, BATCH.segment_ids, BATCH.position_ids, BATCH.cu_seqlens, BATCH.max_seqlen
        )
        after = bert(changed).hidden_states
        sequence = int((BATCH.cu_seqlens <= token).sum()) - 1
        end = int(BATCH.cu_seqlens[sequence + 1])
        is_same = (after == before).all(1)
        torch.testing.assert_close(after[:token], before[:token], atol=0, rtol=0)
        assert not is_same[token:end].any()  # itself and all that see it
        assert is_same[end:].all()


@pytest.mark.parametrize("name", ON_A_CPU)
@pytest.mark.parametrize("token", [0, 3, 6, 9, 14])
def test_gradients_come_from_a_token_and_those_before_it(name: str, token: int) -> None:
    bert = build("left_to_right", get_attention(name))
    sequence = int((BATCH.cu_seqlens <= token).sum()) - 1
    start = int(BATCH.cu_seqlens[sequence])
    expected = [start <= other <= token for other in range(BATCH.num_tokens)]
    assert sensitivity(bert, BATCH, token) == expected


def test_with_dropout_nothing_later_shines_through() -> None:
    config = CONFIG.replace(attention_probs_dropout_prob=0.3, hidden_dropout_prob=0.3)
    torch.manual_seed(0)
    bert = LeftToRight(config).train()
    assert not any(sensitivity(bert, BATCH, 3)[4:])


def test_bert_sees_both_sides_and_no_neighbours() -> None:
    assert sensitivity(build("bert"), BATCH, 3) == [other < 7 for other in range(BATCH.num_tokens)]


def test_the_last_token_stands_for_the_sequence() -> None:
    output = build("left_to_right")(BATCH)
    last = (BATCH.cu_seqlens[1:] - 1).long()
    assert torch.equal(output.pooled_output, output.hidden_states[last])


def test_parameters_are_those_of_a_bert_without_its_pooler() -> None:
    ours = {name: p.shape for name, p in build("left_to_right").named_parameters()}
    berts = {name: p.shape for name, p in build("bert").named_parameters()}
    assert ours == {name: shape for name, shape in berts.items() if "pooler" not in name}


def test_attention_maps_are_triangles() -> None:
    model = BertForTasks(CONFIG.replace(encoder="left_to_right"), [])
    with torch.no_grad():
        for matrix in attention_maps(model, BATCH):
            assert not matrix.triu(1).any()
            lengths = torch.tensor([len(sequence) for sequence in SEQUENCES])
            is_there = torch.arange(BATCH.max_seqlen) < lengths[:, None]
            expected = is_there[:, None].expand(matrix.shape[:3]).float()
            torch.testing.assert_close(matrix.sum(-1), expected)


def test_vectors_are_those_of_hugging_faces_bert_as_a_decoder() -> None:
    ours = build("left_to_right")
    settings = {k: v for k, v in ours.config.to_dict().items() if k != "encoder"}
    config = transformers.BertConfig(**settings, is_decoder=True, attn_implementation="eager")
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    parameters = dict(ours.named_parameters())
    from bertsmith.export.huggingface import their_names

    state = {}
    for name, parameter in parameters.items():
        names = [each.removeprefix("bert.") for each in their_names(f"bert.{name}")]
        parts = parameter.detach().chunk(len(names)) if len(names) > 1 else [parameter.detach()]
        state |= dict(zip(names, parts, strict=True))
    assert not theirs.load_state_dict(state, strict=False).missing_keys
    for sequence in SEQUENCES:
        with torch.no_grad():
            expected = theirs(torch.tensor([sequence])).last_hidden_state[0]
            found = ours(Batch.from_sequences([sequence])).hidden_states
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
