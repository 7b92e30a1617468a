"""Pictures of every kind of study, the same bytes each time, and no warning for any name."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from tests.training.report.answers import HOSTILE

from bertsmith.comparison.labelled_sentences import LabelledSentence
from bertsmith.comparison.word_pictures import (
    PANEL,
    layer_figure,
    map_figure,
    png,
    similarity_figure,
)
from bertsmith.comparison.word_study import WordStudy


def drawn(study: WordStudy) -> list[bytes]:
    figures = [similarity_figure(study, study.systems), map_figure(study, study.systems)]
    files = [png(each) for each in [*figures, layer_figure(study)] if each is not None]
    assert all(each.startswith(b"\x89PNG") and len(each) > 5_000 for each in files)
    return files


def panels(figure: Any) -> list[Any]:
    return [axes for axes in figure.axes if axes.get_visible() and axes.get_title(loc="left")]


def test_there_is_a_panel_for_each_system_with_one_scale(study: WordStudy) -> None:
    figure = similarity_figure(study, study.systems)
    found = panels(figure)
    assert [axes.get_title(loc="left") for axes in found] == ["GloVe", "LSTM", "GPT", "BERT"]
    for axes, system in zip(found, study.systems, strict=True):
        (image,) = axes.get_images()
        assert image.get_clim() == (0, 1)
        np.testing.assert_allclose(image.get_array(), system.similarities)
    names = [label.get_text() for label in found[0].get_yticklabels()]
    assert names == study.senses


def test_the_same_study_gives_the_same_bytes(study: WordStudy) -> None:
    assert drawn(study) == drawn(study)
    assert len(drawn(study)) == 3


def test_points_that_are_one_are_said_to_be(study: WordStudy) -> None:
    (axes,) = panels(map_figure(study, study.systems[:1]))
    assert [text.get_text() for text in axes.texts] == ["all 22 at one point"]
    (axes,) = panels(map_figure(study, study.systems[3:]))
    assert not axes.texts
    assert axes.get_xlabel().endswith("% of the differences")


def test_sentences_without_senses_are_numbered(study: WordStudy) -> None:
    plain = [LabelledSentence(each.text) for each in study.sentences]
    systems = [
        dataclasses.replace(each, separation=None, layers=[None] * len(each.layers))
        for each in study.systems
    ]
    unlabelled = dataclasses.replace(study, sentences=plain, systems=systems)
    assert layer_figure(unlabelled) is None
    figure = similarity_figure(unlabelled, systems)
    labels = [label.get_text() for label in panels(figure)[0].get_yticklabels()]
    assert labels == [str(number) for number in range(1, 21)]
    assert len(drawn(unlabelled)) == 2


def of_size(study: WordStudy, sentences: list[LabelledSentence]) -> WordStudy:
    """A study of so many sentences, whose figures mean nothing."""
    count = len(sentences)
    table = np.eye(count).tolist()
    system = dataclasses.replace(
        study.systems[3], similarities=table, points=[(n, n % 3) for n in range(count)]
    )
    return dataclasses.replace(study, sentences=sentences, systems=[system])


def test_many_sentences_and_senses_have_room(study: WordStudy) -> None:
    many = of_size(study, [LabelledSentence("right", f"sense {n // 2}") for n in range(64)])
    (axes,) = panels(similarity_figure(many, many.systems))
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == many.senses
    assert labels[0].get_fontsize() * len(labels) < 72 * PANEL
    looks = [(each.get_marker(), each.get_color()) for each in legend_of(many)]
    assert len(set(looks)) == len(looks) == 33
    unlabelled = of_size(study, [LabelledSentence("right")] * 64)
    (axes,) = panels(similarity_figure(unlabelled, unlabelled.systems))
    numbers = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert numbers == list(range(1, 65, 3))
    assert all(len(drawn(each)) > 1 for each in (many, unlabelled))


def test_senses_whose_names_begin_alike_stay_apart(study: WordStudy) -> None:
    name = "The quite long name of sense number"
    long = of_size(study, [LabelledSentence("right", f"{name} {n // 2}") for n in range(6)])
    long = dataclasses.replace(
        long, systems=[dataclasses.replace(long.systems[0], corpus_points=[])]
    )
    handles = legend_of(long)
    assert len({each.get_label() for each in handles}) == 3
    (axes,) = panels(map_figure(long, long.systems))
    colours = [tuple(each.get_facecolor()[0]) for each in axes.collections]
    assert len(colours) == 6
    assert len(set(colours)) == 3


def test_long_names_leave_a_heat_map_its_size(study: WordStudy) -> None:
    widths = []
    for name in ("a", "Wide " * 20):
        given = of_size(study, [LabelledSentence("right", f"{name}{n // 2}") for n in range(6)])
        figure = similarity_figure(given, given.systems)
        png(figure)
        (axes,) = panels(figure)
        widths.append(axes.get_window_extent().width)
        assert all(each.get_window_extent().x0 >= 0 for each in axes.get_yticklabels())
    assert widths[1] > 0.9 * widths[0]


def legend_of(study: WordStudy) -> list[Any]:
    (legend,) = map_figure(study, study.systems).legends
    return list(legend.legend_handles)


def test_few_sentences_have_their_numbers_written(study: WordStudy) -> None:
    few = dataclasses.replace(study, sentences=study.sentences[:3])
    system = dataclasses.replace(
        study.systems[3],
        similarities=[row[:3] for row in study.systems[3].similarities[:3]],
        points=study.systems[3].points[:3],
    )
    (axes,) = panels(similarity_figure(few, [system]))
    assert [text.get_text() for text in axes.texts] == [
        f"{value:.2f}" for row in system.similarities for value in row
    ]


@pytest.mark.parametrize("name", [HOSTILE, "東京 नमस्ते", "$x^{$", "long " * 50, ""])
def test_names_of_every_kind_can_be_drawn(study: WordStudy, name: str) -> None:
    sentences = [dataclasses.replace(each, sense=f"{each.sense}{name}") for each in study.sentences]
    sentences[0] = LabelledSentence(sentences[0].text)
    systems = [dataclasses.replace(study.systems[3], name=name)]
    drawn(dataclasses.replace(study, sentences=sentences, systems=systems))
