"""An encoder's layers as features under a BiLSTM (Devlin et al. 2019, section 5.3, table 7).

The features are fixed, or learn together with what is above them (section 5.1, the last row of
table 5).

Which layers, and whether side by side or summed, is table 7's question. The sum is weighted by a
softmax of learned scores, equal at the start, as in ELMo (Peters et al. 2018, equation 1) without
its factor gamma. The LSTM's first matrix could take that over, but in the few steps of a task it
does not: how soon anything is learned depends on how large the vectors are. `layer_norm` gives all
layers of all encoders one scale before they are combined, as the same paper found to help with the
sum (section 3.2), so that no factor is missed.

Dimension key: `T` tokens of the batch, `B` sequences, `H` hidden size, `L` size of one direction.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.config import BertConfig
from bertsmith.errors import ConfigError
from bertsmith.model.bert import Bert, BertOutput
from bertsmith.model.bilstm import BiLSTM
from bertsmith.ops.dropout import Dropout

Layer = int | Literal["embeddings"]
Combine = Literal["concat", "weighted_sum"]


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Which layers are read, and the sizes of the BiLSTM over them; as in table 7's best row.

    Raises:
        ConfigError: a value that cannot work.
    """

    layers: tuple[Layer, ...] = (-4, -3, -2, -1)
    """-1 is the last, 0 the first, `embeddings` what the first one reads."""
    combine: Combine = "concat"
    """`concat` puts the layers' vectors side by side, `weighted_sum` adds them up."""
    layer_norm: bool = False
    """Whether each layer's vectors are first given mean 0 and variance 1, with nothing learned."""
    lstm_hidden_size: int | None = None
    """L; None: the model's hidden size, which for BERT-base is the paper's 768."""
    lstm_layers: int = 2
    is_frozen: bool = True
    """Whether the encoder that the features are made of learns nothing."""

    def __post_init__(self) -> None:
        """Check everything that can be checked without knowing the model."""
        for layer in self.layers:
            if not (type(layer) is int or layer == "embeddings"):
                raise ConfigError(
                    f"features.layers names {layer!r}, which must be a number, -1 for the last "
                    "layer, or 'embeddings'"
                )
        if not self.layers or len(set(self.layers)) < len(self.layers):
            raise ConfigError(
                f"features.layers ({list(self.layers)}) must name one layer or more, each once"
            )
        if self.combine not in get_args(Combine):
            options = ", ".join(get_args(Combine))
            raise ConfigError(f"features.combine ({self.combine!r}) must be one of {options}")
        for name in ("layer_norm", "is_frozen"):
            if type(getattr(self, name)) is not bool:
                raise ConfigError(
                    f"features.{name} ({getattr(self, name)!r}) must be true or false"
                )
        for name in ("lstm_hidden_size", "lstm_layers"):
            value = getattr(self, name)
            if value is not None and not (type(value) is int and value >= 1):
                raise ConfigError(f"features.{name} ({value!r}) must be at least 1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: there are other keys, or a value cannot work.
        """
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ConfigError(f"features.{min(unknown)} is not a setting")
        layers = values.get("layers", cls.layers)
        if not isinstance(layers, list | tuple):
            raise ConfigError(f"features.layers ({layers!r}) must be a list of layers")
        return cls(**{**values, "layers": tuple(layers)})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, JSON-ready."""
        return dataclasses.asdict(self) | {"layers": list(self.layers)}

    def places(self, num_layers: int) -> list[int]:
        """Where each layer is among `BertOutput.all_hidden_states` of a model with as many layers.

        Raises:
            ConfigError: the model does not have such a layer.
        """
        names: dict[int, Layer] = {}
        for layer in self.layers:
            if layer != "embeddings" and not -num_layers <= layer < num_layers:
                raise ConfigError(
                    f"features.layers names {layer} and the model has {num_layers}; name layers "
                    f"from {-num_layers} to {num_layers - 1}, or 'embeddings'"
                )
            place = 0 if layer == "embeddings" else layer % num_layers + 1
            if place in names:
                raise ConfigError(
                    f"features.layers names {names[place]} and {layer}, which are the same layer "
                    f"of {num_layers}; remove one"
                )
            names[place] = layer
        return list(names)


class FeatureEncoder(nn.Module):
    """What heads read in place of the encoder's own output.

    Dropout, of the model's `hidden_dropout_prob`, is before and between the LSTM's layers.

    Args:
        config: sizes of the BERT.
        features: which of its layers, and the sizes of what is above.
    """

    def __init__(self, config: BertConfig, features: FeaturesConfig) -> None:
        super().__init__()
        self.settings = features
        self.places = features.places(config.num_hidden_layers)
        self.layer_norm_eps = config.layer_norm_eps
        is_sum = features.combine == "weighted_sum"
        self.layer_scores = nn.Parameter(torch.zeros(len(self.places))) if is_sum else None
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.bilstm = BiLSTM(
            config.hidden_size if is_sum else len(self.places) * config.hidden_size,
            features.lstm_hidden_size or config.hidden_size,
            features.lstm_layers,
            config.hidden_dropout_prob,
        )

    @property
    def output_size(self) -> int:
        """2 L: of the vectors that heads read."""
        return 2 * self.bilstm.lstm.hidden_size

    def forward(self, bert: Bert, batch: Batch) -> BertOutput:
        """(T, 2 L) hidden states; as (B, 2 L) pooled output the final state of each direction.

        Args:
            bert: where it is frozen in evaluation mode; then it is not differentiated.
            batch: packed sequences.
        """
        with torch.no_grad() if self.settings.is_frozen else contextlib.nullcontext():
            states = bert(batch, all_hidden_states=True).all_hidden_states
        chosen = [states[place] for place in self.places]
        vectors = self.dropout(self._combined(chosen))
        return BertOutput(*self.bilstm(vectors, batch.cu_seqlens))

    def _combined(self, states: list[Tensor]) -> Tensor:
        """(T, H) of each layer → (T, all of them H) side by side, or (T, H) summed."""
        if self.settings.layer_norm:
            states = [F.layer_norm(x, x.shape[-1:], eps=self.layer_norm_eps) for x in states]
        if self.layer_scores is None:
            return torch.cat(states, -1)
        weights = self.layer_scores.softmax(0)
        return torch.stack([w * state for w, state in zip(weights, states, strict=True)]).sum(0)
