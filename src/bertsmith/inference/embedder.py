"""One vector for each text: for search, clustering and similarity.

Section 5.3 of the paper uses BERT's vectors without fine-tuning; pooling them to one of a text is
Reimers and Gurevych's (2019, "Sentence-BERT", section 3). A model trained for it says how.

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bertsmith.batch import Batch
from bertsmith.data.answered_in_order import Answers, answered_in_order, on_host, waited_for
from bertsmith.data.example import Example
from bertsmith.data.example_batches import pack_examples
from bertsmith.errors import ConfigError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.export.sentence_transformers import Pooling
from bertsmith.inference.opened_model import open_model
from bertsmith.inference.text_examples import text_examples
from bertsmith.model.bert import BertOutput
from bertsmith.training.parallelize import choose_device
from bertsmith.training.record_evaluation import batch_tokens_on

Vector = NDArray[np.float32]


class Embedder:
    """Vectors of texts, float32 numbers.

    Args:
        loaded: a model of any kind; its heads are not asked.
        pooling: `mean`, `cls` or `max`; None takes the model's own, else `mean`.
        layer: whose vectors are pooled: -1 the last, -2 the one before, or counted from 0.
        normalize: scale to length 1; None takes the model's own, else does not.
        device: where to compute; the model is moved there.

    Raises:
        ConfigError: there is no such pooling or layer.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        pooling: str | None = None,
        layer: int = -1,
        normalize: bool | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        own = loaded.pooling or Pooling()
        self.pooling = Pooling(
            own.mode if pooling is None else pooling,
            own.normalize if normalize is None else normalize,
        )
        config = loaded.model.config
        self.layer = layer_index(layer, config.num_hidden_layers)
        self.device = torch.device(device)
        self.model = loaded.model.to(self.device).eval()
        self.tokenizer = loaded.tokenizer
        self.max_length = loaded.tokenizer.limit(config.max_position_embeddings)
        """Wordpieces of a text that are read; what is longer is cut."""
        self.size = config.hidden_size
        """H, the length of a vector."""

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str | None = None,
        precision: str = "fp32",
        **settings: Any,
    ) -> Self:
        """Open a model.

        Args:
            path: as for `open_model`.
            device: such as `cpu` or `cuda`; None takes a GPU where there is one.
            precision: `fp32`, `bf16`, `fp16` or `auto`, as for `open_model`.
            settings: `pooling`, `layer`, `normalize`.

        Raises:
            CheckpointError: there is no such model, or it is damaged.
            ConfigError: a setting cannot be, or there is no such device.
        """
        chosen = choose_device(device)
        loaded = open_model(path, device=chosen, precision=precision)
        return cls(loaded, device=chosen, **settings)

    def vectors(self, texts: Iterable[Any], *, batch_tokens: int | None = None) -> Iterator[Vector]:
        """(H,) for each text, in order, while the texts are being read.

        Args:
            texts: texts, pairs of texts, or records with them.
            batch_tokens: the most tokens to compute at once, unless one text alone has more; None:
                what suits the device.

        Raises:
            DataError: one is none of these.
        """
        most = batch_tokens_on(self.device) if batch_tokens is None else batch_tokens
        return answered_in_order(self.encode(texts), self._pooled, most)

    def encode(self, texts: Iterable[Any]) -> Iterator[Example]:
        """The texts as the encoder reads them, in order; arguments and errors as `vectors`."""
        return text_examples(texts, self.tokenizer, self.max_length)

    def embed(self, texts: Iterable[Any]) -> Vector:
        """(N, H): the vectors of N texts, all in memory."""
        return np.array(list(self.vectors(texts)), np.float32).reshape(-1, self.size)

    def pooled(self, examples: list[Example]) -> list[Vector]:
        """(H,) for each of what `encode` gave, computed at once."""
        return waited_for(self._pooled(examples))

    def _pooled(self, examples: list[Example]) -> Answers[Vector]:
        batch = pack_examples(examples, self.device)
        with torch.inference_mode():
            hidden = self._hidden_states(batch)
            pooled = pool(hidden.float(), batch, self.pooling)
        return on_host(pooled, lambda rows: list(rows.numpy()))

    def _hidden_states(self, batch: Batch) -> Tensor:
        """(T, H) of the layer; what other layers say is kept only where one of them is asked."""
        output: BertOutput
        if self.layer == self.model.config.num_hidden_layers - 1:
            output = self.model.bert(batch)
            return output.hidden_states
        output = self.model.bert(batch, all_hidden_states=True)
        assert output.all_hidden_states is not None  # noqa: S101 - asked for above
        return output.all_hidden_states[self.layer + 1]


def pool(hidden_states: Tensor, batch: Batch, pooling: Pooling) -> Tensor:
    """(T, H) vectors of the batch's wordpieces → (B, H), one for each sequence."""
    if pooling.mode == "cls":
        pooled = hidden_states[batch.cls_positions]
    elif hidden_states.device.type == "cuda":
        # A fifth of the time of what follows, which on a CPU is many times as fast as this. It is
        # unsafe where lengths do not sum to T; to see that they do it would wait for the GPU.
        lengths = batch.cu_seqlens.diff()
        pooled = torch.segment_reduce(
            hidden_states, pooling.mode, lengths=lengths, axis=0, unsafe=True
        )
    else:
        lengths = batch.cu_seqlens.diff().long()
        places = torch.arange(len(lengths), device=lengths.device)
        places = places.repeat_interleave(lengths, output_size=len(hidden_states))
        index = places[:, None].expand_as(hidden_states)
        start = hidden_states.new_zeros(len(lengths), hidden_states.shape[1])
        how = "amax" if pooling.mode == "max" else "mean"
        pooled = start.scatter_reduce(0, index, hidden_states, how, include_self=False)
    return F.normalize(pooled, dim=-1) if pooling.normalize else pooled


def layer_index(layer: int, num_layers: int) -> int:
    """A layer counted from 0; -1 is the last.

    Raises:
        ConfigError: there is no such layer.
    """
    if not -num_layers <= layer < num_layers:
        raise ConfigError(
            f"layer ({layer}) must be from {-num_layers} to {num_layers - 1}; the model has "
            f"{num_layers}"
        )
    return layer % num_layers


def embed(texts: Iterable[Any], model: str | Path, **settings: Any) -> Vector:
    """(N, H): the vectors of N texts.

    Args:
        texts: texts, pairs of texts, or records with them.
        model: as for `open_model`.
        settings: of `Embedder.load`.
    """
    return Embedder.load(model, **settings).embed(texts)
