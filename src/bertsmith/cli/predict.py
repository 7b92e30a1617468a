"""`bertsmith predict`: a fine-tuned model's answer for each record of a file or a stream."""

from __future__ import annotations

import argparse
import functools
import sys
from typing import TYPE_CHECKING

from bertsmith.cli.job_options import add_job_options, model_path, run_job, workers_for_models
from bertsmith.cli.layout_settings import add_input, read_source
from bertsmith.cli.precision_option import add_precision, precision_of_job, say_precision
from bertsmith.cli.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from bertsmith.data.record_source import RecordSource
    from bertsmith.inference.job import Answer
    from bertsmith.inference.predictor import Predictor

HELP = "answer records with a fine-tuned model, one JSON object a record, in order"
EXAMPLES = """examples:
  bertsmith predict --model runs/sst2 --input reviews.csv > answers.jsonl
      reads a column named text, sentence or the like
  printf 'A fine film.\\nA waste of time.\\n' | bertsmith predict --model runs/sst2 --input -
      reads a text a line; a tab in a line makes it a pair
  bertsmith predict --model runs/sst2 --input reviews.csv.zst --output answers.jsonl
      the same answers in a file; after an interruption the same command goes on
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
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the answers there, in place of printing them; an interrupted job goes on where "
        "it stopped",
    )
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_precision(parser)
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
    add_job_options(parser)
    add_input(parser, named=True)


def run(args: argparse.Namespace) -> None:
    """Print the answers, each as soon as it is known, or write them to files."""
    _check(args)
    source = read_source(args.input, args.overrides)
    from tqdm import tqdm

    from bertsmith.errors import ConfigError
    from bertsmith.inference.part_answers import FORMS
    from bertsmith.inference.predictor import Predictor
    from bertsmith.inference.squad_files import SquadFiles, check_ids

    if args.glue_submission is not None:
        _write_submission(source, args)
        return
    if args.output is not None:
        _write_file(source, args)
        return
    predictor = Predictor.load(args.model, device=args.device, precision=args.precision)
    files = None if args.squad_output is None else SquadFiles(args.squad_output)
    if files is not None and predictor.task.name != "question_answering":
        raise ConfigError(
            f"--squad-output is for question_answering and the model's task is "
            f"{predictor.task.name}; remove it"
        )
    source = source.like(predictor.layout)
    if files is not None:
        check_ids(source)
    _check_format(args.format, predictor)
    written = FORMS[args.format]
    records = source.read("test")
    # A bar among answers on the same screen would be torn apart by them.
    has_bar = sys.stderr.isatty() and not sys.stdout.isatty()
    for answer in tqdm(predictor.predict(records), unit="record", disable=not has_bar):
        print(written(answer), flush=True)
        if files is not None:
            files.add(answer)
    _say_truncated(predictor.num_truncated, predictor)
    scored = f"--model {args.model}"
    if files is not None:
        scored = f"--predictions {files.write()[0]}"
    say_precision(args, args.model)
    print(f"next: bertsmith evaluate {scored} --data FILE", file=sys.stderr)


def _check(args: argparse.Namespace) -> None:
    """Refuse options that would not be read beside others."""
    from bertsmith.errors import ConfigError

    if args.output is None:
        for option, given in (("--restart", args.restart), ("--engine ray", args.engine == "ray")):
            if given:
                raise ConfigError(f"{option} is for answers in a file; name it with --output FILE")
        if args.workers is not None:
            raise ConfigError("--workers is for --engine ray; leave it out")
    for option in ("squad_output", "glue_submission"):
        if args.output is not None and getattr(args, option) is not None:
            name = option.replace("_", "-")
            raise ConfigError(f"--{name} says where the answers go; leave out --output")
    if args.glue_submission is not None:
        others = (("--squad-output", args.squad_output), ("--format conll", args.format == "conll"))
        for option, given in others:
            if given:
                raise ConfigError(
                    f"--glue-submission writes the answers as GLUE wants them; leave out {option}"
                )


def _check_format(form: str, predictor: Predictor) -> None:
    from bertsmith.errors import ConfigError

    if form == "conll" and predictor.task.name != "token_classification":
        raise ConfigError(
            f"--format conll is for words with tags, and the model is for {predictor.task.name}; "
            "leave it out"
        )


def _say_truncated(count: int, predictor: Predictor) -> None:
    if count:
        print(
            f"cut at the model's {predictor.max_length} wordpieces: {counted(count, 'record')}",
            file=sys.stderr,
        )


def _write_file(source: RecordSource, args: argparse.Namespace) -> None:
    import torch

    from bertsmith.export.model_fingerprint import model_fingerprint
    from bertsmith.inference.job import Job, refuse_input
    from bertsmith.inference.part_answers import PredictPart, open_predict_part
    from bertsmith.inference.predictor import Predictor
    from bertsmith.training.record_evaluation import batch_tokens_on

    refuse_input(args.output, source.file("test"))
    with workers_for_models(args.engine, args.workers, args.device) as workers:
        precision, reason = precision_of_job(args, workers.device)
        device = "cpu" if workers.is_remote else args.device
        predictor = Predictor.load(args.model, device=device, precision=precision)
        _check_format(args.format, predictor)
        source = source.like(predictor.layout)
        fingerprint = model_fingerprint(args.model)
        job = Job(
            args.output,
            {"verb": "predict", "model": fingerprint, "device": workers.device}
            | {"--format": args.format, "--precision": precision},
            can_continue=args.input != "-",
            restart=args.restart,
        )
        make: Callable[[], Answer] = functools.partial(PredictPart, predictor, args.format)
        if workers.is_remote:
            path = model_path(args.model)
            make = functools.partial(
                open_predict_part, path, fingerprint, workers.device, precision, args.format
            )
        batch_tokens = batch_tokens_on(torch.device(workers.device))
        count = run_job(job, source, make, workers, batch_tokens)
    _say_truncated(job.progress.num_truncated, predictor)
    if reason:
        print(f"precision: {precision}, since {reason}", file=sys.stderr)
    print(f"{counted(count, 'answer')} in {args.output}", file=sys.stderr)
    print(f"next: bertsmith evaluate --model {args.model} --data FILE", file=sys.stderr)


def _write_submission(source: RecordSource, args: argparse.Namespace) -> None:
    from bertsmith.inference.glue_submission import submission_files, write_glue_submission
    from bertsmith.inference.predictor import Predictor

    submission_files(source)  # what cannot be is said before the model is loaded
    predictor = Predictor.load(args.model, device=args.device, precision=args.precision)
    for path, count in write_glue_submission(predictor, source, args.glue_submission).items():
        print(f"{path}: {counted(count, 'answer')}", file=sys.stderr)
    say_precision(args, args.model)
    print(
        "next: put the files of all tasks into one .zip file and upload it at gluebenchmark.com",
        file=sys.stderr,
    )
