"""moto's server with a memory: `python -m embedded.aws_endpoint PORT RECORDING`.

What changes something is appended to the recording, then applied, one request at a time; at start the
recording is applied again before the server listens. moto draws its identifiers at random, and later
requests name them: so each change draws from a generator seeded with its number in the recording, and comes
out the same every time. (moto's own recorder keeps one seed for all, which holds only without concurrency.)
"""

import base64
import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moto.moto_api._internal import mock_random
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple
from werkzeug.test import Client, EnvironBuilder

HOST = "127.0.0.1"
READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Recorded:
    """A WSGI application around moto's."""

    def __init__(self, app: Any, recording: Path) -> None:
        self._app, self._recording = app, recording
        self._changes = threading.Lock()
        self._count = 0

    def replay(self) -> None:
        """Apply the recording; a last line that was cut short is dropped, nobody got an answer to it."""
        if not self._recording.exists():
            return
        lines = self._recording.read_bytes().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        if len(whole) < len(lines):
            os.truncate(self._recording, sum(map(len, whole)))
        for line in whole:
            self._apply(json.loads(line))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in READS:
            return self._app(environ, start_response)  # type: ignore[no-any-return]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        with self._changes:
            self._append(_entry(environ, body))
            self._seed()
            return list(self._app(environ, start_response))

    def _apply(self, entry: dict[str, Any]) -> None:
        self._seed()
        builder = EnvironBuilder(
            method=entry["method"],
            path=entry["path"],
            query_string=entry["query"],
            headers=entry["headers"],
            data=base64.b64decode(entry["body"]),
        )
        Client(self._app).open(builder)

    def _seed(self) -> None:
        mock_random.seed(self._count)
        self._count += 1

    def _append(self, entry: dict[str, Any]) -> None:
        with self._recording.open("ab") as file:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _entry(environ: dict[str, Any], body: bytes) -> dict[str, Any]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").title(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ.get("QUERY_STRING", ""),
        "headers": headers,
        "body": base64.b64encode(body).decode(),
    }


class _Quiet(WSGIRequestHandler):
    """No line per request: errors are answered to the client."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def main() -> None:
    """Replay, then serve until told to stop."""
    port, recording = int(sys.argv[1]), Path(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.environ["MOTO_PORT"] = str(port)
    app = Recorded(DomainDispatcherApplication(create_backend_app), recording)
    app.replay()
    run_simple(HOST, port, app, threaded=True, request_handler=_Quiet)


if __name__ == "__main__":
    main()
