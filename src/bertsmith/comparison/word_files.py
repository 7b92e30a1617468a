"""Writing a word's study: pictures, its figures as JSON, and a page with all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bertsmith.atomic import atomic_folder
from bertsmith.comparison.attention_picture import attention_figure
from bertsmith.comparison.corpus_sentences import CorpusSentences, corpus_sentences
from bertsmith.comparison.labelled_sentences import (
    DEFAULT_SENTENCES,
    DEFAULT_WORD,
    LabelledSentence,
)
from bertsmith.comparison.page import write_page
from bertsmith.comparison.word_pictures import layer_figure, map_figure, png, similarity_figure
from bertsmith.comparison.word_study import WordStudy, study_word
from bertsmith.export.model_folder import LoadedModel
from bertsmith.version import own_version

PAGE = "report.html"
FIGURES = "word.json"
SIMILARITIES = "similarities.png"
MAP = "map.png"
LAYERS = "layers.png"
ATTENTION = "attention.png"


def write_word_study(
    models: Mapping[str, LoadedModel],
    held_out: str | Path | None,
    output_folder: str | Path,
    *,
    word: str = DEFAULT_WORD,
    sentences: Sequence[LabelledSentence] = DEFAULT_SENTENCES,
) -> WordStudy:
    """Look at a word in sentences through several systems, and leave pictures and figures.

    Files: `similarities.png`, `map.png`, `layers.png` where sentences have senses, `attention.png`
    where a system attends, and `word.json`.

    Args:
        models: by their names.
        held_out: a folder of shards, where near words are from; None: the sentences themselves.
        output_folder: made where it does not exist; files of the same names are replaced.
        word: a word, or several that stand together.
        sentences: each has the word.

    Raises:
        DataError: as `study_word`; or the shards cannot be read, or the folder not be written.
    """
    corpus = CorpusSentences([], [])
    if held_out is not None:
        corpus = corpus_sentences(held_out, word)
    study = study_word(models, corpus, word, sentences)
    figures = {
        SIMILARITIES: similarity_figure(study, study.systems),
        MAP: map_figure(study, study.systems),
        LAYERS: layer_figure(study),
        ATTENTION: attention_figure(study.systems),
    }
    with atomic_folder(Path(output_folder)) as partial:
        for name, figure in figures.items():
            if figure is not None:
                (partial / name).write_bytes(png(figure))
        text = json.dumps(study.to_dict(), indent=1, ensure_ascii=False) + "\n"
        (partial / FIGURES).write_text(text, encoding="utf-8")
    return study


def write_word_report(
    models: Mapping[str, LoadedModel],
    held_out: str | Path | None,
    output_folder: str | Path,
    *,
    word: str = DEFAULT_WORD,
    sentences: Sequence[LabelledSentence] = DEFAULT_SENTENCES,
) -> WordStudy:
    """The same with a page about it, `report.html`; arguments and errors as `write_word_study`."""
    study = write_word_study(models, held_out, output_folder, word=word, sentences=sentences)
    write_page(
        Path(output_folder) / PAGE,
        title=f"“{word}” in its sentence",
        study=study,
        facts=[*map(_fact, models.items()), ("versions", f"bertsmith {own_version()}")],
    )
    return study


def _fact(named: tuple[str, LoadedModel]) -> tuple[str, str]:
    """What is to be said of a model."""
    name, loaded = named
    config, tokenizer = loaded.model.config, loaded.tokenizer
    layers = config.num_hidden_layers
    parameters = sum(each.numel() for each in loaded.model.bert.parameters())
    return name, (
        f"{layers} layer{'' if layers == 1 else 's'} of {config.hidden_size}, "
        f"{parameters:,} parameters, "
        f"{tokenizer.vocab_size:,} wordpieces, {'uncased' if tokenizer.lowercase else 'cased'}"
    )
