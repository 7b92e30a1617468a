from __future__ import annotations

import pytest
import torch
from torch import nn

from bertsmith.training import muon
from bertsmith.training.muon import Muon, orthogonalize

SHAPES = [(16, 16), (16, 48), (48, 16), (16, 16)]


def matrices(shapes: list[tuple[int, int]], seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def train(optimizer: torch.optim.Optimizer, params: list[nn.Parameter], steps: int) -> None:
    for step in range(steps):
        for index, param in enumerate(params):
            generator = torch.Generator().manual_seed(100 * step + index)
            param.grad = torch.randn(param.shape, generator=generator)
        optimizer.step()


@pytest.fixture(params=[True, False], ids=["bfloat16", "float32"])
def _arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "has_fast_bfloat16", lambda device_type: request.param)


@pytest.mark.usefixtures("_arithmetic")
def test_agrees_with_pytorchs_muon() -> None:
    ours, theirs, start = matrices(SHAPES), matrices(SHAPES), matrices(SHAPES)
    lr = 0.02
    train(Muon(ours, lr, weight_decay=0.1), ours, 4)
    oracle = torch.optim.Muon(theirs, lr, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    train(oracle, theirs, 4)
    for a, b, first in zip(ours, theirs, start, strict=True):
        moved = (b - first).norm()
        # PyTorch's iterates in bfloat16, whose 8 bits leave errors of a few thousandths.
        assert (a - b).norm() < 0.02 * moved


@pytest.mark.usefixtures("_arithmetic")
def test_singular_values_come_near_1_and_directions_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(32, 64, generator=generator)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = orthogonalize([matrix])[0].float()
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.3
    in_old_directions = left.T @ result @ right.T
    off_diagonal = in_old_directions - in_old_directions.diag().diag()
    assert off_diagonal.norm() < 0.05 * result.norm()


def test_a_fused_projection_is_orthogonalised_as_its_three_matrices() -> None:
    fused = matrices([(48, 16)])
    separate = [nn.Parameter(part.detach().clone()) for part in fused[0].chunk(3)]
    one, three = Muon(fused, 0.02, parts=3), Muon(separate, 0.02)
    for step in range(3):
        fused[0].grad = torch.randn(48, 16, generator=torch.Generator().manual_seed(step))
        for param, grad in zip(separate, fused[0].grad.chunk(3), strict=True):
            param.grad = grad.clone()
        one.step()
        three.step()
    torch.testing.assert_close(fused[0], torch.cat(separate), rtol=0, atol=1e-6)


def test_a_matrix_gets_the_same_update_alone_as_in_company() -> None:
    alone, company = matrices([(16, 48)]), matrices([(16, 48), (48, 16), (16, 48)])
    train(Muon(alone, 0.02), alone, 1)
    train(Muon(company, 0.02), company, 1)
    torch.testing.assert_close(alone[0], company[0], rtol=0, atol=1e-5)


def test_updates_have_the_size_of_adams() -> None:
    (param,) = matrices([(64, 256)])
    before = param.detach().clone()
    train(Muon([param], 1.0, weight_decay=0.0), [param], 1)
    rms = (param - before).square().mean().sqrt()
    assert 0.15 < rms < 0.25


def test_a_zero_gradient_only_decays() -> None:
    (param,) = matrices([(8, 8)])
    expected = param.detach() * (1 - 0.5 * 0.1)
    param.grad = torch.zeros(8, 8)
    Muon([param], 0.5, weight_decay=0.1).step()
    torch.testing.assert_close(param.detach(), expected)


def test_a_matrix_without_gradient_is_left_alone() -> None:
    used, unused = matrices([(8, 8), (8, 8)])
    before = unused.detach().clone()
    used.grad = torch.ones(8, 8)
    optimizer = Muon([used, unused], 0.1)
    optimizer.step()
    assert torch.equal(unused, before)
    assert unused not in optimizer.state


@pytest.mark.parametrize(("shape", "parts"), [((8,), 1), ((2, 3, 4), 1), ((8, 4), 3)])
def test_what_is_no_stack_of_matrices_is_refused(shape: tuple[int, ...], parts: int) -> None:
    with pytest.raises(ValueError, match=f"is not {parts} matrices"):
        Muon([nn.Parameter(torch.zeros(shape))], 0.1, parts=parts)
