"""How fast a run goes from one line of its log to the next."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bertsmith.data.loader import LoadedBatch
from bertsmith.tasks.model import BertForTasks
from bertsmith.training.flops import peak_flops, training_flops


class Speed:
    """Times the loader, and counts the arithmetic of what it gives.

    Args:
        model: on the device where it trains.
    """

    def __init__(self, model: BertForTasks) -> None:
        self._config = model.config
        parameters = list(model.bert.parameters())
        # Of an encoder that is frozen in part nobody has said what the backward pass leaves out,
        # nor of another encoder what it computes.
        is_known = model.config.is_bert and all(each.requires_grad for each in parameters)
        self._peak = peak_flops(parameters[0].device) if is_known else None
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._since = time.monotonic()
        self._waited = self._flops = 0.0

    def next_of(self, batches: Iterator[LoadedBatch]) -> LoadedBatch:
        """The next microbatch."""
        start = time.monotonic()
        loaded = next(batches)
        self._waited += time.monotonic() - start
        if self._peak is not None:
            lengths = loaded.batch.cu_seqlens.diff().double()  # still on the CPU
            labels = loaded.targets.get("masked_labels", lengths[:0])
            masked = int((labels >= 0).sum())  # not the slots that are left over
            self._flops += training_flops(
                self._config, loaded.batch.num_tokens, int(lengths @ lengths), masked
            )
        return loaded

    def figures(self) -> dict[str, float]:
        """`data_wait`, the share of time spent waiting for batches, and `mfu` (see `flops`).

        `mfu` is there where the peak of the device is known.
        """
        seconds = time.monotonic() - self._since
        figures = {"data_wait": self._waited / seconds}
        if self._peak is not None:
            figures["mfu"] = self._flops / seconds / self._peak
        return figures
