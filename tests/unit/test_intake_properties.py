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

from order_intake.deciding import Request, Submitted, decide, read, worded
from order_intake.errors import MAX_ERRORS, InvalidOrder
from order_intake.parsing import MAX_BYTES
from order_intake.validation import read_order
from stagewright.contracts.order_conflicts import ACTION_FIELDS
from stagewright.contracts.orders import Order, Purpose, SubmitReply
from tests.support.intake import REFERENCE

MILLISECONDS = 50
MEGABYTES = 50

_LINES = (
    "{ } [ ] , : ? - ' \" | > # & * ! % @ ` ~ \\ -- --- ... << = !! \t \n \r \x00 \x85",
    "\u2028 \ufeff \xe9 \U0001f680 &a *a !!str !!python/object 1.10 22:22 0o7 yes null 2026-11-23",
    "{{ {% \\u0041 \\ud83d %YAML %TAG action update environment_id api front",
    "domains services id uuid path repository url version type service_ids maintenance to pins secrets name",
    "dump require_approval on_failure supersedes timeouts plan_id deploy_services drop redeploy rollback",
    "on off true false 600 1.5 -1 1e9",
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


PINS = b"to: order-1\ntimeouts: {deploy_services: 600}\non_failure: revert\npins:\n  - service: '6'\n"
ROLLBACK = REFERENCE.replace(b'"update"', b"rollback") + PINS + b"    secrets: [{name: A, version: 2}]\n"
SMALL = tuple(
    f"environment_id: '3'\nrequire_approval: on\naction: {rest}\n".encode()
    for rest in ("drop\ndump: no", "redeploy\nservice_ids: ['6', '7']", "maintenance\nmaintenance: off")
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


_pieces = _yamlish.map(lambda text: text.encode(errors="replace")) | st.binary(max_size=20)


@pytest.mark.parametrize("whole", [REFERENCE, ROLLBACK, *SMALL], ids=lambda body: body[-30:])
@_many
@given(st.data())
def test_an_order_with_a_piece_exchanged(whole: bytes, data: st.DataObject) -> None:
    assert _checked(whole) is not None
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    order = _checked(whole[:start] + data.draw(_pieces) + whole[end:])
    if order is not None:
        assert Order.model_validate_json(order.model_dump_json()) == order
        assert read_order(order.model_dump_json().encode()) == order


@_many
@given(
    st.dictionaries(st.sampled_from(list(Order.model_fields)), _values), st.sampled_from(list(ACTION_FIELDS))
)
def test_any_values_in_the_fields_of_any_action(fields: dict[str, object], action: str) -> None:
    body = {"environment_id": "3", **fields, "action": action}
    order = _checked(json.dumps(body).encode())
    if order is not None:
        assert read_order(order.model_dump_json().encode()) == order


@_many
@given(
    st.binary(max_size=200) | st.sampled_from(SMALL),
    st.none() | st.text(max_size=100),
    st.none() | st.text(max_size=120),
    st.none() | st.sampled_from(["true", "false"]) | st.text(max_size=10),
)
def test_an_answer_can_always_be_sent(
    body: bytes, message_id: str | None, submitter: str | None, offline: str | None
) -> None:
    purposes: tuple[Purpose, ...] = ("apply", "plan")
    for purpose in purposes:
        request = Request(body, message_id, None, purpose, submitter, offline)
        found = read(request, "fresh")
        if isinstance(found, Submitted):
            found = decide(found, None, "2026-11-23T10:00:00Z")
        elif isinstance(found, SubmitReply):
            found = worded(purpose, found)
        else:
            assert (purpose, offline) == ("plan", "true")
            continue
        assert type(found).model_validate_json(found.model_dump_json()) == found


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
    "timeouts": _numbered("k%x: 1,", "timeouts: {", "}"),
    "one timeout": _large("1", "timeouts: {inspect: "),
    "service ids": _large("a,", "{action: redeploy, service_ids: [", "]}"),
    "many service ids": _numbered("a%x,", "{action: redeploy, service_ids: [", "]}"),
    "pins": _large("{service: a},", "{action: rollback, pins: [", "]}"),
    "many pins": _numbered("{service: a%x, secrets: [{}]},", "{action: rollback, pins: [", "]}"),
    "secrets": _large("{name: A},", "{action: rollback, pins: [{service: a, secrets: [", "]}]}"),
    "booleans": _large("on,", "{supersedes: [", "]}"),
    "actions": _large("rollbac", "action: "),
    "unquoted text": _large("1,", "{action: redeploy, service_ids: [", "]}"),
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
from order_intake.deciding import Request, Submitted, decide, read, worded
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
