"""Whatever the bytes: only our own error, and within 50 ms and 50 MB."""

import gc
import json
import pickle
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from order_intake.deciding import Request, read
from order_intake.errors import MAX_ERRORS, InvalidOrder
from order_intake.parsing import MAX_BYTES
from order_intake.validation import read_order
from stagewright.contracts.orders import Order, SubmitReply
from tests.support.intake import REFERENCE

MILLISECONDS = 50
MEGABYTES = 50

_LINES = (
    "{ } [ ] , : ? - ' \" | > # & * ! % @ ` ~ \\ -- --- ... << = !! \t \n \r \x00 \x85",
    "\u2028 \ufeff \xe9 \U0001f680 &a *a !!str !!python/object 1.10 22:22 0o7 yes null 2026-11-23",
    "{{ {% \\u0041 \\ud83d %YAML %TAG action update environment_id api front",
    "domains services id uuid path repository url version type",
)
_TOKENS = [token for line in _LINES for token in line.split(" ")]
_yamlish = st.lists(st.sampled_from([*_TOKENS, " ", "  ", "\n", "\n  ", ": ", "- "]), max_size=300).map(
    "".join
)
_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def _checked(body: bytes) -> Order | None:
    try:
        return read_order(body)
    except InvalidOrder as invalid:
        errors = invalid.errors
    assert 0 < len(errors) <= MAX_ERRORS + 1
    for error in errors:
        assert error.code
        assert error.message.isprintable()
        assert error.field.isprintable()
        assert len(error.field) < 3000
    return None


_many = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


@_many
@given(st.binary(max_size=2000))
def test_any_bytes(body: bytes) -> None:
    assert _checked(body) is None


@_many
@given(st.text(max_size=2000))
def test_any_text(text: str) -> None:
    assert _checked(text.encode(errors="surrogatepass")) is None


@_many
@given(_yamlish)
def test_anything_like_yaml(text: str) -> None:
    assert _checked(text.encode(errors="surrogatepass")) is None


@_many
@given(_values)
def test_any_json(value: object) -> None:
    assert _checked(json.dumps(value).encode()) is None
    assert _checked(json.dumps({"action": value, "api": value}, ensure_ascii=True).encode()) is None


@_many
@given(st.data())
def test_the_reference_s_order_with_a_piece_exchanged(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(REFERENCE)))
    end = data.draw(st.integers(start, min(len(REFERENCE), start + 40)))
    piece = data.draw(_yamlish.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=20))
    order = _checked(REFERENCE[:start] + piece + REFERENCE[end:])
    if order is not None:
        assert Order.model_validate_json(order.model_dump_json()) == order


@_many
@given(st.binary(max_size=200), st.none() | st.text(max_size=100))
def test_a_refusal_can_always_be_sent(body: bytes, message_id: str | None) -> None:
    reply = read(Request(body, message_id), "fresh")

    assert isinstance(reply, SubmitReply)
    assert SubmitReply.model_validate_json(reply.model_dump_json()) == reply


def _large(unit: str, before: str = "", after: str = "") -> bytes:
    return (before + unit * (MAX_BYTES // len(unit.encode())) + after).encode()[:MAX_BYTES]


def _numbered(pattern: str, before: str = "", after: str = "") -> bytes:
    room = MAX_BYTES - len(before) - len(after)
    text = ""
    pieces: Iterator[str] = (pattern % number for number in range(MAX_BYTES))
    while len(text) + 40 < room:
        text += next(pieces)
    return (before + text + after).encode()


_UNITS = [
    "[",
    "{",
    "{a,",
    "[a,",
    "? ",
    "- ",
    "&a ,",
    "!a ,",
    "a: 1\n",
    "- - ",
    '"\\',
    "1:",
    "'",
    "#\n",
    "|\n",
    "a",
]
_STARTS = ["", "[", "{", "a: ", '"']
HOSTILE = {
    **{f"{before}{unit}": _large(unit, before) for unit in _UNITS for before in _STARTS},
    "keys": _numbered("k%x: 1\n"),
    "JSON keys": _numbered('"k%x":1,', "{", '"k":1}'),
    "unknown fields": _numbered("k%x: {}\n", REFERENCE.decode()),
    "empty services": _large("{},", "api: {services: ["),
    "many services": _numbered("{id: a%x, path: /},", "api: {services: [", "]}"),
    "one service": _large("{id: a, path: /, type: node},", "api: {services: ["),
    "domains": _large("1.1,", "api: {domains: ["),
    "roles": _large("A,", "api: {services: [{roles: ["),
    "digits": _large("1", "description: "),
    "sexagesimal": _large(":1", "description: 1"),
    "path": _large("/..", "api: {services: [{path: '"),
    "nested JSON": _large('{"a":'),
    "deep JSON lists": _large("[", '{"a":'),
    "escaped quotes": _large('\\"', '"'),
    "tags": _large("!<tag:yaml.org,2002:str> a,", "["),
    "colons": _large(": "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_64_kib_take_under_50_ms_and_50_mb(name: str) -> None:
    body = HOSTILE[name]
    assert len(body) <= MAX_BYTES

    assert min(_milliseconds(body) for _ in range(3)) < MILLISECONDS
    tracemalloc.start()
    _checked(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEGABYTES * 1024**2


def _milliseconds(body: bytes) -> float:
    """CPU time of this thread, so that other processes on the machine do not count."""
    gc.collect()
    start = time.thread_time()
    _checked(body)
    return (time.thread_time() - start) * 1000


_BOUNDED = """
import pickle, resource, sys
from order_intake.deciding import Request, read
bodies = pickle.load(sys.stdin.buffer)
read(Request(b"action: update"), "fresh")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + 50 * 1024**2
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for body in bodies:
    assert read(Request(body), "fresh").status == "rejected"
print(len(bodies))
"""


def test_a_process_with_50_mb_more_reads_them_all() -> None:
    """Counts what libyaml allocates too, and shows that no input ends the process."""
    done = subprocess.run(
        [sys.executable, "-c", _BOUNDED],
        input=pickle.dumps(list(HOSTILE.values())),
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert int(done.stdout) == len(HOSTILE)
