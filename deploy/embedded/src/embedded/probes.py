"""Ways to ask whether a part serves. Each returns a question that answers True or False and never raises."""

import http.client
import socket
import struct
from collections.abc import Collection
from pathlib import Path

from embedded.layout import LOOPBACK
from embedded.program import Probe
from embedded.unixhttp import UnixConnection

TIMEOUT = 1.0
"""Seconds that one question may take."""


def http_get(port: int, path: str, accepted: Collection[int] = (200,)) -> Probe:
    """A GET on loopback is answered with an accepted status."""
    return lambda: _get(http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT), path, accepted)


def http_says(port: int, path: str, expected: bytes) -> Probe:
    """A GET on loopback is answered with a text that holds these bytes."""

    def ask() -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            return expected in connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def unix_get(path: Path, url: str, accepted: Collection[int] = (200,)) -> Probe:
    """The same over a unix socket."""
    return lambda: _get(UnixConnection(path, TIMEOUT), url, accepted)


def banner(port: int, expected: bytes) -> Probe:
    """The server greets with these bytes."""

    def ask() -> bool:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=TIMEOUT) as connection:
                return connection.recv(len(expected)) == expected
        except OSError:
            return False

    return ask


def postgres(port: int, user: str) -> Probe:
    """PostgreSQL asks for a password, as it does once its recovery is over (protocol 3.0, startup)."""
    body = struct.pack("!i", 3 << 16) + b"user\0" + user.encode() + b"\0\0"

    def ask() -> bool:
        try:
            with socket.create_connection((LOOPBACK, port), timeout=TIMEOUT) as connection:
                connection.sendall(struct.pack("!i", len(body) + 4) + body)
                return connection.recv(1) == b"R"
        except OSError:
            return False

    return ask


def succeeds(*questions: Probe) -> Probe:
    """All of them hold."""
    return lambda: all(question() for question in questions)


def _get(connection: http.client.HTTPConnection, path: str, accepted: Collection[int]) -> bool:
    try:
        connection.request("GET", path)
        return connection.getresponse().status in accepted
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
