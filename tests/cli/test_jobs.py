"""Long jobs of `predict` and `embed`: killed and begun again, refused, and in bounded memory."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import save

from bertsmith.cli.main import main

Capture = pytest.CaptureFixture[str]
VERBS = ("predict", "embed")


def write_texts(path: Path, count: int) -> Path:
    """Texts of very different lengths; as JSON, so that there is something to read."""
    draw = random.Random(0)
    with path.open("w") as file:
        for number in range(count):
            words = draw.choices(["good", "bad", "film", "a", "東"], k=draw.randint(1, 12))
            file.write(json.dumps({"text": " ".join(words), "id": number}) + "\n")
    return path


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_texts(tmp_path / "a.jsonl", 9_000)


def command(verb: str, model: Path, texts: Path | str, output: Path, *more: str) -> list[str]:
    asked = [verb, "--model", str(model), "--input", str(texts), "--output", str(output)]
    return [*asked, *more]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_answers_in_a_file_are_those_that_are_printed(
    classifier: Path, texts: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "answers.jsonl"
    assert main(command("predict", classifier, texts, output)) == 0
    error = capsys.readouterr().err
    assert f"9,000 answers in {output}\nnext: bertsmith evaluate --model " in error
    assert re.search(r"cut at the model's 12 wordpieces: [\d,]+ records\n", error)
    # The bar: how much of the file, how long it took, and how many records.
    assert re.search(r"answers.jsonl: 100%.*\[00:\d\d<00:00, .*B/s, 9,000 records\]", error)
    assert main(["predict", "--model", str(classifier), "--input", str(texts)]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert [each["label"] for each in written] == [each["label"] for each in printed]
    # What else is in a batch changes the last bits.
    np.testing.assert_allclose(
        [each["probability"] for each in written],
        [each["probability"] for each in printed],
        rtol=1e-5,
    )
    assert names(tmp_path) == {"a.jsonl", "answers.jsonl"}


def test_words_with_tags_are_written_as_they_are_printed(tmp_path: Path, capsys: Capture) -> None:
    model = save(tmp_path / "tags", "token_classification", labels=["O", "B-LOC", "I-LOC"])
    sentences = tmp_path / "a.conll"
    sentences.write_text("good O\nfilm O\n\nbad O\n\n" * 50)
    output = tmp_path / "answers.conll"
    assert main(command("predict", model, sentences, output, "--format", "conll")) == 0
    capsys.readouterr()
    asked = ["predict", "--model", str(model), "--input", str(sentences), "--format", "conll"]
    assert main(asked) == 0
    assert output.read_text() == capsys.readouterr().out
    assert output.read_text().count("\n\n") == 100


@pytest.mark.parametrize("verb", VERBS)
def test_a_mended_record_does_not_begin_the_job_anew(
    classifier: Path, texts: Path, tmp_path: Path, capsys: Capture, verb: str
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "output"
    assert main(command(verb, classifier, texts, whole)) == 0
    good = texts.read_text()
    lines = good.splitlines()
    lines[8_000] = '{"id": 8000}'
    texts.write_text("\n".join(lines))
    capsys.readouterr()
    assert main(command(verb, classifier, texts, output)) == 2
    error = capsys.readouterr().err
    assert re.search(r"\d,\d\d\d records done in .*output.unfinished; the same command goes", error)
    assert error.splitlines()[-1].startswith(f"bertsmith: {texts}:8001: ")
    texts.write_text(good)
    assert main(command(verb, classifier, texts, output)) == 0
    error = capsys.readouterr().err
    found = re.search(r"going on after the (\d,\d\d\d) records in .*output.unfinished", error)
    assert found
    # The bar begins where the job goes on.
    first, *_, last = re.findall(r"output: +(\d+)%", error)
    assert int(first) >= 100 * int(found[1].replace(",", "")) // 10_000
    assert last == "100"
    assert output.read_bytes() == whole.read_bytes()
    assert names(tmp_path) == {"a.jsonl", "whole", "output"}


@pytest.mark.parametrize("verb", VERBS)
def test_another_model_or_setting_is_refused(
    classifier: Path, pretrained: Path, texts: Path, tmp_path: Path, capsys: Capture, verb: str
) -> None:
    with texts.open("a") as file:
        file.write("{")
    output = tmp_path / "output"
    assert main(command(verb, classifier, texts, output)) == 2
    changed = tmp_path / "changed"
    shutil.copytree(classifier, changed)
    settings = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(settings | {"layer_norm_eps": 0.5}))
    before = output.with_name("output.unfinished").read_bytes()
    capsys.readouterr()

    def refused(*arguments: str, model: Path = classifier, other: str = verb) -> str:
        assert main(command(other, model, texts, output, *arguments)) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err

    assert "was begun with another model than this one; use what it was" in refused(model=changed)
    other = VERBS[verb == "predict"]
    assert f"was begun with verb '{verb}' and it is '{other}' now; use" in refused(other=other)
    if verb == "embed":
        pooled = refused("--pooling", "max")
        assert "was begun with --pooling 'mean' and it is 'max' now; use what it was th" in pooled
    assert output.with_name("output.unfinished").read_bytes() == before
    texts.write_text("\n".join(texts.read_text().splitlines()[:-1]))
    assert main(command(verb, changed, texts, output, "--restart")) == 0
    assert names(tmp_path) == {"a.jsonl", "output", "changed"}


def test_standard_input_is_written_whole_or_not_at_all(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    output = tmp_path / "answers.jsonl"
    for last, status in (("{", 2), ("", 0)):
        data = '{"text": "good"}\n' * 9_000 + last
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
        assert main(command("predict", classifier, "-", output)) == status
        assert names(tmp_path) == (set() if status else {"answers.jsonl"})
    assert len(output.read_text().splitlines()) == 9_000
    assert "goes on" not in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_the_input_is_not_replaced(
    classifier: Path, texts: Path, capsys: Capture, verb: str
) -> None:
    before = texts.read_bytes()
    same = texts.parent / "link"
    same.symlink_to(texts)
    for output in (texts, same):
        assert main(command(verb, classifier, texts, output)) == 2
        assert "is the input, which the output would replace; name" in capsys.readouterr().err
    assert texts.read_bytes() == before


@pytest.mark.parametrize("own", ["{}.unfinished", "{}.progress", ".{}.lock"])
@pytest.mark.parametrize("verb", VERBS)
def test_nor_is_one_that_is_called_as_a_file_of_the_job(
    classifier: Path, texts: Path, capsys: Capture, verb: str, own: str
) -> None:
    output = texts.parent / "output"
    file = texts.rename(texts.with_name(own.format(output.name)))
    before = file.read_bytes()
    assert main(command(verb, classifier, file, output, "data.format=jsonl")) == 2
    assert f"{file} is the input, which the output would replace" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--restart"], "--restart is for answers in a file; name it with --output FILE"),
        (["--engine", "ray"], "--engine ray is for answers in a file; name it with --output FILE"),
        (["--workers", "2"], "--workers is for --engine ray; leave it out"),
        (
            ["--output", "a", "--workers", "2"],
            "--workers is for --engine ray; one process uses all",
        ),
        (["--output", "a", "--squad-output", "b"], "--squad-output says where the answers go; le"),
        (["--output", "a", "--glue-submission", "b"], "--glue-submission says where the answers g"),
        (["--output", "a", "--format", "conll"], "--format conll is for words with tags, and the"),
    ],
)
def test_options_that_do_not_go_together_are_one_sentence(
    classifier: Path, texts: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    asked = ["predict", "--model", str(classifier), "--input", str(texts), *arguments]
    assert main(asked) == 2
    assert capsys.readouterr().err.startswith(f"bertsmith: {message}")


def start(arguments: list[str]) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "bertsmith", *arguments]
    return subprocess.Popen(call, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_job_that_is_killed_goes_on_to_the_same_bytes(
    classifier: Path, tmp_path: Path, verb: str
) -> None:
    texts = write_texts(tmp_path / "a.jsonl", 60_000)
    whole, output = tmp_path / "whole", tmp_path / "output"
    assert main(command(verb, classifier, texts, whole)) == 0
    draw, asked = random.Random(verb), command(verb, classifier, texts, output)
    kills = continued = 0
    while not output.exists():
        unfinished = output.with_name("output.unfinished")
        before = unfinished.stat().st_size if unfinished.exists() else 0
        with start(asked) as process:
            # Some time after it has begun to write.
            while process.poll() is None and (
                not unfinished.exists() or unfinished.stat().st_size <= before
            ):
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 3))
            if kills < 4:
                process.send_signal((signal.SIGKILL, signal.SIGTERM)[kills % 2])
                kills += 1
            error = process.communicate()[1]
            continued += "going on after the" in error
            # SIGTERM after the answers are written, or before any, finds the handler taken down.
            ended = (0, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM)
            assert process.returncode in ended
    assert continued
    assert output.read_bytes() == whole.read_bytes()
    assert names(tmp_path) == {"a.jsonl", "whole", "output"}


# The peak of this process's memory, in KiB, on its last line. `getrusage` has that of the process
# which began it in it.
MEASURED = """
import re, sys
from pathlib import Path
from bertsmith.cli.main import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("verb", VERBS)
def test_memory_does_not_grow_with_the_records(classifier: Path, tmp_path: Path, verb: str) -> None:
    """In float32: of bfloat16 a CPU's library keeps a thousand kernels, one for each shape."""
    peaks = []
    for count in (20_000, 320_000):
        texts = write_texts(tmp_path / f"{count}.jsonl", count)
        asked = command(verb, classifier, texts, tmp_path / "output", "--precision", "fp32")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *asked], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)
    print(f"{verb}: {peaks[0]:.0f} MiB of 20,000 records, {peaks[1]:.0f} MiB of 320,000")
    assert peaks[1] < peaks[0] + 24


def test_a_job_goes_on_in_the_precision_it_was_begun_with(
    classifier: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, output = tmp_path / "a.jsonl", tmp_path / "answers.jsonl"
    lines = [json.dumps({"text": f"a fine film {i}"}) for i in range(9000)]
    texts.write_text("\n".join([*lines, "{"]))  # the last line cannot be read
    chosen = {"value": ("bf16", "products take 1 GFLOP/s in float32 and 2 in bfloat16 here")}
    monkeypatch.setattr(
        "bertsmith.inference.precision.faster_precision", lambda device: chosen["value"]
    )
    assert main(command("predict", classifier, texts, output)) == 2
    chosen["value"] = ("fp32", "something else was measured")
    texts.write_text("\n".join(lines))
    assert main(command("predict", classifier, texts, output, "--precision", "fp32")) == 2
    assert "was begun with --precision 'bf16' and it is 'fp32' now" in capsys.readouterr().err
    assert main(command("predict", classifier, texts, output)) == 0
    assert "precision: bf16, since the job was begun with it\n" in capsys.readouterr().err
    whole = tmp_path / "whole.jsonl"
    assert main(command("predict", classifier, texts, whole, "--precision", "bf16")) == 0
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("output", [".", "/", "pipe"])
def test_what_is_no_file_is_not_written(
    classifier: Path, texts: Path, tmp_path: Path, verb: str, output: str, capsys: Capture
) -> None:
    os.mkfifo(tmp_path / "pipe")  # in place of a device, which a mistake here would replace
    place = Path(output) if output != "pipe" else tmp_path / output
    assert main(command(verb, classifier, texts, place)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "pipe").is_fifo()
