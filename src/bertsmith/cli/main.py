"""`bertsmith VERB ...`: finds the verb and turns errors into one sentence and exit status 2."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType, ModuleType
from typing import Any, NoReturn

from bertsmith.errors import BertsmithError, ConfigError
from bertsmith.version import own_version

# In the order of a model's life; `--help` shows them so.
VERBS = (
    "vocab",
    "tokenize",
    "prepare",
    "pretrain",
    "finetune",
    "sweep",
    "compare",
    "benchmark",
    "evaluate",
    "predict",
    "fill-mask",
    "score",
    "zero-shot",
    "embed",
    "features",
    "word-in-context",
    "serve",
    "export",
    "convert",
    "extend",
    "info",
    "demo",
)


_SETTING = re.compile(r"[^-=][^=]*=")
_NEGATIVE_NUMBERS = re.compile(r"-\d+(,-?\d+)+")


class Terminated(BaseException):
    """SIGTERM, as `KeyboardInterrupt` is SIGINT."""


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        # Abbreviated, an option of another verb is taken for one of this: --seed for --seeds.
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Answer bad use with one sentence in place of the whole usage."""
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def build_parser(verb: str | None = None) -> argparse.ArgumentParser:
    """Make the parser; only the named verb's module is read, so that `--help` is quick."""
    parser = _Parser(
        prog="bertsmith",
        description="Make and use BERT: from raw text to predictions.",
        epilog="`bertsmith VERB --help` shows a verb's options and two worked examples.",
    )
    parser.add_argument("--version", action="version", version=own_version())
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    for name in VERBS if verb is None else [verb]:
        module = _module(name)
        verb_parser = verbs.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb_parser)
        verb_parser.set_defaults(run=module.run)
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse, and take `key=value` wherever it stands, which argparse takes in one place alone.

    A list of negative numbers, as in `--layers -1,-2`, looks like an option to it.
    """
    joined: list[str] = []
    for argument in arguments:
        if _NEGATIVE_NUMBERS.fullmatch(argument) and joined and joined[-1].startswith("--"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    args, rest = parser.parse_known_args(joined)
    if rest:
        takes_settings = hasattr(args, "overrides")
        unknown = [each for each in rest if not (takes_settings and _SETTING.match(each))]
        if unknown:
            kind = "option" if unknown[0].startswith("-") else "argument"
            print(
                f"bertsmith {args.verb}: {unknown[0]!r} is no {kind} of this verb"
                f"{'; a setting is key=value' if takes_settings else ''}; see `bertsmith "
                f"{args.verb} --help`",
                file=sys.stderr,
            )
            parser.exit(2)
        args.overrides = [*args.overrides, *rest]
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        close = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"did you mean {close[0]}?" if close else f"the verbs are {', '.join(VERBS)}"
        print(f"bertsmith: {verb!r} is not a verb; {hint}", file=sys.stderr)
        return 2
    try:
        args = parse(build_parser(verb), arguments)
        with _exit_at_sigterm():
            status: int | None = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BertsmithError as error:
        if not _is_said_by_another(error):
            print(f"bertsmith: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _drop_output()  # whoever read it has enough
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"bertsmith: {where}{error.strerror or error}", file=sys.stderr)
        _drop_output()
        return 2
    except Terminated:
        print("bertsmith: stopped by SIGTERM", file=sys.stderr)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print("bertsmith: interrupted", file=sys.stderr)
        return 130
    return status or 0


@contextlib.contextmanager
def _exit_at_sigterm() -> Iterator[None]:
    """Let SIGTERM unwind the program, so that workers end and what they share is given back.

    Training, which saves first, has a handler of its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    raise Terminated


def _is_said_by_another(error: BertsmithError) -> bool:
    """Whether the first of torchrun's processes on this machine has the same to say.

    All of them read the same recipe; what is wrong with data or a checkpoint may be one's own.
    """
    is_one_of_several = "TORCHELASTIC_RUN_ID" in os.environ
    is_another = is_one_of_several and os.environ.get("LOCAL_RANK", "0") != "0"
    return is_another and isinstance(error, ConfigError)


def _drop_output() -> None:
    """Keep Python from flushing what cannot be written again at exit."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError):  # a program that calls `main` may have put its own there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"bertsmith.cli.{verb.replace('-', '_')}")
