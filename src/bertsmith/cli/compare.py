"""`bertsmith compare`: BERT beside GloVe, ELMo and GPT on the same text."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bertsmith.cli.word_options import add_word_options, chosen_word

if TYPE_CHECKING:
    from bertsmith.comparison.study import Study

HELP = "pre-train GloVe, ELMo, GPT and BERT on the same text, and compare them"
EXAMPLES = """examples:
  bertsmith compare --output runs/compare
      the demo's text, tiny sizes, two tasks made of that text: some minutes on a laptop
  bertsmith compare shards/train --eval shards/dev --data tasks --output runs/compare --minutes 5 \\
      --size mini --systems glove,gpt,bert --tasks sst2,squad finetune.train.epochs=2
      the same command again goes on where this one has stopped

systems: glove, elmo, gpt, gpt_bilstm, bert_no_nsp, bert
tasks:   with --data sst2, mrpc, ud-ewt, wnut17, squad; else source and capitals, of the demo's text
settings: pretrain.SECTION.KEY=VALUE for the recipes of pre-training, finetune.SECTION.KEY=VALUE for
those of the tasks; `bertsmith pretrain --settings` and `bertsmith finetune --settings` list them
"""
# Of the demo's text: five models of a minute, and 66 runs of some seconds.
DEMO_MINUTES, DEMO_SIZE, DEMO_SEQLEN, DEMO_LIMIT = 1.0, "tiny", 64, 400
MINUTES, SIZE = 5.0, "mini"
BATCH_TOKENS, BATCH_TOKENS_ON_A_GPU = 2048, 32768


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "shards",
        nargs="?",
        metavar="SHARDS",
        help="a folder written by `bertsmith prepare`; without it the demo's text is taken",
    )
    parser.add_argument("--eval", metavar="SHARDS", help="held-out text of the same vocabulary")
    parser.add_argument("--data", metavar="DIR", help="a folder with one folder for each task")
    parser.add_argument(
        "--output", default="runs/compare", metavar="DIR", help="where all goes (runs/compare)"
    )
    parser.add_argument("--systems", metavar="NAMES", help="which, with commas (all)")
    parser.add_argument("--tasks", metavar="NAMES", help="which, with commas (all)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of each task (3)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=float, help="how long to pre-train each system (5; of the demo's text 1)"
    )
    length.add_argument("--tokens", type=int, help="in place of it, how many tokens each reads")
    parser.add_argument("--size", help="the BERT that the others match: tiny, mini, ... (mini)")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="read the first N records of each file of a task"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="tasks that are learned at a time (1); eight share a GPU well where models are small",
    )
    add_word_options(parser)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings, see below")


def run(args: argparse.Namespace) -> int:
    """Compare, print the tables, and write the page."""
    from bertsmith.cli.main import Terminated
    from bertsmith.comparison.demo_data import write_demo_data
    from bertsmith.comparison.report import LookedAt, write_report
    from bertsmith.comparison.study import DATA
    from bertsmith.comparison.table import JSON, write_tables
    from bertsmith.errors import ConfigError, DataError

    if args.shards is not None and "=" in args.shards:  # there are none, and settings
        args.shards, args.overrides = None, [args.shards, *args.overrides]
    if args.workers < 1:
        raise ConfigError(f"--workers ({args.workers}) must be at least 1")
    asked = LookedAt(*chosen_word(args))
    study = _study(args)
    if args.shards is None or args.data is None:
        write_demo_data(study.output / DATA, _say, with_shards=args.shards is None)
    try:
        asked.check(study)
        looked_at: LookedAt | None = asked
    except DataError as error:
        if args.word is not None or args.sentences is not None:
            raise
        _say(f"no word is looked at in its sentences, since {error}; or leave it so")
        looked_at = None
    stopped_by: signal.Signals | None
    try:
        results = study.run(say=_say, workers=args.workers)
        stopped_by = results.stopped_by
    except KeyboardInterrupt:
        stopped_by = signal.SIGINT
    except Terminated:
        stopped_by = signal.SIGTERM
    if stopped_by is not None:
        _say(
            f"stopped by {stopped_by.name}; what has ended is kept; next: the same command goes on"
        )
        return 128 + stopped_by
    print(write_tables(study, results))
    _say(f"figures of every run: {study.output / JSON}")
    page = write_report(study, results, looked_at)
    _say(f"next: {page} in a browser")
    return 0


def _study(args: argparse.Namespace) -> Study:
    """What is asked for; nothing is written."""
    from bertsmith.comparison.demo_data import HELD_OUT_SHARDS, TRAIN_SHARDS, demo_tasks
    from bertsmith.comparison.downstream import tasks_in
    from bertsmith.comparison.plan import MAX_SEQLEN, Plan
    from bertsmith.comparison.study import DATA, Study
    from bertsmith.comparison.systems import chosen_systems
    from bertsmith.errors import ConfigError
    from bertsmith.training.parallelize import choose_device

    is_demo = args.shards is None
    if is_demo and args.eval is not None:
        raise ConfigError(f"--eval ({args.eval}) is given without SHARDS to train on; give both")
    if not is_demo and args.eval is None:
        raise ConfigError(f"SHARDS ({args.shards}) need held-out text beside them; give --eval")
    output = Path(args.output)
    data, settings = output / DATA, _settings(args.overrides)
    minutes = args.minutes
    if minutes is None and args.tokens is None:
        minutes = DEMO_MINUTES if is_demo else MINUTES
    on_a_gpu = choose_device().type == "cuda"
    plan = Plan(
        train=data / TRAIN_SHARDS if is_demo else Path(args.shards),
        held_out=data / HELD_OUT_SHARDS if is_demo else Path(args.eval),
        size=args.size or (DEMO_SIZE if is_demo else SIZE),
        minutes=minutes,
        tokens=args.tokens,
        batch_tokens=BATCH_TOKENS_ON_A_GPU if on_a_gpu else BATCH_TOKENS,
        max_seqlen=DEMO_SEQLEN if is_demo else MAX_SEQLEN,
        compiles=on_a_gpu,
        settings=settings["pretrain"],
    )
    names = _names(args.tasks)
    return Study(
        output=output,
        plan=plan,
        systems=chosen_systems(_names(args.systems)),
        tasks=demo_tasks(data, names) if args.data is None else tasks_in(Path(args.data), names),
        num_seeds=args.seeds,
        limit=DEMO_LIMIT if args.limit is None and args.data is None else args.limit,
        settings=settings["finetune"],
    )


def _settings(overrides: list[str]) -> dict[str, dict[str, object]]:
    """What `key=value` says of the two kinds of recipes.

    Raises:
        ConfigError: one is of neither.
    """
    from bertsmith.errors import ConfigError
    from bertsmith.training.recipe_file import apply_overrides

    kinds: dict[str, dict[str, object]] = {"pretrain": {}, "finetune": {}}
    for override in overrides:
        parts = override.partition("=")[0].split(".")
        if parts[0] not in kinds or len(parts) != 3:
            raise ConfigError(
                f"{override!r} must begin with pretrain or finetune and name a section and a key, "
                "such as finetune.train.epochs=2"
            )
    return kinds | apply_overrides(kinds, overrides)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
