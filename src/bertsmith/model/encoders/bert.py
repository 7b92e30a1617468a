"""BERT's own encoder, under the name that it has where nothing is said."""

from __future__ import annotations

from bertsmith.model.bert import Bert

ENCODER = Bert
