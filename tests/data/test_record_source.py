"""Data sets are read by their name: from a folder of their files, or from the hub."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.data.glue_folder import TEXTS, write_glue

from bertsmith.data.choices import answer_of, choice_question_of
from bertsmith.data.columns import label_of, labelled, texts_of
from bertsmith.data.layout import Layout
from bertsmith.data.named_sets import NAMED_SETS
from bertsmith.data.record import Record
from bertsmith.data.record_source import RecordSource
from bertsmith.errors import ConfigError, DataError

GLUE = [name for name in NAMED_SETS if name.startswith("glue:")]


@pytest.fixture(scope="module")
def glue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_glue(tmp_path_factory.mktemp("glue"))


def read(name: str, split: str, folder: Path) -> list[Record]:
    return list(RecordSource(name, folder=folder).read(split))


@pytest.mark.parametrize("name", GLUE)
def test_every_split_of_glue_is_read(name: str, glue: Path) -> None:
    named = NAMED_SETS[name]
    is_pair = name not in ("glue:cola", "glue:sst2")
    for split in named.files:
        records = read(name, split, glue)
        texts = [texts_of(record) for record in records]
        assert [text.rstrip() for text, _ in texts] == [text for text, _ in TEXTS]
        assert [pair for _, pair in texts] == [pair if is_pair else None for _, pair in TEXTS]
        labels = {label_of(record) for record in records}
        if split.startswith("test"):
            assert labels == {None}
        elif "labels" in named.settings:
            assert labels == set(named.settings["labels"])


def test_quoras_broken_rows_are_left_out_of_training_and_not_of_the_test(
    glue: Path, tmp_path: Path
) -> None:
    lines = (glue / "QQP" / "train.tsv").read_text().splitlines()
    assert len(lines) == 7  # a header, four rows, and one that is two lines
    assert [record.location.rpartition(":")[2] for record in read("glue:qqp", "train", glue)] == [
        *"2345"
    ]
    with (glue / "QQP" / "dev.tsv").open("a") as file:
        file.write("9\t19\n")
    assert len(read("glue:qqp", "dev", glue)) == 4
    (tmp_path / "test.tsv").write_text("id\tquestion1\tquestion2\n0\ta\tb\n1\ta\n")
    with pytest.raises(DataError, match=r"test\.tsv:3: the row has 2 columns and the first row 3"):
        read("glue:qqp", "test", tmp_path)


@pytest.mark.parametrize("name", ["CoLA", "cola", "COLA", "cola.tar"])
def test_a_folder_may_be_written_in_several_ways(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "dev.tsv").write_text("gj04\t1\t\tHe left .\n")
    if name == "cola.tar":
        with pytest.raises(DataError, match=r"has no dev\.tsv for the dev split"):
            read("glue:cola", "dev", tmp_path)
        return
    assert len(read("glue:cola", "dev", tmp_path)) == 1
    assert len(read("glue:cola", "dev", tmp_path / name)) == 1


def test_files_may_be_compressed(tmp_path: Path) -> None:
    import gzip

    with gzip.open(tmp_path / "dev.tsv.gz", "wt") as file:
        file.write("sentence\tlabel\na film\t1\n")
    assert label_of(read("glue:sst2", "dev", tmp_path)[0]) == "1"


def test_microsofts_own_files_stand_in_for_mrpcs(tmp_path: Path) -> None:
    header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    rows = [f"{i % 2}\t{i}\t{i}\tthe {i} one\tone {i}" for i in range(300)]
    for part in ("train", "test"):
        path = tmp_path / f"msr_paraphrase_{part}.txt"
        path.write_text("\n".join([header, *rows]), encoding="utf-8")
    train, dev, test = (
        [texts_of(record)[0] for record in read("glue:mrpc", split, tmp_path)]
        for split in ("train", "dev", "test")
    )
    assert len(test) == 300
    assert sorted(train + dev) == sorted(test)
    # Of 300 draws with a chance of a tenth, 30 are expected, with a deviation of 5.
    assert 10 < len(dev) < 50
    (tmp_path / "train.tsv").write_text(f"{header}\n{rows[0]}\n", encoding="utf-8")
    assert len(read("glue:mrpc", "train", tmp_path)) == 1
    # What is left for the dev split may be among what train.tsv holds.
    with pytest.raises(DataError, match=r"has no dev\.tsv for the dev split of glue:mrpc"):
        read("glue:mrpc", "dev", tmp_path)


@pytest.mark.parametrize("is_headed", [False, True])
def test_snlis_numbers_are_given_their_names(tmp_path: Path, is_headed: bool) -> None:
    rows = ["a\tb\t2", "a\tb\t0", "a\tb\t1"]
    if is_headed:
        header = "sentence1\tsentence2\tlabel1\tgold_label"
        words = ("contradiction", "entailment", "neutral", "-")
        rows = [header, *(f"a\tb\tneutral\t{word}" for word in words)]
    (tmp_path / "train.tsv").write_text("\n".join(rows))
    records = labelled(read("snli", "train", tmp_path))
    assert [label_of(record) for record in records] == ["contradiction", "entailment", "neutral"]


def test_snli_as_published_is_read(tmp_path: Path) -> None:
    path = tmp_path / "snli_1.0" / "snli_1.0_dev.jsonl"
    path.parent.mkdir()
    path.write_text('{"gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\n')
    (record,) = read("snli", "dev", tmp_path)
    assert (texts_of(record), label_of(record)) == (("a", "b"), "neutral")


def test_codah_is_divided_the_same_way_each_time(tmp_path: Path) -> None:
    rows = [f"o\tprompt {i % 250}\tw.\tx.\ty.\tz.\t{i % 4}" for i in range(500)]
    (tmp_path / "full_data.tsv").write_text("\n".join(rows))
    parts = {
        split: [choice_question_of(record).context for record in read("codah", split, tmp_path)]
        for split in ("train", "dev", "test")
    }
    assert sum(map(len, parts.values())) == 500
    for split in ("dev", "test"):
        assert 20 < len(parts[split]) < 80
        assert not set(parts[split]) & set(parts["train"])
    assert parts["dev"] == [
        choice_question_of(record).context for record in read("codah", "dev", tmp_path)
    ]


def test_an_answer_of_codah_is_a_place_whatever_its_choices_say(tmp_path: Path) -> None:
    (tmp_path / "full_data.tsv").write_text("q\t2 + 2 = ?\t2\t1\t4\t3\t2\n")
    records = [r for split in ("train", "dev", "test") for r in read("codah", split, tmp_path)]
    assert [answer_of(each, choice_question_of(each).choices) for each in records] == [2]


@pytest.mark.parametrize(
    ("name", "first", "layout", "is_told"),
    [
        ("a.tsv", "how are you\tquestion", {"text": "1", "label": "2"}, True),
        ("a.txt", "how are you\tquestion", {"text": "1", "label": "2", "format": "tsv"}, True),
        ("a.csv", "how are you,question", {"text": "1", "label": "2"}, True),
        ("a.tsv", "sentence\tlabel", {"text": "1"}, True),
        ("a.tsv", "sentence\tlabel", {"text": "sentence"}, False),
        ("a.tsv", "sentence\tlabel", {}, False),
        ("a.tsv", "how are you\tgreeting", {"text": "1", "label": "2"}, False),
        ("a.tsv", "how are you\tquestion", {"text": "1", "label": "2", "header": False}, False),
        ("a.tsv", "how are you\tquestion", {"text": "1", "label": "2", "header": True}, False),
        ("a.txt", "how are you\tquestion", {"text": "1"}, False),
        ("a.tsv", "\xff", {"text": "1"}, False),
    ],
)
def test_a_first_row_that_counts_as_the_header_of_numbered_columns_is_told_of(
    tmp_path: Path, name: str, first: str, layout: dict[str, Any], is_told: bool
) -> None:
    path = tmp_path / name
    path.write_bytes(f"{first}\ngood\tpos\n".encode("latin-1"))
    remark = RecordSource(path, Layout.from_settings(layout)).header_remark()
    assert (remark is not None) == is_told
    if remark is not None:
        cells = ", ".join(map(repr, first.replace(",", "\t").split("\t")))
        assert remark.startswith(f"{path}:1 was taken for the header ({cells}); say data.header=")


def test_only_a_file_is_looked_at_for_its_header(tmp_path: Path) -> None:
    numbers = Layout(text="1")
    sources = RecordSource("-", numbers), RecordSource(tmp_path / "a.tsv", numbers)
    assert [each.header_remark() for each in (*sources, RecordSource("codah"))] == [None] * 3


def test_a_file_is_read_as_before(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("one\ttwo\n")
    source = RecordSource(path, layout=Layout(text="2"))
    assert next(source.read("train")).fields["text"] == "two"
    assert source.measured() == {"": source}


def test_mnli_is_measured_twice(glue: Path) -> None:
    measured = RecordSource("glue:mnli", folder=glue).measured()
    assert {start: source.split for start, source in measured.items()} == {
        "": "dev",
        "mismatched_": "dev_mismatched",
    }
    one = RecordSource("glue:mnli", folder=glue, split="dev_mismatched")
    assert one.measured() == {"": one}
    assert next(one.read("dev")).location.startswith(str(glue / "MNLI" / "dev_mismatched.tsv"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"where": "glue:mprc"}, "did you mean glue:mrpc?"),
        ({"where": "a.tsv", "folder": Path()}, "a.tsv is not the name of a data set, and data.fol"),
        ({"where": "a.tsv", "split": "dev"}, "leave them away, or give a name such as glue:mrpc"),
        ({"where": "glue:rte", "layout": Layout(text="2")}, "glue:rte is a data set whose layout"),
        (
            {"where": "glue:rte", "split": "dve"},
            "glue:rte has no dve split; those it has are train",
        ),
    ],
)
def test_a_source_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        RecordSource(**settings)
    assert message in str(raised.value)


def test_the_diagnostic_set_has_nothing_to_train_on(glue: Path) -> None:
    with pytest.raises(ConfigError, match="glue:ax has no train split; those it has are dev, te"):
        read("glue:ax", "train", glue)


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        read("glue:ax", "test", tmp_path)
    assert str(raised.value) == (
        f"{tmp_path} has no diagnostic.tsv or test.tsv for the test split of glue:ax, nor a folder "
        "named ax or diagnostic that could have it; put the published files there"
    )
    (tmp_path / "AX").mkdir()
    with pytest.raises(DataError, match=r"AX has no .* split of glue:ax; put the published files"):
        read("glue:ax", "test", tmp_path)
    with pytest.raises(DataError, match=r"nowhere\) is not a folder; give the one that holds"):
        read("glue:ax", "test", tmp_path / "nowhere")


class FakeHub(ModuleType):
    """Stands in for `datasets`: rows as it gives them, and what it was asked for."""

    def __init__(self, rows: list[dict[str, Any]] | Exception) -> None:
        super().__init__("datasets")
        self.rows = rows
        self.asked: list[tuple[Any, ...]] = []

    def load_dataset(self, path: str, name: str | None, *, split: str) -> Iterator[dict[str, Any]]:
        self.asked.append((path, name, split))
        if isinstance(self.rows, Exception):
            raise self.rows
        return iter(self.rows)


def on_hub(monkeypatch: pytest.MonkeyPatch, rows: Any) -> FakeHub:
    hub = FakeHub(rows)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    return hub


def test_the_hub_numbers_labels_and_says_minus_one_for_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"premise": "a", "hypothesis": "b", "label": label, "idx": 0} for label in (2, 0, 1, -1)
    ]
    hub = on_hub(monkeypatch, rows)
    records = list(RecordSource("glue:mnli").read("dev_mismatched"))
    assert hub.asked == [("nyu-mll/glue", "mnli", "validation_mismatched")]
    assert [label_of(record) for record in records] == [
        "contradiction",
        "entailment",
        "neutral",
        None,
    ]
    assert records[1].location == "nyu-mll/glue/mnli/validation_mismatched:2"
    on_hub(monkeypatch, [{"sentence1": "a", "sentence2": "b", "label": 3.8}])
    assert label_of(next(RecordSource("glue:stsb").read("train"))) == 3.8


def test_the_hubs_questions_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    endings = {f"ending{i}": f"e{i}" for i in range(4)}
    hub = on_hub(monkeypatch, [{"sent1": "c", "sent2": "He", "label": 2, **endings}])
    (record,) = RecordSource("swag").read("dev")
    assert hub.asked == [("allenai/swag", "regular", "validation")]
    assert answer_of(record, choice_question_of(record).choices) == 2
    answers = {"text": ["x", "y"], "answer_start": [1, 2]}
    on_hub(monkeypatch, [{"id": "1", "context": "c", "question": "q", "answers": answers}])
    (record,) = RecordSource("squad").read("dev")
    assert record.fields["answers"] == [
        {"text": "x", "answer_start": 1},
        {"text": "y", "answer_start": 2},
    ]
    answers = {"text": [], "answer_start": []}
    on_hub(monkeypatch, [{"id": "1", "context": "c", "question": "q", "answers": answers}])
    assert next(RecordSource("squad_v2").read("dev")).fields["answers"] == []


@pytest.mark.parametrize(
    "error", [ConnectionError("no network\nat all"), FileNotFoundError("no"), ValueError("no")]
)
def test_a_hub_that_cannot_be_reached_is_said_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    on_hub(monkeypatch, error)
    with pytest.raises(DataError) as raised:
        RecordSource("glue:mrpc").read("train")
    assert str(raised.value) == (
        f"glue:mrpc cannot be had from the hub as nyu-mll/glue ({str(error)[:10].splitlines()[0]});"
        " check the connection, or give the folder of its files with data.folder=FOLDER"
    )


def test_the_hub_needs_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError) as raised:
        RecordSource("glue:mrpc").read("train")
    assert str(raised.value) == (
        "glue:mrpc comes from the hub by the package datasets, which is not installed; `pip "
        "install bertsmith[hub-data]`, or give the folder of its files with data.folder=FOLDER"
    )


@pytest.mark.parametrize(("name", "split"), [("codah", "train"), ("glue:ax", "dev")])
def test_what_the_hub_does_not_have_needs_a_folder(name: str, split: str) -> None:
    with pytest.raises(DataError, match="is not taken from the hub; give the folder of its files"):
        RecordSource(name).read(split)


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("glue:cola", "dev", 1043),
        ("glue:sst2", "dev", 872),
        ("glue:mrpc", "dev", 408),
        ("glue:mrpc", "train", 3668),
        ("glue:rte", "dev", 277),
        ("glue:stsb", "dev", 1500),
        ("snli", "dev", 9824),
        ("codah", "train", 2205),
        ("codah", "dev", 261),
        ("codah", "test", 310),
        ("wnut17", "dev", 1009),
        ("wnut17", "test", 1287),
        ("ud-ewt", "dev", 2001),
    ],
)
def test_real_files_are_found_by_name(shared_data: Path, name: str, split: str, count: int) -> None:
    records = read(name, split, shared_data / "tasks")
    assert len(records) == count
    if labels := NAMED_SETS[name].settings.get("labels"):
        assert {label_of(record) for record in records} == set(labels)
