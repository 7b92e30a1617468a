"""`bertsmith serve`: models behind HTTP."""

from __future__ import annotations

import argparse
import sys

from bertsmith.cli.model_names import add_models, named_model
from bertsmith.cli.precision_option import add_precision, say_precision

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
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (8000)")
    parser.add_argument("--device", help="cpu or cuda; a GPU where there is one")
    add_precision(parser)
    batches = parser.add_argument_group("batches")
    batches.add_argument(
        "--batch-tokens", type=int, metavar="N", help="the most tokens to compute at once"
    )
    batches.add_argument(
        "--max-wait-ms",
        type=float,
        default=2.0,
        metavar="MS",
        help="how long the first text of a batch waits for others (2)",
    )
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-queue", type=int, default=4096, metavar="N", help="texts that wait, a model (4096)"
    )
    limits.add_argument(
        "--timeout", type=float, default=30, metavar="S", help="seconds a request may take (30)"
    )
    limits.add_argument(
        "--grace", type=float, default=30, metavar="S", help="seconds to finish in at SIGTERM (30)"
    )
    limits.add_argument(
        "--max-body-bytes", type=int, default=4 * 2**20, metavar="N", help="of a request (4 MiB)"
    )
    limits.add_argument(
        "--max-texts", type=int, default=1024, metavar="N", help="of a request (1024)"
    )
    limits.add_argument(
        "--max-characters", type=int, default=100_000, metavar="N", help="of a text (100000)"
    )
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
