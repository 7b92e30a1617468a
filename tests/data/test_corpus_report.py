"""What looks wrong with a text is counted."""

from __future__ import annotations

import pytest

from bertsmith.data.corpus_report import CorpusReport, Counts, count_suspicious


@pytest.mark.parametrize("character", "éüàÉß°§«»’“”–—…€™ñçøÅ")
def test_utf8_read_as_windows_1252_is_noticed(character):
    read_wrongly = f"a{character}b".encode().decode("cp1252", errors="replace")
    assert count_suspicious([read_wrongly]) == (0 + ("\ufffd" in read_wrongly), 1)


@pytest.mark.parametrize(
    "line",
    [
        "SÃO PAULO",
        "tâche, Âge",
        "Ação",
        "CÂMARA",
        "naïve café",
        "“Château” – «fâché»",
        "ÂÃâ",
        "ЖÃ Я",
    ],
)
def test_correct_text_is_not(line):
    assert count_suspicious([line]) == (0, 0)


def test_replacement_characters_are_counted_by_line():
    assert count_suspicious(["caf\ufffd \ufffd", "cafe", "caf\ufffd"]) == (2, 0)


def test_real_text_is_clean(shared_data):
    import lzma

    with lzma.open(shared_data / "corpus/books-dev.txt.xz", "rt", encoding="utf-8") as file:
        replaced, mojibake = count_suspicious(file)
    assert mojibake == 0
    assert replaced == 0


def test_counts_add_up():
    total = Counts(documents=1, lines=2) + Counts(documents=3, skipped=1)
    assert total == Counts(documents=4, lines=2, skipped=1)


def test_a_report_survives_json():
    report = CorpusReport(
        counts=Counts(wordpieces=200, unknown_wordpieces=1),
        repeated_line_share=0.25,
        repeated_line_sample=0.5,
        skipped_examples=("a.txt:1: bad",),
    )
    assert CorpusReport.from_dict(report.to_dict()) == report
    assert report.unknown_share == 0.005
