"""The size and shape of a BERT, under the names that the published checkpoints use.

Source: Devlin et al. 2019, section 3 (base and large); Turc et al. 2019 (tiny to medium).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bertsmith.errors import ConfigError

# "gelu" is the exact (erf) form; the other names are the tanh approximation, which Google's code
# has used since February 2019. They differ by at most 4.7e-4 in one activation.
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")

# name: (num_hidden_layers, hidden_size); every published size has heads of 64 and an inner size
# of four times the hidden size.
SIZES: Mapping[str, tuple[int, int]] = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
}
BERT = "bert"
UNCASED_VOCAB_SIZE = 30522
CASED_VOCAB_SIZE = 28996


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """What determines a BERT's parameters and arithmetic; checked when it is made, then frozen.

    Other encoders read of these keys what they have a use for; each says what it takes them for.

    Raises:
        ConfigError: when values are out of range or do not fit each other.
    """

    vocab_size: int = UNCASED_VOCAB_SIZE
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    encoder: str = BERT
    """Which encoder it is: the name of a file of `bertsmith/model/encoders`. No published key."""

    @property
    def is_bert(self) -> bool:
        """Whether it is BERT's encoder, which other programs open as well."""
        return self.encoder == BERT

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, str):
            raise ConfigError(f"encoder ({self.encoder!r}) must be the name of an encoder")
        for name in (
            "vocab_size",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "max_position_embeddings",
            "type_vocab_size",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} ({value!r}) must be a whole number of at least 1")
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1:
                raise ConfigError(f"{name} ({value!r}) must be at least 0 and below 1")
        for name in ("initializer_range", "layer_norm_eps"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value < 1:
                raise ConfigError(f"{name} ({value!r}) must be above 0 and below 1")
        if not isinstance(self.pad_token_id, int) or not 0 <= self.pad_token_id < self.vocab_size:
            raise ConfigError(
                f"pad_token_id ({self.pad_token_id!r}) must be an id below vocab_size "
                f"({self.vocab_size})"
            )
        if self.hidden_act not in ACTIVATIONS:
            raise ConfigError(
                f"hidden_act ({self.hidden_act!r}) must be one of {', '.join(ACTIVATIONS)}"
            )
        if self.hidden_size % self.num_attention_heads:
            nearest = self.num_attention_heads * max(
                1, round(self.hidden_size / self.num_attention_heads)
            )
            raise ConfigError(
                f"num_attention_heads ({self.num_attention_heads}) does not divide hidden_size "
                f"({self.hidden_size}); the nearest size that it does is {nearest}"
            )

    @classmethod
    def preset(cls, name: str, *, cased: bool = False, **overrides: Any) -> Self:
        """A published size: tiny, mini, small, medium, base or large.

        Args:
            name: the size.
            cased: take the cased vocabulary's size (28,996) in place of the uncased (30,522).
            overrides: fields that replace the published values.
        """
        if name not in SIZES:
            raise ConfigError(f"{name!r} is not a size of BERT; the sizes are {', '.join(SIZES)}")
        num_hidden_layers, hidden_size = SIZES[name]
        fields: dict[str, Any] = {
            "vocab_size": CASED_VOCAB_SIZE if cased else UNCASED_VOCAB_SIZE,
            "num_hidden_layers": num_hidden_layers,
            "hidden_size": hidden_size,
            "num_attention_heads": hidden_size // 64,
            "intermediate_size": 4 * hidden_size,
        }
        return cls(**fields | overrides)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, strict: bool = True) -> Self:
        """Build a config from a mapping.

        Args:
            values: field names to values.
            strict: refuse unknown keys, with a suggestion; published `config.json` files carry
                keys of other programs, and are read with `strict=False`.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values if strict else ():
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise ConfigError(f"{key} is not a setting of the model{hint}")
        return cls(**{key: value for key, value in values.items() if key in known})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `config.json` or `bert_config.json`; keys of other programs are ignored."""
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigError(
                f"{path} does not exist; a model folder holds a config.json"
            ) from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as JSON: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path} must hold a JSON object of settings")
        return cls.from_dict(values, strict=False)

    def to_dict(self) -> dict[str, Any]:
        """The published keys and `encoder`, and their values, JSON-ready."""
        return dataclasses.asdict(self)

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, checked again."""
        return self.from_dict(self.to_dict() | changes)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
