"""Make and use BERT: from raw text to predictions.

The public names are imported when they are first used, so that `import bertsmith` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertsmith.batch import Batch
    from bertsmith.config import BertConfig
    from bertsmith.data.prepare import prepare
    from bertsmith.data.shards import TokenizedCorpus
    from bertsmith.errors import BertsmithError, CheckpointError, ConfigError, DataError
    from bertsmith.export.model_folder import load_model, save_model
    from bertsmith.inference.checked_export import export_model
    from bertsmith.inference.embedder import Embedder, embed
    from bertsmith.inference.features import attention_maps, features
    from bertsmith.inference.fill_mask import fill_mask
    from bertsmith.inference.likelihood import LikelihoodScorer
    from bertsmith.inference.next_sentence import NextSentenceScorer
    from bertsmith.inference.opened_model import open_model
    from bertsmith.inference.predictor import Predictor
    from bertsmith.inference.word_in_context import word_in_context
    from bertsmith.inference.zero_shot import ZeroShotClassifier
    from bertsmith.text.extension import choose_words, extend_vocabulary
    from bertsmith.text.tokenizer import Tokenizer
    from bertsmith.text.trainer import train_vocabulary
    from bertsmith.training.finetune_recipe import FinetuneRecipe
    from bertsmith.training.finetuning import finetune
    from bertsmith.training.finetuning_check import check_finetuning
    from bertsmith.training.overfit import overfit_one_batch
    from bertsmith.training.pretrain_recipe import PretrainRecipe
    from bertsmith.training.pretraining import pretrain

_HOMES = {
    "Batch": "batch",
    "BertConfig": "config",
    "BertsmithError": "errors",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "DataError": "errors",
    "Embedder": "inference.embedder",
    "FinetuneRecipe": "training.finetune_recipe",
    "LikelihoodScorer": "inference.likelihood",
    "NextSentenceScorer": "inference.next_sentence",
    "Predictor": "inference.predictor",
    "PretrainRecipe": "training.pretrain_recipe",
    "TokenizedCorpus": "data.shards",
    "Tokenizer": "text.tokenizer",
    "ZeroShotClassifier": "inference.zero_shot",
    "attention_maps": "inference.features",
    "check_finetuning": "training.finetuning_check",
    "choose_words": "text.extension",
    "embed": "inference.embedder",
    "export_model": "inference.checked_export",
    "extend_vocabulary": "text.extension",
    "features": "inference.features",
    "fill_mask": "inference.fill_mask",
    "finetune": "training.finetuning",
    "load_model": "export.model_folder",
    "open_model": "inference.opened_model",
    "overfit_one_batch": "training.overfit",
    "prepare": "data.prepare",
    "pretrain": "training.pretraining",
    "save_model": "export.model_folder",
    "train_vocabulary": "text.trainer",
    "word_in_context": "inference.word_in_context",
}

__all__ = [
    "Batch",
    "BertConfig",
    "BertsmithError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "Embedder",
    "FinetuneRecipe",
    "LikelihoodScorer",
    "NextSentenceScorer",
    "Predictor",
    "PretrainRecipe",
    "TokenizedCorpus",
    "Tokenizer",
    "ZeroShotClassifier",
    "attention_maps",
    "check_finetuning",
    "choose_words",
    "embed",
    "export_model",
    "extend_vocabulary",
    "features",
    "fill_mask",
    "finetune",
    "load_model",
    "open_model",
    "overfit_one_batch",
    "prepare",
    "pretrain",
    "save_model",
    "train_vocabulary",
    "word_in_context",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertsmith' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bertsmith.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
