"""Every word gets its own label: learned, aligned, measured in entities and answered."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tasks.learning import learn

from bertsmith.batch import Batch
from bertsmith.cli.main import main
from bertsmith.config import BertConfig
from bertsmith.data.example_batches import pack_examples
from bertsmith.data.record import Record
from bertsmith.data.records import read_records
from bertsmith.errors import ConfigError, DataError
from bertsmith.export.model_folder import load_model, save_model
from bertsmith.inference.evaluation import evaluate_file
from bertsmith.inference.predictor import Predictor
from bertsmith.tasks.masked_lm import MaskedLM
from bertsmith.tasks.model import BertForTasks
from bertsmith.tasks.registry import build_task
from bertsmith.tasks.token_classification import TokenClassification
from bertsmith.text.tokenizer import Tokenizer
from bertsmith.text.vocabulary import SPECIAL_TOKENS, Vocabulary
from bertsmith.training.record_evaluation import evaluate_records

Capture = pytest.CaptureFixture[str]

# A word's label depends on the word before it: 7 is a name after 5 and none after 6.
ROWS = [[2, 5, 7, 8, 3], [2, 6, 7, 8, 3], [2, 8, 5, 7, 7, 3], [2, 7, 6, 7, 3]]
LABELS = [[-100, 0, 1, 0, -100], [-100, 0, 2, 0, -100], [-100, 0, 0, 1, 2, -100]]
LABELS += [[-100, 2, 0, 2, -100]]
FLAT = torch.tensor([label for row in LABELS for label in row])

# "Jo" is a person after "mr", a place after "in" and nothing after "a"; products are rare.
SENTENCES = [
    "mr/O jo/B-PER went/O to/O new/B-LOC york/I-LOC ./O",
    "in/O jo/B-LOC a/O jo/O went/O ./O",
    "mr/O york/B-PER new/B-LOC york/I-LOC ./O",
    "a/O york/O went/O in/O york/B-LOC ./O",
    "mr/O jo/B-PER york/I-PER went/O ./O",
    "a/O jo/O in/O new/B-LOC york/I-LOC jo/B-LOC ./O",
    "joyork/B-PROD went/O to/O jo/B-LOC ./O",
    "went/O to/O a/O new/O jo/O ./O",
]
PIECES = [*SPECIAL_TOKENS, "mr", "jo", "went", "to", "new", "york", "in", "a", ".", "##york"]
TINY = BertConfig(
    vocab_size=len(PIECES),
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    max_position_embeddings=16,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    initializer_range=0.2,
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_vocabulary(Vocabulary(PIECES), lowercase=True)


def record(sentence: str, line: int = 1, **more: Any) -> Record:
    """Words with their tags after a bar."""
    words, tags = zip(*(word.split("/") for word in sentence.split()), strict=True)
    return Record({"tokens": list(words), "tags": list(tags), **more}, f"a.jsonl:{line}")


RECORDS = [record(sentence, line) for line, sentence in enumerate(SENTENCES, 1)]


def columns(sentences: list[str]) -> str:
    return "\n".join(f"{each.replace(' ', chr(10)).replace('/', chr(9))}\n" for each in sentences)


def targets_of(task: TokenClassification, tokenizer: Tokenizer, length: int = 16) -> list[Any]:
    """Targets of each window of the first record, as names; "-" for none."""
    assert task.labels is not None
    encoded = next(task.encode(RECORDS[6:7], tokenizer, max_length=length))
    return [
        " ".join("-" if label == -100 else task.labels[label] for label in example.target)
        for example in encoded.examples
    ]


def test_every_label_is_learned() -> None:
    task = TokenClassification(labels=["O", "NAME", "OTHER"])
    figures = learn(task, Batch.from_sequences(ROWS), {"token_labels": FLAT})
    assert figures["before"] > 0.8
    assert figures["after"] < 0.05
    assert figures["token_accuracy"] == 1.0


@pytest.mark.parametrize("settings", [{}, {"scheme": "bioes", "label_pieces": "all"}])
def test_entities_are_learned_rare_ones_and_what_is_none_included(
    tokenizer: Tokenizer, settings: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    task = TokenClassification(classifier_dropout=0.0, **settings)
    assert task.learn_labels(RECORDS) == {"LOC": 7, "PER": 3, "PROD": 1}
    model = BertForTasks(TINY, [task])
    encoded = list(task.encode(RECORDS, tokenizer, max_length=16))
    examples = [example for each in encoded for example in each.examples]
    batch, targets = pack_examples(examples), task.collate(examples)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(150):
        loss = model.losses(model(batch, targets), targets)[task.name]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    figures = evaluate_records(model, encoded, "cpu").figures(task)
    assert figures["f1"] == figures["PROD/f1"] == figures["token_accuracy"] == 1.0
    assert figures["loss"] < 0.1
    predictor = Predictor(model, tokenizer)
    (answer,) = predictor.predict(["Mr Jo went to New York."])
    assert answer["tokens"] == ["Mr", "Jo", "went", "to", "New", "York", "."]
    found = [
        {key: each[key] for key in ("type", "start", "end", "text")} for each in answer["entities"]
    ]
    assert found == [
        {"type": "PER", "start": 3, "end": 5, "text": "Jo"},
        {"type": "LOC", "start": 14, "end": 22, "text": "New York"},
    ]
    assert all(0.5 < each["probability"] <= 1 for each in answer["entities"])
    words = ["joyork", "went", "to", "jo", "."]
    from_words, from_fields, from_tuple = predictor.predict(
        [words, {"tokens": words, "tags": ["?"] * 5}, tuple(RECORDS[1].fields["tokens"])]
    )
    assert from_words == from_fields
    assert [(e["start"], e["text"]) for e in from_words["entities"]] == [(0, "joyork"), (15, "jo")]
    assert [(e["type"], e["text"]) for e in from_tuple["entities"]] == [("LOC", "jo")]


def test_tokens_without_label_do_not_count() -> None:
    task = TokenClassification(labels=["a", "b"])
    logits = torch.randn(3, 2, requires_grad=True)
    loss = task.loss(logits, {"token_labels": torch.tensor([1, -100, -100])})
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[0, 1])
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[1:].any()
    assert task.loss(logits, {"token_labels": torch.full((3,), -100)}) == 0


def test_labels_are_all_that_the_types_of_entities_can_have() -> None:
    task = TokenClassification()
    task.learn_labels([record("a/I-PER b/I-PER c/O"), record("a/U-LOC b/O")])
    assert task.labels == ["O", "B-LOC", "B-PER", "I-LOC", "I-PER"]
    assert task.scheme == "iob2"
    assert task.figure == "f1"
    task = TokenClassification(scheme="bioes")
    task.learn_labels([record("a/I-PER b/I-PER c/O")])
    assert task.labels == ["O", "B-PER", "E-PER", "I-PER", "S-PER"]
    task = TokenClassification()
    assert task.learn_labels([record("a/B b/I c/O")]) == {"entity": 1}
    assert task.labels == ["O", "B", "I"]


def test_plain_tags_are_those_that_occur(tokenizer: Tokenizer) -> None:
    task = TokenClassification()
    assert task.learn_labels([record("a/V b/N c/N")]) == {"N": 2, "V": 1}
    assert (task.labels, task.scheme, task.figure) == (["N", "V"], "plain", "token_accuracy")
    task = TokenClassification(scheme="plain")
    task.learn_labels([record("a/B-x b/y c/O")])
    assert task.labels == ["O", "B-x", "y"]
    torch.manual_seed(0)
    predictor = Predictor(BertForTasks(TINY, [task]), tokenizer)
    (answer,) = predictor.predict(["a jo"])
    assert set(answer) == {"tokens", "tags"}
    figures = evaluate_records(
        predictor.model, task.encode([record("a/y")], tokenizer, max_length=16), "cpu"
    ).figures(task)
    assert set(figures) == {"token_accuracy", "macro_f1", "loss"}


def test_files_of_any_scheme_teach_the_same(tokenizer: Tokenizer) -> None:
    task = TokenClassification(labels=["O", "B-X", "I-X"])
    forms = ["a/B-X jo/I-X york/B-X in/O", "a/I-X jo/I-X york/B-X in/O"]
    forms += ["a/B-X jo/E-X york/S-X in/O", "a/B-X jo/L-X york/U-X in/O"]
    for form in forms:
        (encoded,) = task.encode([record(form)], tokenizer, max_length=16)
        assert list(encoded.examples[0].target) == [-100, 1, 2, 1, 0, -100]
    # A model of another program with BILOU's letters.
    other = TokenClassification(labels=["O", "B-X", "I-X", "L-X", "U-X"])
    (encoded,) = other.encode([record(forms[0])], tokenizer, max_length=16)
    assert list(encoded.examples[0].target) == [-100, 1, 3, 4, 0, -100]


def test_the_first_piece_of_a_word_has_its_label_or_all_have(tokenizer: Tokenizer) -> None:
    first = TokenClassification()
    first.learn_labels(RECORDS)
    assert targets_of(first, tokenizer) == ["- B-PROD - O O B-LOC O -"]
    all_pieces = TokenClassification(label_pieces="all")
    all_pieces.learn_labels(RECORDS)
    assert targets_of(all_pieces, tokenizer) == ["- B-PROD I-PROD O O B-LOC O -"]


def test_long_sentences_are_read_in_windows_or_cut(tokenizer: Tokenizer) -> None:
    task = TokenClassification(window_step=2)
    task.learn_labels(RECORDS)
    windows = ["- B-PROD - O O -", "- O O B-LOC O -"]
    assert targets_of(task, tokenizer, 6) == windows
    assert task.num_truncated == 0
    head = TokenClassification(long_text="head")
    head.learn_labels(RECORDS)
    assert targets_of(head, tokenizer, 6) == windows[:1]
    assert head.num_truncated == 1
    # The words that are cut are outside, and count as such.
    torch.manual_seed(0)
    model = BertForTasks(TINY, [head])
    encoded = list(head.encode(RECORDS[6:7], tokenizer, max_length=6))
    scored = evaluate_records(model, encoded, "cpu").scored
    assert head.answer(encoded[0], scored[0].scores)["tags"][3:] == ["O", "O"]
    assert head.figures(scored)["LOC/recall"] == 0


def test_a_document_is_the_context_of_its_sentences(tokenizer: Tokenizer) -> None:
    def lengths(documents: list[Any], **settings: Any) -> list[int]:
        task = TokenClassification(labels=["O", "B-X"], **settings)
        records = [record("a/O jo/B-X", 1, document=each) for each in documents]
        return [
            len(each.examples[0].input_ids)
            for each in task.encode(records, tokenizer, max_length=16)
        ]

    assert lengths([0, 0, 1, 1, 1], document_context=True) == [6, 6, 8, 8, 8]
    assert lengths(["a", "a", None, None], document_context=True) == [6, 6, 4, 4]
    assert lengths([0, 0]) == [4, 4]
    task = TokenClassification(labels=["O", "B-X"], document_context=True)
    records = [record("a/O jo/B-X", 1, document=0), record("in/B-X york/O", 2, document=0)]
    first, second = task.encode(records, tokenizer, max_length=16)
    assert list(first.examples[0].input_ids) == list(second.examples[0].input_ids)
    assert list(first.examples[0].target) == [-100, 0, 1, -100, -100, -100]
    assert list(second.examples[0].target) == [-100, -100, -100, 1, 0, -100]


def test_numbers_stand_for_labels_that_are_listed(tokenizer: Tokenizer) -> None:
    numbered = Record({"tokens": ["a", "jo"], "ner_tags": [0, 2]}, "a.jsonl:4")
    task = TokenClassification(labels=["O", "B-X", "I-X"])
    assert task.learn_labels([numbered]) == {"X": 1}
    (encoded,) = task.encode([numbered], tokenizer, max_length=16)
    assert list(encoded.examples[0].target) == [-100, 0, 1, -100]
    with pytest.raises(DataError, match=r"a.jsonl:4, word 1: the tag 0 stands for a label by its"):
        TokenClassification().learn_labels([numbered])
    with pytest.raises(DataError, match=r"word 2: the tag 2 stands .* there are 2 labels; list"):
        TokenClassification(labels=["O", "B-X"]).learn_labels([numbered])


@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        (["a/O b/PER", "c/B-LOC d/I-LOC"], "a.jsonl:1, word 2: the tag 'PER' has no B-, I- or"),
        (["a/B-LOC b/I-"], "a.jsonl:1, word 2: the tag 'I-' has no B-, I- or the like before"),
        (["a/O b/O"], "every word has the tag 'O'; a classification needs two, so add"),
        (["a/N", "a/N"], "every word has the tag 'N'"),
    ],
)
def test_tags_that_teach_nothing_are_refused(sentences: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        TokenClassification().learn_labels(
            [record(sentence, line) for line, sentence in enumerate(sentences, 1)]
        )


def test_errors_name_the_line_of_the_word(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = TokenClassification()
    task.learn_labels(RECORDS)
    path = tmp_path / "dev.conll"
    for tag, message in (
        ("I-MISC", r"dev.conll:4: the tag 'I-MISC' is not one of the task's labels \(O, B-LOC, "),
        ("LOC", r"dev.conll:4: the tag 'LOC' has no B-, I- or the like"),
    ):
        path.write_text(f"a\tO\n\na\tO\nb\t{tag}\n")
        with pytest.raises(DataError, match=message):
            list(task.encode(read_records(path), tokenizer, max_length=16))
    path.write_text("a\nb\n")
    with pytest.raises(
        DataError, match=r"dev.conll:1: the words have no tags .* give a CoNLL file"
    ):
        list(task.labelled(read_records(path)))


def test_settings_make_the_same_task_again() -> None:
    task = TokenClassification(labels=["a", "b"], classifier_dropout=0.3)
    assert task.settings() == {"labels": ["a", "b"], "scheme": "plain", "classifier_dropout": 0.3}
    assert TokenClassification(**task.settings()).settings() == task.settings()
    task = TokenClassification(
        scheme="bioes",
        label_pieces="all",
        long_text="head",
        window_step=7,
        document_context=True,
        columns={"text": "2", "label": "4"},
    )
    with pytest.raises(ConfigError, match=r"task\.labels is not set; list the labels, or learn"):
        task.settings()
    task.learn_labels(RECORDS)
    assert len(task.settings()) == 7
    assert build_task(task.name, **task.settings()).settings() == task.settings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": ["a"]}, r"task\.labels \(a\) must name at least two labels, each once"),
        ({"labels": ["a", "a"]}, "each once"),
        ({"labels": ["a", "b"], "classifier_dropout": 1.0}, "at least 0 and below 1"),
        ({"scheme": "iob"}, r"task\.scheme \('iob'\) must be one of iob2, bioes, plain"),
        ({"labels": ["O", "PER"], "scheme": "iob2"}, r"task\.labels \(O, PER\) must be O or begin"),
        ({"label_pieces": "last"}, r"task\.label_pieces \('last'\) must be one of first, all"),
        ({"long_text": "tail"}, r"task\.long_text \('tail'\) must be one of windows, head"),
        ({"window_step": 0}, r"task\.window_step \(0\) must be a whole number of at least 1"),
        ({"document_context": "yes"}, r"task\.document_context \('yes'\) must be one of false, tr"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenClassification(**settings)


@pytest.fixture(scope="module")
def tagger(
    tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, float]]:
    """The folder of a model that was fine-tuned by the verb, and the figures that it printed."""
    folder = tmp_path_factory.mktemp("tagging")
    torch.manual_seed(0)
    save_model(folder / "model", BertForTasks(TINY, [MaskedLM()]), tokenizer)
    # Named as CoNLL-2003 names its files.
    for name, sentences in (("train", SENTENCES), ("dev", SENTENCES[:4])):
        (folder / f"{name}.txt").write_text("-DOCSTART- O\n\n" + columns(sentences))
    arguments = ["finetune", "token_classification"]
    for option, name in (("model", "model"), ("train", "train.txt"), ("eval", "dev.txt")):
        arguments += [f"--{option}", str(folder / name)]
    arguments += ["--output", str(folder / "run"), "train.steps=60", "train.batch_size=8"]
    arguments += ["optimizer.learning_rate=0.005", "train.num_threads=1", "train.precision=fp32"]
    capture = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", capture)
        assert main(arguments) == 0
    return folder, json.loads(capture.getvalue())


def test_finetune_evaluate_and_predict_agree(
    tagger: tuple[Path, dict[str, float]], capsys: Capture
) -> None:
    folder, figures = tagger
    assert figures["f1"] == 1.0
    model = ["--model", str(folder / "run")]
    assert main(["evaluate", *model, "--data", str(folder / "dev.txt")]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert {key: figures[key] for key in evaluated} == pytest.approx(evaluated)
    assert {"precision", "recall", "f1", "token_accuracy", "PER/f1", "loss"} <= set(evaluated)

    path = folder / "test.conll"
    path.write_text(columns(SENTENCES[:3]))
    assert main(["predict", *model, "--input", str(path)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["tags"] for answer in answers] == [each.fields["tags"] for each in RECORDS[:3]]
    assert main(["predict", *model, "--input", str(path), "--format", "conll"]) == 0
    assert capsys.readouterr().out == columns(SENTENCES[:3]) + "\n"
    # A text a line is what plain text is to predictions.
    path = folder / "plain.txt"
    path.write_text("Mr Jo went to Jo.\n\n")
    assert main(["predict", *model, "--input", str(path)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers[0]["entities"][0]["text"] == "Jo"
    assert answers[1] == {"tokens": [], "tags": [], "entities": []}


def test_answers_can_be_learned_from(tagger: tuple[Path, dict[str, float]]) -> None:
    folder, _ = tagger
    predictor = Predictor.load(folder / "run", device="cpu")
    texts = [" ".join(each.fields["tokens"]) for each in RECORDS]
    answers = list(predictor.predict(texts))
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    assert evaluate_file(folder / "run", path, device="cpu")["f1"] == 1.0
    rows = [
        {"text": text, "entities": answer["entities"]}
        for text, answer in zip(texts, answers, strict=True)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert evaluate_file(folder / "run", path, device="cpu")["f1"] == 1.0


def test_a_model_folder_remembers_its_scheme_and_says_its_labels(
    tagger: tuple[Path, dict[str, float]],
) -> None:
    folder, _ = tagger
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["architectures"] == ["BertForTokenClassification"]
    assert config["id2label"]["0"] == "O"
    assert config["bertsmith"]["tasks"]["token_classification"]["scheme"] == "iob2"
    (task,) = load_model(folder / "run").model.tasks
    assert isinstance(task, TokenClassification)
    assert task.labels == list(config["id2label"].values())


def test_what_is_no_record_is_explained(tagger: tuple[Path, dict[str, float]]) -> None:
    folder, _ = tagger
    predictor = Predictor.load(folder / "run", device="cpu")
    for item, message in (
        (5, "record 1 is of type int; it must be a text, a list of words or a mapping of fields"),
        (["a", 5], "record 1 is of type list"),
        (["a", "New York"], "record 1, word 2: the word 'New York' holds white space"),
        ({"text": "a", "pair": "b"}, "record 1 is a pair of texts"),
    ):
        with pytest.raises(DataError, match=message):
            list(predictor.predict([item]))


def test_labels_of_others_that_are_no_tags_can_be_opened(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    task = TokenClassification(labels=["O", "B-X", "I-X", "X", "[CLS]"])
    assert task.scheme == "iob2"
    save_model(tmp_path / "model", BertForTasks(TINY, [task]), tokenizer)
    config_path = tmp_path / "model" / "config.json"
    config = json.loads(config_path.read_text())
    del config["bertsmith"]
    config_path.write_text(json.dumps(config))
    predictor = Predictor.load(tmp_path / "model", device="cpu")
    (answer,) = predictor.predict([["jo"]])
    assert len(answer["tags"]) == 1
    save_model(tmp_path / "again", predictor.model, tokenizer)
    (again,) = load_model(tmp_path / "again").model.tasks
    assert again.settings() == predictor.task.settings()


def test_real_sentences_of_any_length_keep_every_word(shared_data: Path) -> None:
    vocab = next(path for path in sorted((shared_data / "vocab").iterdir()) if "cased" in path.name)
    tokenizer = Tokenizer.load(vocab)
    path = shared_data / "tasks" / "wnut17-ner" / "dev.conll"
    records = list(read_records(path))
    for settings, length in (({}, 16), ({"document_context": True}, 64)):
        task = TokenClassification(**settings)
        task.learn_labels(records)
        for encoded in task.encode(records, tokenizer, max_length=length):
            seen = set()
            for window, example in zip(encoded.source.windows, encoded.examples, strict=True):
                for offset, place in enumerate(window.starts[:-1]):
                    word = window.first_word + offset
                    assert example.target[place] == encoded.source.gold[word]
                    seen.add(word)
            assert seen == set(range(len(encoded.record.fields["tokens"])))
        assert task.num_truncated == 0
