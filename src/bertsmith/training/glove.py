"""GloVe: vectors whose products are the logarithms of co-occurrence (Pennington et al. 2014).

For each pair of wordpieces that occurs together, w_i · c_j + a_i + b_j is to be ln X_ij, by least
squares weighted with f(X) = min(1, (X / 100)^0.75) (equations 8 and 9). AdaGrad lowers it at a rate
of 0.05, and what is kept of each wordpiece is w + c (section 4.2).

Deviations: the published program takes a step for each pair; here one is for many pairs at once,
with the sum of their gradients. Wordpieces in place of words, so that the vectors have the
vocabulary of the models that they are compared with.

Dimension key: `P` pairs, `V` vocabulary, `H` size of a vector.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bertsmith.data.cooccurrence import Cooccurrences
from bertsmith.errors import ConfigError

X_MAX = 100.0
ALPHA = 0.75
LEARNING_RATE = 0.05
# With it, and not 0, the published program begins; it keeps the first steps small.
FIRST_SQUARE = 1.0
PAIRS_A_STEP = 16_384


@dataclass(frozen=True)
class Fit:
    """What came of a fit."""

    vectors: Tensor
    """(V, H) float32 on the CPU: w + c; 0 for a wordpiece that occurs beside none."""
    losses: list[float]
    """Of each epoch, the mean over its pairs of the weighted squares."""
    steps: int
    seconds: float


class Glove(nn.Module):
    """Vectors and biases of words, and of the same wordpieces as contexts."""

    def __init__(self, vocab_size: int, hidden_size: int) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.empty(vocab_size, hidden_size))
        self.contexts = nn.Parameter(torch.empty(vocab_size, hidden_size))
        self.word_biases = nn.Parameter(torch.empty(vocab_size))
        self.context_biases = nn.Parameter(torch.empty(vocab_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.5 / hidden_size, 0.5 / hidden_size)

    def forward(self, rows: Tensor, columns: Tensor) -> Tensor:
        """(P,) words and (P,) contexts → (P,) what ln X should be."""
        products = (self.words[rows] * self.contexts[columns]).sum(-1)
        return products + self.word_biases[rows] + self.context_biases[columns]

    def loss(self, rows: Tensor, columns: Tensor, counts: Tensor) -> Tensor:
        """The objective's terms of these pairs, added up; (P,) each."""
        weights = (counts / X_MAX).clamp(max=1.0) ** ALPHA
        errors: Tensor = self(rows, columns) - counts.log()
        return (weights * errors**2).sum()

    def both_ways(self, rows: Tensor, columns: Tensor, counts: Tensor) -> Tensor:
        """The terms of X_ij and of X_ji, which is as large; a pair of likes has one."""
        differ = rows != columns
        there = self.loss(rows, columns, counts)
        return there + self.loss(columns[differ], rows[differ], counts[differ])


def fit_glove(
    pairs: Cooccurrences,
    hidden_size: int,
    *,
    epochs: int | None = 25,
    seconds: float | None = None,
    learning_rate: float = LEARNING_RATE,
    pairs_a_step: int = PAIRS_A_STEP,
    seed: int = 12345,
    device: torch.device | str = "cpu",
) -> tuple[Glove, Fit]:
    """Find the vectors.

    Args:
        pairs: of a corpus.
        hidden_size: H.
        epochs: how often each pair is seen; None: as often as the time allows.
        seconds: the most time for it, after the first step; None: as long as it takes.
        learning_rate: AdaGrad's.
        pairs_a_step: of the half of X that is stored; each of them counts both ways.
        seed: decides the start and the order.
        device: where to compute.

    Raises:
        ConfigError: it would have no end.
    """
    if epochs is None and seconds is None:
        raise ConfigError("epochs and seconds are both None; the fit needs a length")
    device = torch.device(device)
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model = Glove(pairs.vocab_size, hidden_size).to(device)
    optimizer = torch.optim.Adagrad(
        model.parameters(), learning_rate, initial_accumulator_value=FIRST_SQUARE
    )
    # A step has every n-th pair: some of all wordpieces, since they are sorted, and no shuffling.
    num_batches = -(-len(pairs.counts) // pairs_a_step)
    arrays = [torch.from_numpy(each) for each in (pairs.rows, pairs.columns, pairs.counts)]
    if device.type == "cuda":
        arrays = [each.to(device) for each in arrays]
    started = time.monotonic()
    losses: list[float] = []
    steps = 0

    def is_over() -> bool:
        return seconds is not None and time.monotonic() - started >= seconds

    # A step at least, however little time is left.
    while not losses or (not is_over() and (epochs is None or len(losses) < epochs)):
        total = torch.zeros((), dtype=torch.float64, device=device)
        seen = 0
        for batch in generator.permutation(num_batches).tolist():
            rows, columns, counts = (each[batch::num_batches] for each in arrays)
            loss = model.both_ways(rows, columns, counts)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.detach().double()
            seen += len(rows)
            steps += 1
            if is_over():
                break
        losses.append(float(total) / seen)
    return model, Fit(_vectors(model, pairs), losses, steps, time.monotonic() - started)


def _vectors(model: Glove, pairs: Cooccurrences) -> Tensor:
    with torch.no_grad():
        vectors = (model.words + model.contexts).float().cpu()
        is_there = torch.zeros(pairs.vocab_size, dtype=torch.bool)
        is_there[torch.from_numpy(pairs.rows)] = True
        is_there[torch.from_numpy(pairs.columns)] = True
        vectors[~is_there] = 0.0
    return vectors
