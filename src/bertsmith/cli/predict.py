"""`bertsmith predict`: a fine-tuned model's answer for each record of a file or a stream."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from bertsmith.cli.layout_settings import add_input, read_source
from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from bertsmith.data.record_source import RecordSource

HELP = "answer records with a fine-tuned model, one JSON object a record, in order"
EXAMPLES = """examples:
  bertsmith predict --model runs/sst2 --input reviews.csv > answers.jsonl
      reads a column named text, sentence or the like
  printf 'A fine film.\\nA waste of time.\\n' | bertsmith predict --model runs/sst2 --input -
      reads a text a line; a tab in a line makes it a pair
  bertsmith predict --model runs/mrpc --input glue:mrpc data.folder=GLUE --glue-submission answers
      answers the test split of a task of GLUE in the file that gluebenchmark.com takes
  bertsmith predict --model runs/squad --input dev-v2.0.json --squad-output predicted
      answers questions, and writes the files that SQuAD's official scripts read
  bertsmith predict --model runs/names --input test.conll --format conll > answers.conll
      writes words and tags, such as the official conlleval reads"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a fine-tuned model's folder")
    parser.add_argument(
        "--format",
        choices=("jsonl", "conll"),
        default="jsonl",
        help="jsonl: an object a record; conll: of tagged words, a word, a tab and its tag a line",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    parser.add_argument(
        "--glue-submission",
        metavar="DIR",
        help="write the answers into this folder as GLUE wants them, in place of printing them",
    )
    parser.add_argument(
        "--squad-output",
        metavar="DIR",
        help="of question_answering: also write predictions.json, nbest_predictions.json and "
        "null_odds.json there, as SQuAD's official scripts read them",
    )
    add_input(parser, named=True)


def run(args: argparse.Namespace) -> None:
    """Print the answers, each as soon as it is known, or write them for GLUE."""
    source = read_source(args.input, args.overrides)
    from tqdm import tqdm

    from bertsmith.errors import ConfigError
    from bertsmith.inference.predictor import Predictor
    from bertsmith.inference.squad_files import SquadFiles, check_ids

    if args.glue_submission is not None:
        _write_submission(source, args)
        return
    predictor = Predictor.load(args.model, device=args.device)
    files = None if args.squad_output is None else SquadFiles(args.squad_output)
    if files is not None and predictor.task.name != "question_answering":
        raise ConfigError(
            f"--squad-output is for question_answering and the model's task is "
            f"{predictor.task.name}; remove it"
        )
    source = source.like(predictor.layout)
    if files is not None:
        check_ids(source)
    if args.format == "conll" and predictor.task.name != "token_classification":
        raise ConfigError(
            f"--format conll is for words with tags, and the model is for {predictor.task.name}; "
            "leave it out"
        )
    written = _conll if args.format == "conll" else _json
    records = source.read("test")
    # A bar among answers on the same screen would be torn apart by them.
    has_bar = sys.stderr.isatty() and not sys.stdout.isatty()
    for answer in tqdm(predictor.predict(records), unit="record", disable=not has_bar):
        print(written(answer), flush=True)
        if files is not None:
            files.add(answer)
    if predictor.num_truncated:
        print(
            f"cut at the model's {predictor.max_length} wordpieces: "
            f"{counted(predictor.num_truncated, 'record')}",
            file=sys.stderr,
        )
    scored = f"--model {args.model}"
    if files is not None:
        scored = f"--predictions {files.write()[0]}"
    print(f"next: bertsmith evaluate {scored} --data FILE", file=sys.stderr)


def _json(answer: dict[str, Any]) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _conll(answer: dict[str, Any]) -> str:
    """The lines of a sentence; the blank one after them comes with print's own line end."""
    words = zip(answer["tokens"], answer["tags"], strict=True)
    return "".join(f"{word}\t{tag}\n" for word, tag in words)


def _write_submission(source: RecordSource, args: argparse.Namespace) -> None:
    from bertsmith.inference.glue_submission import submission_files, write_glue_submission
    from bertsmith.inference.predictor import Predictor

    submission_files(source)  # what cannot be is said before the model is loaded
    predictor = Predictor.load(args.model, device=args.device)
    for path, count in write_glue_submission(predictor, source, args.glue_submission).items():
        print(f"{path}: {counted(count, 'answer')}", file=sys.stderr)
    print(
        "next: put the files of all tasks into one .zip file and upload it at gluebenchmark.com",
        file=sys.stderr,
    )
