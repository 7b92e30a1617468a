"""The command line: help, wrong use, settings anywhere, and how it ends when it is cut off."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bertsmith.cli import info
from bertsmith.cli.main import VERBS, _module, build_parser, main, parse
from bertsmith.errors import DataError

Capture = pytest.CaptureFixture[str]


def examples(verb: str) -> Iterator[list[str]]:
    """The commands in a verb's epilog, each as its arguments."""
    joined = _module(verb).EXAMPLES.replace("\\\n", " ")
    for line in joined.splitlines():
        if found := re.search(rf"(?:^  |\| )bertsmith ({verb} .*)", line):
            yield shlex.split(re.split(r" [<>|] ", found[1])[0])


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_shows_two_examples(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main([verb, "--help"])
    assert raised.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert text.count(f"bertsmith {verb}") >= 3  # the usage, and two


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "demo"])
def test_the_examples_are_commands_that_parse(verb: str) -> None:
    commands = list(examples(verb))
    assert len(commands) >= 2
    for command in commands:
        assert parse(build_parser(verb), command).verb == verb


def test_the_help_lists_every_verb(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for verb in VERBS:
        assert re.search(rf"(?m)^    {verb}\s+\w", text), verb


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrian"], "'pretrian' is not a verb; did you mean pretrain?"),
        (["fill_mask"], "'fill_mask' is not a verb; did you mean fill-mask?"),
        (["zzz"], "'zzz' is not a verb; the verbs are vocab, tokenize, prepare, "),
    ],
)
def test_an_unknown_verb_gets_a_suggestion(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"bertsmith: {message}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


# Not --seeds, of which it is the beginning.
SEED = ["benchmark", "--model", "m", "--output", "o", "--seed", "42"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "bertsmith: the following arguments are required: VERB; see `bertsmith --help`"),
        (["info"], "bertsmith info: the following arguments are required: PATH; see `bertsmith in"),
        (SEED, "bertsmith benchmark: '--seed' is no option of this verb; a setting is key=value; "),
        (["info", "a", "b"], "bertsmith info: 'b' is no argument of this verb; see "),
        (["info", "a", "x.y=1"], "bertsmith info: 'x.y=1' is no argument of this verb; see "),
        (
            ["pretrain", "a.toml", "b.c=1", "--fast", "d.e=2"],
            "bertsmith pretrain: '--fast' is no option of this verb; a setting is key=value; see ",
        ),
        (
            ["pretrain", "a.toml", "b.c=1", "--resume", "d.e=2", "more"],
            "bertsmith pretrain: 'more' is no argument of this verb; a setting is key=value; see ",
        ),
        (["vocab", "a", "--size", "many", "--output", "o"], "bertsmith vocab: argument --size: in"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_status_2(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


LINES = {
    "finetune": ["sequence_classification", "--model=m", "--train=t", "--output=o", "--resume"],
    "evaluate": ["--model=m", "--data=d"],
    "predict": ["--model=m", "--input=-", "--device=cpu"],
    "pretrain": ["recipe.toml", "--resume"],
}


@pytest.mark.parametrize("verb", LINES)
def test_settings_may_stand_anywhere_on_the_line(verb: str) -> None:
    rest = LINES[verb]
    # What a verb is given by place comes first among the words without a dash.
    named = [argument for argument in rest if not argument.startswith("-")]
    options = [argument for argument in rest if argument.startswith("-")]
    expected = vars(parse(build_parser(verb), [verb, *rest])) | {"overrides": ["a.b=1", "c.d=2"]}
    for places in itertools.combinations_with_replacement(range(len(options) + 1), 2):
        line = list(options)
        for place, setting in reversed(list(zip(places, ["a.b=1", "c.d=2"], strict=True))):
            line.insert(place, setting)
        args = parse(build_parser(verb), [verb, *named, *line])
        assert vars(args) == expected, line


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (DataError("a.txt is empty"), 2, "bertsmith: a.txt is empty\n"),
        (KeyboardInterrupt(), 130, "bertsmith: interrupted\n"),
    ],
)
def test_what_ends_a_verb_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    raised: BaseException,
    status: int,
    said: str,
) -> None:
    def run(args: object) -> None:
        raise raised

    monkeypatch.setattr(info, "run", run)
    assert main(["info", "anything"]) == status
    assert capsys.readouterr() == ("", said)


def test_errors_of_other_kinds_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "run", lambda args: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main(["info", "anything"])


def test_the_version_is_printed(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert raised.value.code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_broken_pipe_is_quiet(tmp_path: Path) -> None:
    vocab = tmp_path / "vocab.txt"
    vocab.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n")
    command = [sys.executable, "-m", "bertsmith", "tokenize", "--vocab", str(vocab)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.write(b"good\n" * 10_000)
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
