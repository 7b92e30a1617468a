"""Kernels of our own on a GPU against their definitions, forward and gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.inference.precision import use_precision
from bertsmith.model.bert import Bert
from bertsmith.ops.attention import HEAD_SIZES, reference
from bertsmith.ops.own_kernels import MIN_TOKENS
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.tasks.model import BertForTasks

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def has_fp8() -> bool:
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9)


needs_fp8 = pytest.mark.skipif(not has_fp8(), reason="needs a GPU with 8-bit products")


def error(actual: Tensor, expected: Tensor) -> float:
    actual, expected = (x.detach().double().cpu() for x in (actual, expected))
    return float((actual - expected).norm() / expected.norm())


def packed(lengths: list[int], heads: int = 4, size: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn((sum(lengths), 3, heads, size), generator=generator).cuda().bfloat16()
    return qkv, torch.tensor([0, *lengths]).cumsum(0).int().cuda()


@pytest.mark.parametrize("size", HEAD_SIZES)
@pytest.mark.parametrize("lengths", [[300, 7, 64, 1, 512, 65], [128] * 4, [30, 128, 0, 0]])
def test_attention_and_its_gradient_are_the_references(lengths: list[int], size: int) -> None:
    from bertsmith.ops.triton_attention import packed_attention

    qkv, bounds = packed(lengths, size=size)
    weights = torch.randn_like(qkv[:, 0])
    double = qkv.double().cpu().requires_grad_()
    expected = reference(double, RaggedLayout(bounds.cpu(), max(lengths)), 0.0)
    expected.backward(weights.double().cpu())
    qkv.requires_grad_()
    actual, _ = packed_attention(qkv, bounds, None, 512, 0.0)
    actual.backward(weights)
    assert qkv.grad is not None
    assert double.grad is not None
    assert error(actual, expected) < 1e-2  # bfloat16 keeps 8 bits: 4e-3 for one rounding
    for part in range(3):
        assert error(qkv.grad[:, part], double.grad[:, part]) < 1e-2


def test_attention_drops_the_stated_share_the_same_in_both_passes() -> None:
    from bertsmith.ops.triton_attention import packed_attention

    # With queries of 0 and values of one, an output is the share kept times 1 / 0.7.
    qkv, bounds = packed([50] * 40)
    qkv[:, 0], qkv[:, 2] = 0, 1
    seed = torch.tensor([7], device="cuda")
    outputs, _ = packed_attention(qkv, bounds, seed, 64, 0.3)
    again, _ = packed_attention(qkv, bounds, seed, 64, 0.3)
    other, _ = packed_attention(qkv, bounds, seed + 1, 64, 0.3)
    assert outputs.float().mean().item() == pytest.approx(1.0, abs=0.006)
    assert outputs[..., 0].float().std().item() == pytest.approx((0.3 / 0.7 / 50) ** 0.5, rel=0.1)
    assert torch.equal(outputs, again)
    assert not torch.equal(outputs, other)
    # The output is linear in the values, so that their gradient says which were kept:
    # sum(out * g) = sum(values * gradient).
    qkv, bounds = packed([50, 120, 33])
    qkv.requires_grad_()
    outputs, _ = packed_attention(qkv, bounds, seed, 128, 0.3)
    weights = torch.randn_like(outputs)
    (gradient,) = torch.autograd.grad(outputs, qkv, weights)
    left = (outputs.float() * weights.float()).sum().item()
    right = (qkv.detach()[:, 2].float() * gradient[:, 2].float()).sum().item()
    assert left == pytest.approx(right, rel=0.05, abs=2.0)


@pytest.mark.parametrize(("rows", "features"), [(1000, 3072), (33, 96), (4096, 768)])
def test_bias_and_gelu_are_the_definition(rows: int, features: int) -> None:
    from bertsmith.ops.triton_gelu import bias_gelu

    generator = torch.Generator().manual_seed(0)
    x = (3 * torch.randn(rows, features, generator=generator)).cuda().bfloat16().requires_grad_()
    bias = torch.randn(features, generator=generator).cuda().requires_grad_()
    weights = torch.randn(rows, features, generator=generator).cuda().bfloat16()
    double = x.detach().double().requires_grad_(), bias.detach().double().requires_grad_()
    expected = F.gelu(double[0] + double[1])
    expected.backward(weights.double())
    actual = bias_gelu(x, bias)
    actual.backward(weights)
    assert error(actual, expected) < 3e-3
    for mine, theirs in zip((x, bias), double, strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert error(mine.grad, theirs.grad) < 3e-3


@needs_fp8
@pytest.mark.parametrize("sizes", [(2048, 768, 3072), (4096, 128, 512), (16, 1024, 4096)])
def test_an_8_bit_feed_forward_network_is_the_definition_to_three_bits(
    sizes: tuple[int, int, int],
) -> None:
    from bertsmith.ops.fp8 import fp8_feed_forward

    tokens, hidden, features = sizes
    generator = torch.Generator().manual_seed(0)

    def draw(scale: float, *shape: int) -> Tensor:
        return (scale * torch.randn(shape, generator=generator)).cuda().requires_grad_()

    x = draw(1, tokens, hidden).detach().bfloat16().requires_grad_()
    wide, wide_bias = draw(0.03, features, hidden), draw(0.1, features)
    narrow, narrow_bias = draw(0.03, hidden, features), draw(0.1, hidden)
    weights = draw(1e-6, tokens, hidden).detach().bfloat16()  # the size of a mean loss's gradient
    parts = (x, wide, wide_bias, narrow, narrow_bias)

    actual = fp8_feed_forward(*parts)
    gradients = torch.autograd.grad(actual, parts, weights)
    inner = F.gelu(F.linear(x.float(), wide, wide_bias))
    expected = F.linear(inner, narrow, narrow_bias)
    expected_gradients = torch.autograd.grad(expected, parts, weights.float())
    assert error(actual, expected) < 0.08
    for mine, theirs in zip(gradients, expected_gradients, strict=True):
        assert error(mine, theirs) < 0.12  # e5m2 keeps three bits


PROJECTED = [
    pytest.param("bf16", 1e-2, 1e-2),  # bfloat16 keeps 8 bits: 4e-3 for one rounding
    pytest.param("fp8", 0.08, 0.12, marks=needs_fp8),  # e4m3 keeps 4, e5m2 3
]


@pytest.mark.parametrize(("precision", "most", "most_of_gradient"), PROJECTED)
@pytest.mark.parametrize("lengths", [[300, 7, 61, 64, 512, 80], [128] * 4, [31, 129, 0, 0]])
def test_projection_and_attention_are_the_definition(
    lengths: list[int], precision: str, most: float, most_of_gradient: float
) -> None:
    from bertsmith.ops.projected_attention import projected_attention

    heads, hidden, tokens = 2, 128, sum(lengths)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(tokens, hidden, generator=generator).cuda().bfloat16().requires_grad_()
    weight = (0.1 * torch.randn(3 * hidden, hidden, generator=generator)).cuda().requires_grad_()
    bias = (0.1 * torch.randn(3 * hidden, generator=generator)).cuda().requires_grad_()
    weights = (1e-6 * torch.randn(tokens, hidden, generator=generator)).cuda().bfloat16()
    bounds = torch.tensor([0, *lengths]).cumsum(0).int()
    layout = RaggedLayout(bounds.cuda(), 512)
    in_8_bits = precision == "fp8"
    actual = projected_attention(x, weight, bias, layout, heads, 0.0, in_8_bits=in_8_bits)
    actual.backward(weights)

    double = [part.detach().double().cpu().requires_grad_() for part in (x, weight, bias)]
    qkv = F.linear(*double).view(tokens, 3, heads, -1)
    expected = reference(qkv, RaggedLayout(bounds, 512), 0.0).flatten(1)
    expected.backward(weights.double().cpu())
    assert error(actual, expected) < most
    for mine, theirs in zip((x, weight), double, strict=False):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert error(mine.grad, theirs.grad) < most_of_gradient
    assert bias.grad is not None
    assert double[2].grad is not None
    # Keys' bias changes no softmax: its gradient is zero, but for the definition's rounding.
    assert double[2].grad[hidden : 2 * hidden].norm() < 1e-6 * double[2].grad.norm()
    assert bias.grad[hidden : 2 * hidden].norm() == 0
    for part in (0, 2):
        own = slice(part * hidden, (part + 1) * hidden)
        assert error(bias.grad[own], double[2].grad[own]) < most_of_gradient


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of PyTorch's compiler, by itself
def test_a_compiled_encoder_has_the_gradients_of_the_plain_one() -> None:
    torch.manual_seed(0)
    sizes = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = BertConfig.preset("mini", vocab_size=1000, **sizes)
    bert = Bert(config, with_pooler=False).cuda()
    ids = [torch.randint(1000, (n,)).tolist() for n in (100, 7, 128, 64, 33)]
    batch = Batch.from_sequences(ids).to("cuda")
    weights = torch.randn(batch.num_tokens, config.hidden_size, device="cuda")
    gradients = []
    for forward, dtype in ((bert, None), (torch.compile(bert), torch.bfloat16)):
        with torch.autocast("cuda", dtype or torch.bfloat16, enabled=dtype is not None):
            states = forward(batch).hidden_states
        # The stream between the layers is as narrow as the products.
        assert states.dtype == (dtype or torch.float32)
        gradients.append(
            torch.autograd.grad((states.float() * weights).sum(), [*bert.parameters()])
        )
    for (name, _), plain, fast in zip(bert.named_parameters(), *gradients, strict=True):
        if name.endswith("qkv.bias"):  # that of the keys is zero but for rounding
            plain, fast = (x.view(3, -1)[[0, 2]] for x in (plain, fast))
        assert error(fast, plain) < 5e-2, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("rows", "size"), [(1, 16), (77, 768), (300, 1000), (33, 4096)])
def test_a_sum_and_its_layer_norm_are_the_definition(
    rows: int, size: int, dtype: torch.dtype
) -> None:
    from bertsmith.ops.triton_layer_norm import added_norm

    x, residual = (torch.randn(rows, size, device="cuda", dtype=dtype) for _ in range(2))
    weight, bias = torch.randn(2, size, device="cuda")
    actual = added_norm(x, residual, weight, bias, 1e-12, dtype)
    summed = x.double() + residual.double()
    expected = F.layer_norm(summed, (size,), weight.double(), bias.double(), 1e-12)
    assert actual.dtype == dtype
    assert error(actual, expected) < 4e-3


@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("is_narrow", [True, False])
@pytest.mark.parametrize("gpu", ["cuda:0", "cuda:1"])
def test_a_model_that_answers_many_tokens_at_once_computes_its_definition(
    activation: str, is_narrow: bool, gpu: str
) -> None:
    if torch.device(gpu).index >= torch.cuda.device_count():
        pytest.skip("needs two GPUs")
    config = BertConfig(
        vocab_size=100,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        hidden_act=activation,
        initializer_range=0.1,
    )
    torch.manual_seed(0)
    exact = BertForTasks(config, [], with_pooler=False).eval()
    lengths = [512, 1, 77, 128, 300] * 16
    batch = Batch.from_sequences([torch.randint(100, (n,)).tolist() for n in lengths])
    assert batch.num_tokens >= MIN_TOKENS
    with torch.inference_mode():
        expected = exact.bert(batch).hidden_states
    fast = BertForTasks(config, [], with_pooler=False).to(gpu).eval()
    fast.load_state_dict(exact.state_dict())
    if is_narrow:
        use_precision(fast, "bf16")
    with (
        torch.inference_mode(),
        torch.autocast("cuda", torch.bfloat16, enabled=not is_narrow),
        profile(activities=[ProfilerActivity.CUDA], acc_events=True) as seen,
    ):
        actual = fast.bert(batch.to(gpu)).hidden_states
    kernels = " ".join(event.key for event in seen.key_averages())
    assert "_added_norm" in kernels
    assert "_attention_forward" in kernels
    assert ("_gelu_forward" in kernels) == (activation == "gelu")
    assert error(actual, expected) < 1e-2
