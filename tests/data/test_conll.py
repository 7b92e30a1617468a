"""Sentences of tagged words from files of columns, and sentences about those that are broken."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bertsmith.data import conll
from bertsmith.data.layout import Layout
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.data.tagged_sentences import location_of
from bertsmith.errors import BertsmithError, DataError

CONLL = "-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n"
CONLLU = """# newdoc id = a
# text = I don't
1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_

# newdoc
1\t10 000\t10 000\tNUM\tCD\t_\t0\troot\t_\t_
"""


def write(folder: Path, name: str, contents: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return path


def read(path: Path, **layout: Any) -> list[Record]:
    return list(read_records(path, layout=Layout(**layout)))


@pytest.mark.parametrize(
    ("name", "sentences", "words", "documents", "tags"),
    [
        ("wnut17-ner/train.conll", 3394, 62730, 1, 13),
        ("wnut17-ner/dev.conll", 1009, 15733, 1, 13),
        ("wnut17-ner/test.conll", 1287, 23394, 1, 13),
        ("ud-ewt-pos/train.conllu.xz", 12544, 204577, 540, 17),
        ("ud-ewt-pos/dev.conllu.xz", 2001, 25147, 318, 17),
    ],
)
def test_published_files_are_read_whole(
    shared_data: Path, name: str, sentences: int, words: int, documents: int, tags: int
) -> None:
    path = shared_data / "tasks" / name
    records = read(path)
    assert len(records) == sentences
    assert sum(len(record.fields["tokens"]) for record in records) == words
    assert records[-1].fields["document"] == documents - 1
    assert len({tag for record in records for tag in record.fields["tags"]}) == tags
    data = path.read_bytes()
    lines = (lzma.decompress(data) if path.suffix == ".xz" else data).decode().split("\n")
    for record in records[:: sentences // 50]:
        for place, word in enumerate(record.fields["tokens"]):
            line = int(location_of(record, place).rpartition(":")[2])
            assert word in lines[line - 1].split("\t")
        assert record.location == location_of(record, 0)


def test_sentences_and_documents_of_columns(tmp_path: Path) -> None:
    contents = CONLL + "\n \t\n-DOCSTART-\n\nin IN O\r\n"
    records = read(write(tmp_path, "a.conll", contents))
    assert [record.fields for record in records] == [
        {"tokens": ["EU", "rejects"], "tags": ["B-ORG", "O"], "document": 0},
        {"tokens": ["Peter"], "tags": ["B-PER"], "document": 0},
        {"tokens": ["in"], "tags": ["O"], "document": 1},
    ]
    assert [record.location.rpartition(":")[2] for record in records] == ["3", "6", "11"]


@pytest.mark.parametrize("suffix", [".conll", ".bio", ".iob", ".iob2", ".bioes", ".BIO.gz"])
def test_files_by_their_suffix(tmp_path: Path, suffix: str) -> None:
    data = CONLL.encode()
    path = write(tmp_path, f"a{suffix}", gzip.compress(data) if suffix[-1] == "z" else data)
    assert len(read(path)) == 2


def test_a_text_file_is_columns_where_that_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "train.txt", CONLL)
    assert "tokens" not in read(path)[0].fields
    assert len(read(path, conll_suffixes=("txt",))) == 2
    assert len(read(path, format="conll")) == 2


def test_columns_are_chosen_by_number(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", CONLL)
    fields = read(path, text="2", label="1")[0].fields
    assert fields["tokens"] == ["NNP", "VBZ"]
    assert fields["tags"] == ["EU", "rejects"]
    # What a model remembers of another file is no matter here.
    assert read(path, text="words", label="9", is_required=False)[0].fields["tags"] == [
        "B-ORG",
        "O",
    ]


def test_a_file_of_words_alone_has_no_tags(tmp_path: Path) -> None:
    records = read(write(tmp_path, "a.conll", "EU\nrejects\n\n#\n-\n"))
    assert [record.fields for record in records] == [
        {"tokens": ["EU", "rejects"], "document": 0},
        {"tokens": ["#", "-"], "document": 0},
    ]


def test_control_characters_and_other_blanks_are_words(tmp_path: Path) -> None:
    contents = "\x96\tO\n\u200e\tO\n\u00a0\tO\na\u2028b\tO\n"
    (record,) = read(write(tmp_path, "a.conll", contents))
    assert record.fields["tokens"] == ["\x96", "\u200e", "\u00a0", "a\u2028b"]


def test_a_blank_beside_tabs_does_not_end_a_column(tmp_path: Path) -> None:
    (record,) = read(write(tmp_path, "a.conll", "EU \t B-ORG\nso\tO\n"))
    assert record.fields["tokens"] == ["EU", "so"]
    assert record.fields["tags"] == ["B-ORG", "O"]


def test_conllu_without_what_is_no_word(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conllu", CONLLU)
    assert [record.fields for record in read(path)] == [
        {"tokens": ["I", "do", "n't"], "tags": ["PRON", "AUX", "PART"], "document": 0},
        {"tokens": ["10 000"], "tags": ["NUM"], "document": 1},
    ]
    for label in ("deprel", "8", "DEPREL"):
        assert read(path, label=label)[0].fields["tags"] == ["nsubj", "root", "advmod"]
    assert read(path, text="lemma", label="xpos")[0].fields["tokens"] == ["I", "do", "not"]


def test_conllu_may_have_no_tags(tmp_path: Path) -> None:
    blind = CONLLU.replace("NUM", "_")
    records = read(write(tmp_path, "a.conllu", blind))
    assert ["tags" in record.fields for record in records] == [True, False]
    assert location_of(records[1], 0) == records[1].location


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        (
            "a.conll",
            "EU O\nrejects\n",
            r"a.conll:2: the line has 1 column and the first one 2 columns; ea",
        ),
        ("a.conll", "EU\tO\nNew York O\n", r"a.conll:2: the line has 1 column and the first one 2"),
        (
            "a.conll",
            "a\n\nb\tO\tO\n",
            "a.conll:3: the line has 3 columns and the first one 1 column;",
        ),
        ("a.conll", "a\tO\nNew York\tO\n", "a.conll:2: the word 'New York' holds a blank; write"),
        ("a.conll", "a\tO\nb\tB LOC\n", "a.conll:2: the tag 'B LOC' holds a blank"),
        ("a.conll", "a\tO\n\tO\n", "a.conll:2: the word is empty; each line must hold one of each"),
        ("a.conll", "a\tO\nb\t\n", "a.conll:2: the tag is empty"),
        ("a.conll", b"a\tO\n\xe9\tO\n", r"a.conll:2: byte 0xe9 is not valid UTF-8; save"),
        ("a.conll", "a\tO\n\0\tO\n", "a.conll:2: the line holds a NUL byte"),
        ("a.conll", "\n \n-DOCSTART- O\n", "a.conll holds no records"),
        ("a.conllu", "1 EU\n", "a.conllu:1: the line has 1 column; a word of CoNLL-U has 10, with"),
        ("a.conllu", "EU" + "\t_" * 9, r"a.conllu:1: the first column \('EU'\) is not the number"),
        ("a.conllu", "1\t" + "\t_" * 8, "a.conllu:1: the word is empty"),
        ("a.conllu", CONLLU.replace("AUX", "_"), r"a.conllu:5: the word has no tag \(_\) and oth"),
    ],
)
def test_what_cannot_be_read_is_explained(
    tmp_path: Path, name: str, contents: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, name, contents))


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ({"label": "4"}, r"a.conll:3: data.label \(4\) is not one of the columns; .*from 1 to 3$"),
        ({"text": "word"}, r"a.conll:3: data.text \(word\) is not one of the columns"),
        ({"pair": "2"}, r"a.conll: data.pair says nothing about CoNLL's columns; leave it out"),
        ({"header": True}, r"data.header says nothing about CoNLL's columns"),
    ],
)
def test_columns_that_are_not_there_are_refused(
    tmp_path: Path, layout: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, "a.conll", CONLL), **layout)


def test_columns_of_conllu_have_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 to 10, or one of form, lemma, upos, xpos, deprel"):
        read(write(tmp_path, "a.conllu", CONLLU), label="pos")


def test_a_file_without_blank_lines_is_not_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conll, "MAX_WORDS", 5)
    assert read(write(tmp_path, "a.conll", "a O\n" * 5))
    with pytest.raises(DataError, match=r"a.conll:1: .* more than 5 words; put a blank line"):
        read(write(tmp_path, "a.conll", "a O\n" * 6))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["a.conll", "a.conllu"]),
    st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.sampled_from(
                [
                    *("\n", "\t", " ", "a", "B-X", "O", "_", "1", "é", "\r\n"),
                    *("-DOCSTART-", "# newdoc", "\n1\ta\ta\tX\tX\t_\t0\troot\t_\t_\n"),
                    "\n1-2\ta" + "\t_" * 8 + "\n",
                ]
            ),
            max_size=30,
        ).map(lambda parts: "".join(parts).encode()),
    ),
)
@example("a.conll", b"a\tO\n\n\n\n-DOCSTART-\n\nb\tO")
def test_any_file_gives_sentences_or_a_sentence_about_it(
    tmp_path: Path, name: str, data: bytes
) -> None:
    path = write(tmp_path, name, data)
    try:
        records = read(path)
    except BertsmithError as error:
        assert str(path) in str(error)
        return
    lines = data.split(b"\n")
    for record in records:
        words = record.fields["tokens"]
        assert words and len(record.fields.get("tags", words)) == len(words)
        for place, word in enumerate(words):
            line = int(location_of(record, place).rpartition(":")[2])
            assert word in lines[line - 1].decode("utf-8-sig")
