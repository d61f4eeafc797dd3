"""What may pass by itself when a database is dumped, and what needs a person."""

import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

STEP = runpy.run_path(str(Path(__file__).parents[2] / "playbooks" / "action_plugins" / "step.py"))
DUMP = STEP["load"]("database_dump")


@contextmanager
def s3(status: int, code: str) -> Iterator[str]:
    """An S3 that refuses every upload; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(503, "SlowDown", True), (403, "AccessDenied", False)],
)
def test_an_upload_that_s3_refuses_is_classified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, retryable: bool
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    file = tmp_path / "x.dump"
    file.write_bytes(b"x" * 100)
    with s3(status, code) as endpoint:
        bucket = DUMP.Bucket("s3://dumps/p", "3/7", tmp_path, {"endpoint": endpoint, "region": "eu-west-1"})
        with pytest.raises(DUMP.Failure) as caught:
            bucket.keep(file, "x.dump")
    answer = caught.value.answer
    assert (answer["resource"], answer["retryable"]) == ("bucket dumps", retryable)
    assert code in answer["msg"]


@pytest.mark.parametrize(
    ("said", "retryable"),
    [
        ("connection to server at 127.0.0.1, port 5432 failed: Connection refused", True),
        ("server closed the connection unexpectedly", True),
        ("FATAL:  terminating connection due to administrator command", True),
        ("FATAL:  the database system is shutting down", True),
        ("could not receive data from server: Connection reset by peer", True),
        ("aborting because of server version mismatch", False),
        ("permission denied for table things", False),
    ],
)
def test_a_server_that_goes_away_is_tried_again(tmp_path: Path, said: str, retryable: bool) -> None:
    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "pg_dump: error: {said} (LC_ALL=$LC_ALL)" >&2\nexit 1\n')
    program.chmod(0o755)
    server: dict[str, Any] = {"host": "h", "port": 5432, "user": "u", "bin": str(program.parent)}
    parameters = {"server": server, "administrator_password": "pw", "database": "env_3_7"}
    with pytest.raises(DUMP.Failure) as caught:
        DUMP.dump(parameters, tmp_path / "x.partial")
    assert caught.value.answer["retryable"] is retryable
    assert "LC_ALL=C)" in caught.value.answer["msg"]
