"""A model that each process of a run has whole: gradients are added up while others are computed.

The backward pass comes to the upper layers first, so that their gradients can be on their way
while it works on the lower ones (Li et al. 2020, "PyTorch Distributed", section 3.2.3).
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from bertsmith.tasks.model import BertForTasks
from bertsmith.training.distributed import Group, buckets_of, gradients_of
from bertsmith.training.placement import Placement

# Buckets that are on their way at once; each is a copy of its gradients.
MOST_SENT = 4


class Replication(Placement):
    """Each process has all of the model.

    Args:
        group: the processes, of which there are several.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self._buckets: list[list[nn.Parameter]] = []
        self._is_last_pass = False
        self._missing: list[int] = []
        self._num_sent = 0
        self._sent: deque[Callable[[], None]] = deque()
        """What waits for each of those that are on their way, and puts its sums in their place."""

    def place(self, model: BertForTasks, device: torch.device) -> BertForTasks:
        """Put a model from the CPU on the device, and watch its gradients."""
        model = model.to(device)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._buckets = list(buckets_of(trained[::-1]))
        for number, bucket in enumerate(self._buckets):
            for parameter in bucket:
                parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                    functools.partial(self._has_come, number)
                )
        return model

    def begin_pass(self, model: BertForTasks, *, is_last: bool) -> None:  # noqa: ARG002
        """Send the gradients of the last microbatch, in which those before are."""
        self._is_last_pass = is_last
        self._missing = [len(bucket) for bucket in self._buckets]
        self._num_sent = 0

    def _has_come(self, number: int, _: Tensor) -> None:
        if not self._is_last_pass:
            return
        self._missing[number] -= 1
        # One after another, so that all processes send the same.
        while self._num_sent < len(self._buckets) and not self._missing[self._num_sent]:
            self._send_next()

    def _send_next(self) -> None:
        if len(self._sent) == MOST_SENT:
            self._sent.popleft()()
        gradients = gradients_of(self._buckets[self._num_sent])
        self._sent.append(self.group.begin_to_add_up(gradients))
        self._num_sent += 1

    def unsent_gradients(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:  # noqa: ARG002
        """None: what takes no part in a step holds up its bucket until now, and no longer."""
        while self._num_sent < len(self._buckets):
            self._send_next()
        while self._sent:  # nothing is kept of them while the optimizer steps
            self._sent.popleft()()
        return []
