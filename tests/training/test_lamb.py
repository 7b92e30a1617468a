"""LAMB against its algorithm, written out for one layer at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bertsmith.training.lamb import Lamb


def published(
    weight: Tensor, gradients: list[Tensor], rate: float, decay: float, *, is_scaled: bool = True
) -> Tensor:
    """Algorithm 2 of You et al. 2020, in float64."""
    x, m, v = weight.double().clone(), 0.0, 0.0
    for t, gradient in enumerate(gradients, 1):
        g = gradient.double()
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        r = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-6)
        u = r + decay * x
        x = x - rate * (x.norm() / u.norm() if is_scaled else 1.0) * u
    return x


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def run(param: nn.Parameter, gradients: list[Tensor], **group: float) -> Tensor:
    optimizer = Lamb([{"params": [param], **group}], 0.02)
    for gradient in gradients:
        param.grad = gradient.clone()
        optimizer.step()
    return param.detach()


GRADIENTS = [0.01 * draw(12, 5, seed=seed) for seed in range(6)]


@pytest.mark.parametrize("decay", [0.01, 0.3])
def test_a_matrix_is_updated_as_published(decay: float) -> None:
    start = draw(12, 5, seed=10)
    actual = run(nn.Parameter(start.clone()), GRADIENTS, weight_decay=decay)
    expected = published(start, GRADIENTS, 0.02, decay)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


def test_what_does_not_decay_moves_as_adam_does() -> None:
    start = draw(12, 5, seed=10)
    actual = run(nn.Parameter(start.clone()), GRADIENTS, weight_decay=0.0)
    expected = published(start, GRADIENTS, 0.02, 0.0, is_scaled=False)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_fused_projection_has_a_length_for_each_of_its_matrices() -> None:
    start = draw(12, 5, seed=10) * torch.tensor([1.0, 10.0, 0.1]).repeat_interleave(4)[:, None]
    actual = run(nn.Parameter(start.clone()), GRADIENTS, parts=3)
    parts = zip(start.chunk(3), zip(*(g.chunk(3) for g in GRADIENTS), strict=True), strict=True)
    expected = torch.cat([published(part, list(gs), 0.02, 0.01) for part, gs in parts])
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_step_is_as_long_as_the_weights_times_the_rate() -> None:
    start = 7 * draw(12, 5, seed=10)
    actual = run(nn.Parameter(start.clone()), GRADIENTS[:1])
    assert float((actual - start).norm() / start.norm()) == pytest.approx(0.02, rel=1e-5)


def test_weights_of_zero_begin_to_move() -> None:
    actual = run(nn.Parameter(torch.zeros(12, 5)), GRADIENTS)
    assert actual.isfinite().all()
    assert actual.abs().min() > 0.01


def test_a_parameter_without_a_gradient_stays() -> None:
    params = [nn.Parameter(draw(4, 4, seed=1)), nn.Parameter(draw(4, 4, seed=2))]
    before = params[1].detach().clone()
    optimizer = Lamb(params, 0.1)
    params[0].grad = draw(4, 4, seed=3)
    optimizer.step()
    assert torch.equal(params[1].detach(), before)
    assert not optimizer.state[params[1]]
