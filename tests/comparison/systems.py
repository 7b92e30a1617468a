"""Tiny systems of each kind, with random weights, and a corpus for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bertsmith.batch import Batch
from bertsmith.comparison.labelled_sentences import DEFAULT_SENTENCES
from bertsmith.config import BertConfig
from bertsmith.data.shards import ShardWriter
from bertsmith.export.model_folder import LoadedModel, load_model, save_model
from bertsmith.model.bert import BertOutput
from bertsmith.ops.attention import auto
from bertsmith.ops.ragged import RaggedLayout
from bertsmith.tasks.model import BertForTasks
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import Vocabulary

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = [f"{mark}{letter}" for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz"]
DOCUMENTS = [
    [
        "The church on the left bank was given to the king.",
        "They opposed the right of the party to land and law.",
        "Her son took the right road to the south, and then the left.",
    ],
    [
        "The copyright of the book was never his.",
        "A new government was formed by the party of the centre.",
        "He said the weather was wrong for the whole road to the north of the river and the wall.",
        "Turn right.",
    ],
]


def words_of(texts: Sequence[str]) -> list[str]:
    cut = " ".join(texts).lower().replace(".", " . ").replace(",", " , ").split()
    return [word for word in dict.fromkeys(cut) if len(word) > 1 or not word.isalpha()]


def default_tokenizer(*, lowercase: bool = True, without: Sequence[str] = ()) -> Tokenizer:
    """Knows the words of the sentences that come along, and all letters for others."""
    words = [w for w in words_of([each.text for each in DEFAULT_SENTENCES]) if w not in without]
    capitals = [] if lowercase else [x.upper() for x in LETTERS if "#" not in x]
    vocabulary = Vocabulary([*SPECIAL, *LETTERS, *capitals, *words])
    return Tokenizer.from_vocabulary(vocabulary, lowercase=lowercase)


def save(folder: Path, tokenizer: Tokenizer | None = None, *, positions: int = 64) -> Path:
    tokenizer = tokenizer or default_tokenizer()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        initializer_range=0.3,
    )
    save_model(folder, BertForTasks(config, []), tokenizer)
    return folder


def causal(qkv: Tensor, layout: RaggedLayout, dropout_prob: float, *_: bool) -> Tensor:
    """Attention that looks back alone, sequence by sequence."""
    outputs = []
    for start, end in zip(layout.cu_seqlens[:-1], layout.cu_seqlens[1:], strict=True):
        q, k, v = qkv[start:end].permute(1, 2, 0, 3)
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        later = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        outputs.append((scores.masked_fill(later, -torch.inf).softmax(-1) @ v).transpose(0, 1))
    return torch.cat(outputs)


class StaticVectors(nn.Module):
    """A table of vectors; of other layers it has none."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.table = table

    def forward(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        states = self.table(batch.input_ids)
        return BertOutput(states, None, (states,) if all_hidden_states else None)


class OneLSTM(nn.Module):
    """Reads from left to right without attention; its layer is of another size than what it
    reads."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.table = table
        self.lstm = nn.LSTM(table.embedding_dim, 48)

    def forward(self, batch: Batch, *, all_hidden_states: bool = False) -> BertOutput:
        vectors = self.table(batch.input_ids)
        parts = vectors.split(batch.cu_seqlens.diff().tolist())
        states = torch.cat([self.lstm(part)[0] for part in parts])
        return BertOutput(states, None, (vectors, states) if all_hidden_states else None)


def with_encoder(folder: Path, kind: Any) -> LoadedModel:
    """The folder's vocabulary and table of wordpieces under another encoder."""
    loaded = load_model(folder)
    torch.manual_seed(1)
    loaded.model.bert = kind(loaded.model.bert.embeddings.wordpiece)
    return loaded


def systems_of(folder: Path) -> dict[str, LoadedModel]:
    """A table, an LSTM, a Transformer that looks back, and BERT."""
    return {
        "GloVe": with_encoder(folder, StaticVectors),
        "LSTM": with_encoder(folder, OneLSTM),
        "GPT": load_model(folder, attention=causal),
        "BERT": load_model(folder, attention=auto),
    }


def write_corpus(
    folder: Path, documents: Sequence[Sequence[str]], tokenizer: Tokenizer, **settings: Any
) -> Path:
    """Shards of documents of sentences."""
    folder.mkdir()
    tokenizer.save(folder)
    writer = ShardWriter(
        folder,
        vocab_size=tokenizer.vocab_size,
        vocabulary_sha256=tokenizer.vocabulary.sha256,
        lowercase=tokenizer.lowercase,
        **settings,
    )
    with writer:
        for document in documents:
            writer.append([tokenizer.ids(sentence) for sentence in document])
    return folder
