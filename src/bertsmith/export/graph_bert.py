"""A BERT whose layers another program computes, in the place of one of PyTorch's.

Heads and pooler stay PyTorch's: they are small, and everything that asks a model for words, spans
or vectors asks this one in the same way.

Dimension key: `T` tokens of the batch, `H` hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.export.graph import HIDDEN, Graph
from bertsmith.export.padded_rows import padded_rows
from bertsmith.model.bert import Bert, BertOutput, check_ids, check_length

LAST_LAYER_ALONE = (
    "an exported model has the vectors of its last layer alone; ask the model that it was made from"
)


class GraphBert(Bert):
    """Embeddings and encoder by a graph, on the CPU.

    Args:
        config: sizes.
        graph: gives `last_hidden_state`.
        pooler: of the model that the graph was made of; None where it has none.
    """

    def __init__(self, config: BertConfig, graph: Graph, pooler: nn.Module | None) -> None:
        nn.Module.__init__(self)  # without layers
        self.config = config
        self.graph = graph
        self.pooler = pooler
        self.output_size = config.hidden_size

    def forward(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        """Encode a batch; its padding to rows is done here.

        Raises:
            ConfigError: the vectors of all layers are asked for.
            DataError: a sequence is longer than the model reads, or ids are not the model's.
        """
        if all_hidden_states:
            raise ConfigError(LAST_LAYER_ALONE)
        hidden = self.outputs(batch, {HIDDEN: True})[HIDDEN]
        pooled = None
        if self.pooler is not None:
            pooled = self.pooler(hidden, batch.cls_positions)
        return BertOutput(hidden, pooled)

    def outputs(self, batch: Batch, of_tokens: Mapping[str, bool]) -> dict[str, Tensor]:
        """What the graph says, by name: (T, ...) or (B, ...) on the batch's device.

        Args:
            batch: packed sequences.
            of_tokens: which outputs are asked for, and whether each has a row for every token; else
                it has one for every sequence.
        """
        on_cpu = batch.to("cpu")
        check_length(batch, self.config)
        check_ids(on_cpu, self.config)
        found: dict[str, Tensor] = {}
        for rows in padded_rows(on_cpu, self.config.pad_token_id):
            outputs = self.graph(rows.inputs)
            for name, is_of_tokens in of_tokens.items():
                array = outputs[name]
                part = torch.from_numpy(array[rows.mask] if is_of_tokens else array)
                if name not in found:
                    count = batch.num_tokens if is_of_tokens else batch.num_sequences
                    found[name] = part.new_zeros(count, *part.shape[1:])
                places = rows.tokens if is_of_tokens else rows.sequences
                found[name][torch.from_numpy(places)] = part
        return {name: tensor.to(batch.input_ids.device) for name, tensor in found.items()}
