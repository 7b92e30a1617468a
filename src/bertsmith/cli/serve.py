"""`bertsmith serve`: models behind HTTP."""

from __future__ import annotations

import argparse
import sys

from bertsmith.cli.model_names import add_models, named_model
from bertsmith.cli.precision_option import add_precision, say_precision
from bertsmith.serving.defaults import (
    GRACE_SECONDS,
    HOST,
    MAX_BODY_BYTES,
    MAX_CHARACTERS,
    MAX_QUEUE,
    MAX_TEXTS,
    MAX_TOKENS,
    MAX_WAIT_MS,
    PORT,
    TIMEOUT_SECONDS,
)

HELP = "answer over HTTP: predictions, masked words, vectors and wordpieces of several models"
EXAMPLES = """examples:
  bertsmith serve --model runs/sst2
      answers at http://127.0.0.1:8000 until it is stopped, and shows a page to a browser there;
      docs/serving.md lists the addresses
  bertsmith serve --model films=runs/sst2 --model base=runs/base --port 9000 \\
      --api-keys-file keys.txt
      two models by names of their own, for clients that send one of the keys"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_models(parser)
    parser.add_argument("--host", default=HOST, help=f"where to listen ({HOST})")
    parser.add_argument("--port", type=int, default=PORT, help=f"0 takes a free one ({PORT})")
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_precision(parser)
    batches = parser.add_argument_group("batches")
    batches.add_argument(
        "--batch-tokens", type=int, metavar="N", help="the most tokens to compute at once"
    )
    batches.add_argument(
        "--max-wait-ms",
        type=float,
        default=MAX_WAIT_MS,
        metavar="MS",
        help=f"how long the first text of a batch waits for others ({MAX_WAIT_MS:g})",
    )
    limits = parser.add_argument_group("limits")
    for option, default, help_text in (
        ("--max-queue", MAX_QUEUE, f"texts that wait, a model ({MAX_QUEUE})"),
        ("--max-body-bytes", MAX_BODY_BYTES, f"of a request ({MAX_BODY_BYTES // 2**20} MiB)"),
        ("--max-texts", MAX_TEXTS, f"of a request ({MAX_TEXTS})"),
        ("--max-characters", MAX_CHARACTERS, f"of a text ({MAX_CHARACTERS})"),
        ("--max-tokens", MAX_TOKENS, f"that are read for a text, with all windows ({MAX_TOKENS})"),
    ):
        limits.add_argument(option, type=int, default=default, metavar="N", help=help_text)
    for option, seconds, help_text in (
        ("--timeout", TIMEOUT_SECONDS, f"seconds a request may take ({TIMEOUT_SECONDS:g})"),
        ("--grace", GRACE_SECONDS, f"seconds to finish in at SIGTERM ({GRACE_SECONDS:g})"),
    ):
        limits.add_argument(option, type=float, default=seconds, metavar="S", help=help_text)
    access = parser.add_argument_group("access")
    access.add_argument(
        "--api-keys-file", metavar="FILE", help="keys, one a line, of which clients must send one"
    )
    access.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let scripts of pages from there ask, such as https://example.org; may be repeated",
    )


def run(args: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    from bertsmith.errors import ConfigError

    try:
        from bertsmith.serving.limits import Limits
        from bertsmith.serving.server import ServerSettings, read_api_keys, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "bertsmith":
            raise
        raise ConfigError(
            f"serving needs the package {error.name}, which is not installed; "
            "pip install 'bertsmith[serve]'"
        ) from None

    limits = Limits(
        max_body_bytes=args.max_body_bytes,
        max_texts=args.max_texts,
        max_characters=args.max_characters,
        max_tokens=args.max_tokens,
        max_queue=args.max_queue,
        timeout_seconds=args.timeout,
        grace_seconds=args.grace,
    )
    models = [named_model(each) for each in args.model]
    settings = ServerSettings(
        models=models,
        host=args.host,
        port=args.port,
        device=args.device,
        precision=args.precision,
        batch_tokens=args.batch_tokens,
        max_wait_ms=args.max_wait_ms,
        limits=limits,
        api_keys=[] if args.api_keys_file is None else read_api_keys(args.api_keys_file),
        cors_origins=args.cors_origin,
    )
    # A name may hold what a terminal would obey.
    names = ", ".join(name if name.isprintable() else ascii(name) for name, _ in models)

    def started(address: str) -> None:
        print(f"{names} at {address}", file=sys.stderr)
        say_precision(args, *(folder for _, folder in models))
        print(
            f"next: {address} in a browser, or curl {address}/v1/models",
            file=sys.stderr,
            flush=True,
        )

    serve(settings, on_start=started)
