"""Each attention against its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bertsmith.errors import ConfigError
from bertsmith.ops import attention as module
from bertsmith.ops.attention import (
    ATTENTIONS,
    MAX_EAGER_SEQLEN,
    Attention,
    auto,
    eager,
    get_attention,
    reference,
    sdpa,
    triton,
    varlen,
)
from bertsmith.ops.ragged import RaggedLayout

LENGTHS = {
    "mixed": [7, 1, 12, 5],
    "equal": [6, 6, 6],
    "one": [9],
    "empty at the end": [4, 8, 0, 0],
    "several runs": [2, 40, 3, 300, 5, 290, 0],
}


def layout_of(lengths: list[int], device: str = "cpu") -> RaggedLayout:
    bounds = torch.tensor([0, *lengths]).cumsum(0).int().to(device)
    return RaggedLayout(bounds, max(lengths))


def draw(lengths: list[int], seed: int = 0) -> Tensor:
    """(T, 3, N, D)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((sum(lengths), 3, 2, 8), generator=generator)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("attention", [sdpa, eager])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_both_equal_the_reference_in_output_and_gradients(
    lengths: list[int], attention: Attention, is_causal: bool
) -> None:
    qkv = draw(lengths).requires_grad_()
    weights = torch.randn(qkv[:, 0].shape, generator=torch.Generator().manual_seed(1))
    expected = reference(qkv, layout_of(lengths), 0.0, is_causal)
    expected_gradient = torch.autograd.grad((expected * weights).sum(), qkv)
    actual = attention(qkv, layout_of(lengths), 0.0, is_causal)
    actual_gradient = torch.autograd.grad((actual * weights).sum(), qkv)
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(actual_gradient, expected_gradient, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("attention", [reference, sdpa, eager, auto])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_causal_attention_is_that_of_hugging_faces_gpt_2(
    lengths: list[int], attention: Attention
) -> None:
    from transformers import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

    config = GPT2Config(n_embd=16, n_head=2, attn_pdrop=0.0, resid_pdrop=0.0)
    config._attn_implementation = "eager"
    theirs = GPT2Attention(config, layer_idx=0).eval()
    with torch.no_grad():  # projections that change nothing
        theirs.c_attn.weight.copy_(torch.eye(16).repeat(1, 3))
        theirs.c_proj.weight.copy_(torch.eye(16))
        theirs.c_attn.bias.zero_()
        theirs.c_proj.bias.zero_()
    x = torch.randn(sum(lengths), 16, generator=torch.Generator().manual_seed(2))
    qkv = x[:, None].expand(-1, 3, -1).reshape(-1, 3, 2, 8)
    found = attention(qkv, layout_of(lengths), 0.0, True).flatten(1)
    start = 0
    for length in filter(None, lengths):
        part = x[None, start : start + length]
        later = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)
        with torch.no_grad():
            expected = theirs(part, attention_mask=later[None, None])[0][0]
        torch.testing.assert_close(found[start : start + length], expected, atol=1e-5, rtol=1e-5)
        start += length


def test_triton_refuses_to_be_causal() -> None:
    with pytest.raises(ConfigError, match="the triton attention has no kernel in which"):
        triton(draw([3]), layout_of([3]), 0.0, True)


def test_sdpa_in_bfloat16_on_a_cpu_keeps_the_type_and_the_precision_of_float32() -> None:
    lengths = LENGTHS["mixed"]
    half = draw(lengths).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = sdpa(half, layout_of(lengths), 0.0)
    assert output.dtype == torch.bfloat16
    expected = reference(half.float(), layout_of(lengths), 0.0)
    torch.testing.assert_close(output, expected.bfloat16(), atol=0, rtol=2**-8)


def test_eager_in_bfloat16_is_the_reference_in_bfloat16() -> None:
    lengths = LENGTHS["mixed"]
    half = draw(lengths).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = eager(half, layout_of(lengths), 0.0)
    assert output.dtype == torch.bfloat16
    expected = reference(half.float(), layout_of(lengths), 0.0)
    torch.testing.assert_close(output.float(), expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("numbers", [1, 300, 2**18])
def test_eager_in_bfloat16_is_the_same_without_a_gradient(
    monkeypatch: pytest.MonkeyPatch, numbers: int, is_causal: bool
) -> None:
    monkeypatch.setattr(module, "SOFTMAX_NUMBERS", numbers)
    layout = layout_of([3, 3, 3, 33, 40, 40, 1])
    half = draw([3, 3, 3, 33, 40, 40, 1]).bfloat16()
    before = half.clone()
    output = eager(half, layout, 0.0, is_causal)
    torch.testing.assert_close(half, before, atol=0, rtol=0)
    learning = eager(half.requires_grad_(), layout, 0.0, is_causal)
    expected = reference(before.float(), layout, 0.0, is_causal)
    torch.testing.assert_close(output.float(), expected, atol=0.02, rtol=0)
    torch.testing.assert_close(output, learning.detach(), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "length", "dropout_prob", "chosen"),
    [
        (torch.float32, 9, 0.0, "sdpa"),
        (torch.float32, 9, 0.1, "eager"),
        (torch.bfloat16, 9, 0.0, "eager"),
        (torch.bfloat16, MAX_EAGER_SEQLEN, 0.0, "eager"),
        (torch.bfloat16, MAX_EAGER_SEQLEN + 1, 0.0, "sdpa"),
        (torch.bfloat16, MAX_EAGER_SEQLEN + 1, 0.1, "eager"),
    ],
)
def test_the_fastest_is_chosen_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    length: int,
    dropout_prob: float,
    chosen: str,
) -> None:
    used = []
    for name in ("eager", "sdpa", "triton", "varlen"):
        monkeypatch.setattr(module, name, lambda *_, name=name: used.append(name))
    auto(draw([length]).to(dtype), layout_of([length]), dropout_prob)
    assert used == [chosen]


@pytest.mark.parametrize("name", ["reference", "eager", "sdpa", "auto"])
def test_a_sequence_does_not_see_its_neighbours(name: str) -> None:
    lengths = LENGTHS["mixed"]
    attention = get_attention(name)
    qkv = draw(lengths)
    before = attention(qkv, layout_of(lengths), 0.0)
    qkv[:8, 1], qkv[:8, 2] = 100.0, -100.0  # keys and values of the first two sequences
    after = attention(qkv, layout_of(lengths), 0.0)
    torch.testing.assert_close(after[8:], before[8:], atol=0, rtol=0)
    assert not torch.allclose(after[:8], before[:8])


def test_the_reference_is_softmax_of_scaled_products() -> None:
    q = torch.tensor([[[2.0, 0.0]], [[0.0, 0.0]]])
    k = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    v = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    weight = torch.tensor(2 / 2**0.5).exp()
    share = weight / (weight + 1)
    expected = torch.tensor([[[share, 1 - share]], [[0.5, 0.5]]])
    qkv = torch.stack([q, k, v], 1)
    torch.testing.assert_close(reference(qkv, layout_of([2]), 0.0), expected)


@pytest.mark.parametrize("attention", [reference, eager, sdpa])
def test_dropout_drops_the_stated_share_of_probabilities(attention: object) -> None:
    # With values of one, an output is the sum of the probabilities kept, scaled up by 1 / 0.7.
    lengths = [50] * 40
    qkv = draw(lengths) * 0
    qkv[:, 2] = 1
    torch.manual_seed(0)
    outputs = attention(qkv, layout_of(lengths), 0.3)  # type: ignore[operator]
    # n = 2,000 rows and 2 heads of 50 draws each: the mean of 200,000 has a deviation of 0.0015.
    assert outputs.mean().item() == pytest.approx(1.0, abs=0.006)
    assert outputs[..., 0].std().item() == pytest.approx((0.3 / 0.7 / 50) ** 0.5, rel=0.1)


def test_varlen_refuses_dropout() -> None:
    with pytest.raises(ConfigError, match=r"attention_probs_dropout_prob \(0.1\) is not supported"):
        varlen(draw([3]), layout_of([3]), 0.1)


def test_varlen_refuses_a_cpu() -> None:
    with pytest.raises(ConfigError, match="got float32 on cpu"):
        varlen(draw([3]), layout_of([3]), 0.0)


def test_an_unknown_attention_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'flash'.*auto, eager, reference, sdpa, triton, varlen"):
        get_attention("flash")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", sorted(set(ATTENTIONS) - {"reference"}))
@pytest.mark.parametrize("lengths", [[128, 7, 64, 1, 100], [128] * 4, [30, 128, 0, 0]])
def test_on_cuda_each_attention_equals_the_reference(name: str, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn((sum(lengths), 3, 4, 64), generator=generator)
    weights = torch.randn(qkv[:, 0].shape, generator=generator)
    double = qkv.double().requires_grad_()
    half = qkv.cuda().bfloat16().requires_grad_()
    expected = reference(double, layout_of(lengths), 0.0)
    actual = get_attention(name)(half, layout_of(lengths, "cuda"), 0.0)
    pairs = [(actual, expected)]
    (actual * weights.cuda()).sum().backward()
    (expected * weights).sum().backward()
    assert half.grad is not None
    assert double.grad is not None
    pairs += [(half.grad[:, part], double.grad[:, part]) for part in range(3)]
    for a, e in pairs:
        error = (a.double().cpu() - e).norm() / e.norm()
        assert error < 1e-2  # bfloat16 keeps 8 bits: 4e-3 for one rounding
