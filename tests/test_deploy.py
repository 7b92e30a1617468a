"""The files of deploy/ with the programs that read them: nginx, systemd, Kubernetes' schemas."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import kubernetes_validate
import pytest
import yaml
from tests.serving.conftest import Running, error_of, folders, running

from bertsmith.cli.main import build_parser, parse
from bertsmith.serving.connections import KEEP_ALIVE_SECONDS
from bertsmith.serving.guards import OPEN
from bertsmith.serving.limits import Limits

DEPLOY = Path(__file__).parents[1] / "deploy"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
LIMITS = Limits()

__all__ = ["folders"]  # a fixture of the tests of serving


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """The text with changes, each of which must find its place."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def serve_arguments(call: list[str]) -> Any:
    return parse(build_parser("serve"), call)


class Nginx:
    """nginx with our file, in front of two ports of which servers may take one."""

    def __init__(self, folder: Path) -> None:
        self.http, self.https, *self.servers = (free_port() for _ in range(4))
        certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        made += ["-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", str(key)]
        made += ["-addext", "subjectAltName=DNS:localhost", "-out", str(certificate)]
        subprocess.run(made, check=True, capture_output=True)
        ours = replaced(
            (DEPLOY / "nginx.conf").read_text(),
            ("127.0.0.1:8000", f"127.0.0.1:{self.servers[0]}"),
            ("127.0.0.1:8001", f"127.0.0.1:{self.servers[1]}"),
            ("listen 80", f"listen 127.0.0.1:{self.http}"),
            ("listen 443 ", f"listen 127.0.0.1:{self.https} "),
            ("listen [::]:80", f"listen [::1]:{self.http}"),
            ("listen [::]:443 ", f"listen [::1]:{self.https} "),
            ("bert.example.org", "localhost"),
            ("/etc/ssl/bertsmith/fullchain.pem", str(certificate)),
            ("/etc/ssl/bertsmith/privkey.pem", str(key)),
        )
        (folder / "bertsmith.conf").write_text(ours)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        main = [
            "daemon off;",
            "user root;" if os.geteuid() == 0 else "",  # who may read the test's folder
            f"pid {folder}/nginx.pid;",
            "error_log stderr;",
            "events {}",
            "http {",
            "access_log off;",
            *(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
            f"include {folder}/bertsmith.conf;",
            "}",
        ]
        (folder / "nginx.conf").write_text("\n".join(main))
        self.command = [str(NGINX), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
        trusted = ssl.create_default_context(cafile=str(certificate))
        self.client = httpx2.Client(
            base_url=f"https://localhost:{self.https}", verify=trusted, timeout=60
        )
        self.client.headers |= {
            "Authorization": "Bearer secret",
            "Content-Type": "application/json",
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True) as process:
            try:
                deadline = time.monotonic() + 60
                while process.poll() is None and time.monotonic() < deadline:
                    with (
                        contextlib.suppress(OSError),
                        socket.create_connection(("127.0.0.1", self.https)),
                    ):
                        break
                    time.sleep(0.02)
                assert process.poll() is None, process.stderr and process.stderr.read()
                with self.client:
                    yield
            finally:
                process.terminate()


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Nginx]:
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed (apt-get install nginx openssl)")
    server = Nginx(tmp_path)
    with server.running():
        yield server


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text("secret\n")
    return path


@contextlib.contextmanager
def serving(
    nginx: Nginx, folders: dict[str, Path], keys: Path, place: int = 0, *more: str
) -> Iterator[Running]:
    arguments = ["--model", f"m={folders['base']}", "--api-keys-file", str(keys)]
    with running(*arguments, "--port", str(nginx.servers[place]), *more) as server:
        yield server


def embed(client: httpx2.Client, text: str = "a good film") -> httpx2.Response:
    return client.post("/v1/embeddings", json={"input": text})


def test_nginx_lets_through_what_is_meant_for_everyone(
    nginx: Nginx, folders: dict[str, Path], keys: Path
) -> None:
    with serving(nginx, folders, keys) as server:
        answer = embed(nginx.client)
        assert answer.status_code == 200
        assert len(answer.json()["data"][0]["embedding"]) == 32
        assert nginx.client.get("/v1/models").json()["data"][0]["id"] == "m"
        assert nginx.client.get("/health/ready").json() == {"status": "ready"}
        assert nginx.client.get("/openapi.json").status_code == 200
        assert re.fullmatch("nginx", answer.headers["server"])
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        # The server's own errors come as they are.
        wrong = nginx.client.post("/v1/embeddings", content=b"{")
        assert (wrong.status_code, "JSON" in error_of(wrong)) == (400, True)
        stranger = nginx.client.get("/v1/models", headers={"Authorization": "Bearer other"})
        assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, "Bearer")
        # Figures are inside.
        inside = httpx2.get(f"{server.url}/metrics", headers={"Authorization": "Bearer secret"})
        assert inside.status_code == 200
        for path in ("/metrics", "/health/live", "/", "/v1/../metrics", "/%6detrics"):
            refused = nginx.client.get(path)
            assert refused.status_code == 404, path
            assert error_of(refused) == "there is nothing at this address"


def test_nginx_sends_plain_http_elsewhere(nginx: Nginx) -> None:
    answer = httpx2.get(
        f"http://127.0.0.1:{nginx.http}/v1/models?x=1", headers={"Host": "localhost"}
    )
    assert answer.status_code == 308
    assert answer.headers["location"] == "https://localhost/v1/models?x=1"
    assert answer.headers["server"] == "nginx"  # and not which one


def test_the_lines_for_the_playground_open_it(
    tmp_path: Path, folders: dict[str, Path], keys: Path
) -> None:
    if NGINX is None or shutil.which("openssl") is None:
        pytest.skip("nginx or openssl is not installed (apt-get install nginx openssl)")
    server = Nginx(tmp_path)
    ours = tmp_path / "bertsmith.conf"
    text, count = re.subn(
        r"(?m)^    # (location = / \{|    \w.*;|\})$", r"    \1", ours.read_text()
    )
    assert count == 4
    ours.write_text(text)
    with server.running(), serving(server, folders, keys):
        assert server.client.get("/").headers["content-type"].startswith("text/html")
        assert server.client.get("/metrics").status_code == 404


def test_nginx_says_nothing_to_who_asks_for_another_host(nginx: Nginx) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.get(f"http://127.0.0.1:{nginx.http}/", headers={"Host": "evil.example"})
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", nginx.https)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        trusting.wrap_socket(plain, server_hostname="evil.example")


def test_one_address_may_not_hold_many_connections(nginx: Nginx) -> None:
    """Each of these has sent the head of a request, whose body nginx waits for."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    head = (
        b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    )
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", nginx.https)))
            secure = stack.enter_context(trusting.wrap_socket(plain, server_hostname="localhost"))
            secure.sendall(head)
        deadline = time.monotonic() + 20
        while (answer := nginx.client.get("/v1/models")).status_code != 429:
            assert time.monotonic() < deadline
        assert "too many requests" in error_of(answer)


def test_a_request_that_brings_down_a_server_is_not_sent_to_the_other(nginx: Nginx) -> None:
    """Two servers that close what they are asked; a POST reaches one of them alone."""
    asked: list[int] = []

    def fall(place: int, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    if connection.recv(4096):
                        asked.append(place)

    with contextlib.ExitStack() as stack:
        for place, port in enumerate(nginx.servers):
            listening = socket.create_server(("127.0.0.1", port))
            stack.callback(listening.close)
            stack.callback(listening.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=fall, args=(place, listening), daemon=True).start()
        answer = embed(nginx.client)
    assert answer.status_code == 503
    assert len(asked) == 1


def test_nginx_takes_bodies_as_large_as_the_server_does(
    nginx: Nginx, folders: dict[str, Path], keys: Path
) -> None:
    with serving(nginx, folders, keys):
        body = b'{"input": "a good film"}'
        for size, status in ((LIMITS.max_body_bytes, 200), (LIMITS.max_body_bytes + 1, 413)):
            answer = nginx.client.post("/v1/embeddings", content=body.ljust(size))
            assert answer.status_code == status
        assert "the body is larger than 4 MiB; send the texts" in error_of(answer)


def test_a_full_queue_says_when_to_come_again(
    nginx: Nginx, folders: dict[str, Path], keys: Path
) -> None:
    """The only place is taken by a text that waits for others for a second."""
    crowded = ("--max-queue", "1", "--max-texts", "1", "--max-wait-ms", "1000")
    with (
        serving(nginx, folders, keys, 0, *crowded),
        ThreadPoolExecutor(4) as pool,
    ):
        answers = list(pool.map(lambda _: embed(nginx.client), range(4)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert statuses[-1] == 429
    full = next(answer for answer in answers if answer.status_code == 429)
    assert full.json()["error"]["code"] == "queue_full"
    assert int(full.headers["retry-after"]) >= 1


def test_one_address_may_not_ask_all_the_time(
    nginx: Nginx, folders: dict[str, Path], keys: Path
) -> None:
    with serving(nginx, folders, keys), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: nginx.client.get("/v1/models"), range(200)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 40 <= len(answers) - len(refused) < 200
        assert "too many requests from this address" in error_of(refused[0])
        assert refused[0].headers["retry-after"] == "1"
        # Whoever looks whether it is there is not counted.
        assert nginx.client.get("/health/ready").status_code == 200


def test_no_server_is_an_answer_too(nginx: Nginx) -> None:
    answer = embed(nginx.client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert error_of(answer) == "the server is not there; come again in a few seconds"


def test_no_request_is_lost_in_an_upgrade(
    nginx: Nginx, folders: dict[str, Path], keys: Path
) -> None:
    """The new server is ready before the old one is told to stop, while requests go on."""
    statuses: list[int] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.wait(0.1):  # fewer a second than an address may
            statuses.append(embed(nginx.client).status_code)

    with serving(nginx, folders, keys) as old:
        thread = threading.Thread(target=ask)
        thread.start()
        try:
            with serving(nginx, folders, keys, 1):
                time.sleep(1)
                old.process.send_signal(signal.SIGTERM)
                assert old.ended()[0] == 0
                since = len(statuses)
                time.sleep(1)
                is_over.set()
                thread.join()
        finally:
            is_over.set()
            thread.join()
    assert len(statuses) > since > 0
    assert set(statuses) == {200}


def test_what_waits_outside_waits_longer_than_the_server() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    for name in ("proxy_read_timeout", "proxy_send_timeout"):
        assert int(re.findall(rf"{name} (\d+)s;", nginx)[0]) > LIMITS.timeout_seconds
    assert f"client_max_body_size {LIMITS.max_body_bytes >> 20}m;" in nginx
    assert int(re.findall(r"keepalive_timeout (\d+)s;", nginx)[0]) < KEEP_ALIVE_SECONDS
    unit = (DEPLOY / "bertsmith.service").read_text()
    assert int(re.findall(r"LimitNOFILE=(\d+)", unit)[0]) > 4096 + 200
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > LIMITS.grace_seconds
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    pause = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + LIMITS.grace_seconds


def test_the_unit_starts_a_server() -> None:
    unit = (DEPLOY / "bertsmith.service").read_text()
    call = re.findall(r"ExecStart=(.*)", unit)[0].replace("%i", "8000").split()
    assert call[0] == "/opt/bertsmith/current/bin/bertsmith"
    args = serve_arguments(call[1:])
    assert (args.verb, args.port, args.host) == ("serve", 8000, "127.0.0.1")
    assert args.api_keys_file == "${CREDENTIALS_DIRECTORY}/keys"


def test_systemd_understands_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (apt-get install systemd)")
    unit = tmp_path / "bertsmith@8000.service"
    program = ("/opt/bertsmith/current/bin/bertsmith", str(shutil.which("true")))
    unit.write_text(replaced((DEPLOY / "bertsmith.service").read_text(), program))

    def analyze(*arguments: str) -> str:
        command = ["systemd-analyze", *arguments, str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stderr

    assert str(unit.name) not in analyze("verify", "--man=no")
    analyze("security", "--offline=yes", "--threshold=20", "--no-pager")  # of 100


def documents() -> dict[str, dict[str, Any]]:
    """The manifest's objects by their kind."""
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return {each["kind"]: each for each in found}


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
def test_kubernetes_takes_the_manifest(version: str) -> None:
    """By the published schemas, where a field that is not known is an error."""
    assert set(documents()) == {"Deployment", "Service", "PodDisruptionBudget"}
    for document in documents().values():
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(
    "change",
    [("startupProbe", "startProbe"), ("periodSeconds: 5", "periodSeconds: soon")],
)
def test_the_schemas_see_mistakes(change: tuple[str, str]) -> None:
    text = replaced((DEPLOY / "kubernetes.yaml").read_text(), change)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(next(yaml.safe_load_all(text)), "1.29", strict=True)


def test_the_manifests_parts_fit_each_other_and_the_server() -> None:
    found = documents()
    deployment = found["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["minAvailable"] < deployment["replicas"]
    server, install = pod["containers"][0], pod["initContainers"][0]
    assert f"--constraint {mounts_of(install)['files']}/constraints.txt" in install["args"][0]
    args = serve_arguments(server["args"])
    assert server["ports"] == [{"name": "http", "containerPort": args.port}]
    assert found["Service"]["spec"]["ports"][0]["targetPort"] == "http"
    assert args.host == "0.0.0.0"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["httpGet"]["path"] in OPEN
        assert server[probe]["httpGet"]["port"] == "http"
    volumes = {volume["name"] for volume in pod["volumes"]}
    for container in (server, install):
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert set(mounts) <= volumes
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"]
        assert not confined["allowPrivilegeEscalation"]
        assert confined["capabilities"] == {"drop": ["ALL"]}
    paths = [args.model[0].partition("=")[2], args.api_keys_file, server["command"][0]]
    for path, mount in zip(paths, ("files", "keys", "program"), strict=True):
        assert path.startswith(f"{mounts_of(server)[mount]}/")
    threads = {each["name"]: each["value"] for each in server["env"]}["OMP_NUM_THREADS"]
    assert threads == server["resources"]["requests"]["cpu"]
    assert json.loads(json.dumps(pod["securityContext"]))["runAsNonRoot"] is True


def mounts_of(container: dict[str, Any]) -> dict[str, str]:
    return {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
