"""A server as a process: it starts, finishes what it has accepted, and says what is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np
import openai
import pytest
from tests.serving.conftest import error_of, running

from bertsmith.cli.main import build_parser, main, parse
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.inference.embedder import Embedder
from bertsmith.serving.limits import Limits
from bertsmith.serving.server import read_api_keys

Capture = pytest.CaptureFixture[str]
# Whatever is fastest on this processor.
EXACTLY = ("--precision", "fp32")


def test_it_says_where_it_is_and_what_to_do_next(folders: dict[str, Path]) -> None:
    with running("--model", str(folders["base"]), "--model", f"x={folders['classes']}") as server:
        assert server.first.startswith("base, x at http://127.0.0.1:")
        assert "\x1b" not in server.first
        assert server.next == f"next: {server.url} in a browser, or curl {server.url}/v1/models\n"
        assert httpx2.get(f"{server.url}/health/live").json() == {"status": "live"}
        assert httpx2.get(f"{server.url}/health/ready").json() == {"status": "ready"}
        answer = httpx2.get(f"{server.url}/v1/models")
        assert [each["id"] for each in answer.json()["data"]] == ["base", "x"]
        assert "server" not in answer.headers
        assert httpx2.head(f"{server.url}/").status_code == 200
        server.process.send_signal(signal.SIGINT)
        assert server.ended() == (0, "", "")


def test_sigterm_finishes_what_was_accepted(folders: dict[str, Path]) -> None:
    """The first text of a batch waits a second here, and SIGTERM comes while it does."""
    with running("--model", str(folders["base"]), *EXACTLY, "--max-wait-ms", "1000") as server:
        answers: list[httpx2.Response] = []

        def ask() -> None:
            body = {"input": "a good film"}
            answers.append(httpx2.post(f"{server.url}/v1/embeddings", json=body, timeout=20))

        thread = threading.Thread(target=ask)
        thread.start()
        deadline = time.monotonic() + 20
        while 'bertsmith_queue_texts{model="base"} 1.0' not in (
            httpx2.get(f"{server.url}/metrics").text
        ):
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGTERM)
        thread.join(20)
        assert server.ended() == (0, "", "")
        assert answers[0].status_code == 200
        vector = answers[0].json()["data"][0]["embedding"]
        assert np.allclose(vector, Embedder.load(folders["base"]).embed(["a good film"]), atol=1e-5)
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{server.url}/health/live")


def test_what_is_not_finished_in_the_grace_period_is_given_up(folders: dict[str, Path]) -> None:
    """A body that never comes to its end keeps its request open."""
    arguments = ["--grace", "1", "--timeout", "60", "--model", str(folders["base"])]
    with running(*arguments) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
            )
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            start = time.monotonic()
            status, out, _ = server.ended()
        assert (status, out) == (0, "")
        assert time.monotonic() - start < 10


def test_openais_client_gets_vectors_and_errors(folders: dict[str, Path], tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    keys.write_text("# of the tests\nkey-1\n\nkey-2\n")
    texts = ["a good film", "paris is the capital"]
    with running("--model", str(folders["base"]), *EXACTLY, "--api-keys-file", str(keys)) as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="key-2", max_retries=0) as client:
            found = client.embeddings.create(model="base", input=texts)
            plain = client.embeddings.create(model="base", input=texts[0], encoding_format="float")
            assert [each.id for each in client.models.list()] == ["base"]
            assert client.models.retrieve("base").owned_by == "bertsmith"
            with pytest.raises(openai.NotFoundError, match="'other' is not served here"):
                client.embeddings.create(model="other", input="a")
            with pytest.raises(openai.UnprocessableEntityError, match=r"dimensions \(7\) must be"):
                client.embeddings.create(model="base", input="a", dimensions=7)
        expected = Embedder.load(folders["base"]).embed(texts)
        assert np.allclose([each.embedding for each in found.data], expected, atol=1e-5)
        assert np.allclose(plain.data[0].embedding, expected[0], atol=1e-5)
        assert (found.model, found.usage.prompt_tokens) == ("base", 11)
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="no", max_retries=0) as client,
            pytest.raises(openai.AuthenticationError, match="needs an API key"),
        ):
            client.models.list()


def test_limits_of_the_command_line_hold(folders: dict[str, Path]) -> None:
    options = "--max-texts 2 --max-characters 50 --max-body-bytes 500 --max-queue 2 --timeout 9"
    options += " --batch-tokens 64 --device cpu --cors-origin https://a.example"
    with running("--model", str(folders["base"]), *options.split()) as server:
        url = f"{server.url}/v1/embeddings"
        assert "3 texts and at most 2" in error_of(httpx2.post(url, json={"input": ["a"] * 3}))
        assert "51 characters" in error_of(httpx2.post(url, json={"input": "a" * 51}))
        large = httpx2.post(url, content=b"a" * 501)
        assert large.status_code == 413
        assert "500 bytes" in error_of(large)
        fitting = httpx2.post(url, json={"input": "a"}, headers={"Origin": "https://a.example"})
        assert fitting.status_code == 200
        assert fitting.headers["access-control-allow-origin"] == "https://a.example"


def test_a_much_too_large_body_is_answered_and_the_server_goes_on(
    folders: dict[str, Path],
) -> None:
    with running("--model", str(folders["base"]), "--max-body-bytes", "1000") as server:
        for content in (b"a" * 3500, iter([b"a" * 1000] * 4)):
            answer = httpx2.post(f"{server.url}/v1/embeddings", content=content)
            assert answer.status_code == 413
        with contextlib.suppress(httpx2.TransportError):
            httpx2.post(f"{server.url}/v1/embeddings", content=b"a" * 10_000_000)
        assert httpx2.get(f"{server.url}/health/ready").status_code == 200


def test_a_port_that_is_taken_is_one_sentence(folders: dict[str, Path], capsys: Capture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", "--model", str(folders["base"]), "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"bertsmith: cannot listen at 127.0.0.1, port {port} (Address already in use); give "
        "another --host or --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "port (70000) must be from 0 to 65535"),
        (["--max-wait-ms", "-1"], "max_wait_ms (-1.0) must be from 0 to 1000"),
        (["--batch-tokens", "0"], "batch_tokens (0) must be at least 1"),
        (["--max-tokens", "0"], "max_tokens (0) must be above 0 and finite"),
        (["--max-texts", "9999"], "max_queue (4096) must be at least max_texts (9999)"),
        (["--grace", "0"], "grace_seconds (0.0) must be above 0"),
        (["--grace", "inf"], "grace_seconds (inf) must be above 0 and finite"),
        (["--host", "256.1.1.1"], "cannot listen at 256.1.1.1, port 8000"),
        (["--host", "a..b"], "cannot listen at a..b, port 8000"),
        (["--cors-origin", "https://a.example/"], "cors_origin ('https://a.example/') must be as"),
        (["--cors-origin", "a.example"], "cors_origin ('a.example') must be as browsers send it"),
        (["--device", "quantum"], "device ('quantum') cannot be used"),
        (["--api-keys-file", "no.txt"], "no.txt cannot be read (No such file or directory)"),
        (["--model", "a=one", "--model", "a=two"], "the models' names (missing, a, a) must differ"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    assert main(["serve", "--model", "missing", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"bertsmith: {message}")
    assert error.count("\n") == 1


def test_each_limit_is_an_option_that_the_documents_name() -> None:
    options = parse(build_parser("serve"), ["serve", "--model", "x"])
    given = {f"max_{name}" for name in ("body_bytes", "texts", "characters", "tokens", "queue")}
    named = {name: name for name in given} | {
        "timeout_seconds": "timeout",
        "grace_seconds": "grace",
    }
    assert {name: getattr(options, option) for name, option in named.items()} == (
        dataclasses.asdict(Limits())
    )
    table = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    for name, option in named.items():
        (shown,) = re.findall(
            rf"^\| `--{option.replace('_', '-')}` \| ([\d,]+)", table, re.MULTILINE
        )
        unit = 2**20 if name == "max_body_bytes" else 1
        assert int(shown.replace(",", "")) * unit == getattr(Limits(), name)


def test_a_name_cannot_say_anything_to_the_terminal(folders: dict[str, Path]) -> None:
    with running("--model", f"a\x1b[31m={folders['base']}") as server:
        assert server.first.startswith(r"'a\x1b[31m' at http://127.0.0.1:")


def test_who_connects_while_models_are_loaded_is_refused_and_not_kept_waiting(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """So that a proxy asks the other server; the port is taken all the same."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def loading(*arguments: object, **settings: object) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=20)
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        raise CheckpointError("enough was seen")

    monkeypatch.setattr("bertsmith.serving.server.open_model", loading)
    assert main(["serve", "--model", str(folders["base"]), "--port", str(port)]) == 2
    assert capsys.readouterr().err == "bertsmith: enough was seen\n"


def connected(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20)


@pytest.mark.parametrize(
    ("is_first", "sent"),
    [
        (True, b""),
        (True, b"GET /health/li"),
        (True, b"GET /health/live HTTP/1.1\r\nHost: x\r\n"),
        (False, b"GET /health/li"),
        (False, b"GET /health/live HTTP/1.1\r\nHost: x\r\n"),
    ],
)
def test_who_does_not_say_what_it_wants_is_left(
    is_first: bool, sent: bytes, folders: dict[str, Path]
) -> None:
    with (
        running("--model", str(folders["base"]), "--timeout", "0.5") as server,
        connected(server.url) as connection,
    ):
        if not is_first:
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(4096)
        connection.sendall(sent)
        assert connection.recv(4096) == b""


def test_what_is_no_http_gets_an_error_of_the_same_form(folders: dict[str, Path]) -> None:
    with running("--model", str(folders["base"])) as server:
        for sent in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            with connected(server.url) as connection:
                connection.sendall(sent)
                answer = connection.makefile("rb").read()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ")
            assert json.loads(body)["error"]["message"].startswith("the request cannot be read")


def test_silent_connections_make_room(folders: dict[str, Path]) -> None:
    """Files for 36 connections, of a hundred that say nothing while others ask."""
    arguments = ["--timeout", "60", "--model", str(folders["base"])]
    with (
        running(*arguments, before=["sh", "-c", 'ulimit -n 200; exec "$@"', "sh"]) as server,
        contextlib.ExitStack() as stack,
        httpx2.Client() as early,
    ):
        assert early.get(f"{server.url}/health/live").status_code == 200
        silent = [stack.enter_context(connected(server.url)) for _ in range(100)]
        for _ in range(3):
            assert httpx2.get(f"{server.url}/health/live", timeout=20).status_code == 200
        assert silent[0].recv(1) == b""  # the eldest has been left
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == (0, "", "")


def test_a_request_with_two_lengths_is_refused(folders: dict[str, Path]) -> None:
    with running("--model", str(folders["base"])) as server, connected(server.url) as connection:
        connection.sendall(
            b"POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'e\r\n{"input": "a"}\r\n0\r\n\r\n'
        )
        answer = connection.makefile("rb").read()  # to the end, since it is closed
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"both Content-Length and Transfer-Encoding" in answer


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path, capsys: Capture) -> None:
    assert main(["serve", "--port", "0", "--model", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_extra_is_one_sentence(folders: dict[str, Path]) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from bertsmith.cli.main import main\n"
        f"sys.exit(main(['serve', '--model', {str(folders['base'])!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "bertsmith: serving needs the package uvicorn, which is not installed; "
        "pip install 'bertsmith[serve]'\n"
    )


def test_a_file_of_keys_must_have_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("# none\n\n")
    with pytest.raises(ConfigError, match="holds no keys; write one a line"):
        read_api_keys(path)
    path.write_text("\ufeff  first \r\n# second\n  # old\nth!rd\n\n", encoding="utf-8")
    assert read_api_keys(path) == ["first", "th!rd"]
    for key in ("two words", "schlüssel", "a\u2028b", "a\x1b"):
        path.write_text(f"# a comment\nfirst\n{key}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=r"keys.txt:3: a key must be of printable ASCII"):
            read_api_keys(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_api_keys(path)
