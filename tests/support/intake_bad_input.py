"""Every kind of bad input that order-intake refuses, each as a change of the reference's order."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stagewright.contracts.orders import FieldError

_REFERENCE = (Path(__file__).parents[2] / "examples/orders/environment-3.yml").read_text()
_CORE = "api.services[0]"
_URL = "https://github.com/makeitsaas/makeitsaas-auth-instance"


@dataclass(frozen=True)
class BadInput:
    """A body, and the error that its reply must hold among others."""

    name: str
    body: bytes
    code: str
    field: str = ""

    def is_among(self, errors: Iterable[FieldError]) -> bool:
        """Whether the error that it must give is one of these."""
        return any((error.code, error.field) == (self.code, self.field) for error in errors)


def _with(name: str, old: str, new: str, code: str, field: str) -> BadInput:
    """The reference's order with one part replaced."""
    assert old in _REFERENCE, old
    return BadInput(name, _REFERENCE.replace(old, new, 1).encode(), code, field)


def _path(new: str, code: str) -> BadInput:
    return _with(f"path {new}", "path: /core", f"path: {new}", code, f"{_CORE}.path")


def _domain(new: str, code: str = "domain.invalid") -> BadInput:
    return _with(f"domain {new}", "- manager-api.lab.makeitsaas.com", f"- {new}", code, "api.domains[0]")


def _url(new: str, code: str) -> BadInput:
    return _with(f"url {new}", f"'{_URL}'", f"'{new}'", code, f"{_CORE}.repository.url")


def _ref(new: str, code: str) -> BadInput:
    field = f"{_CORE}.repository.version"
    return _with(f"version {new}", f"'{_URL}'", f"'{_URL}'\n          version: {new}", code, field)


def _service(new: str, code: str = "field.identifier") -> BadInput:
    return _with(f"service id {new}", 'id: "6"', f"id: {new}", code, f"{_CORE}.id")


def _environment(new: str, code: str = "field.identifier") -> BadInput:
    return _with(
        f"environment id {new}", 'environment_id: "3"', f"environment_id: {new}", code, "environment_id"
    )


def _described(new: str, code: str) -> BadInput:
    line = 'action: "update"'
    return _with(f"description {new}", line, f"{line}\ndescription: {new}", code, "description")


def _added(line: str, code: str, field: str) -> BadInput:
    """The reference's order with one more line."""
    return BadInput(line, f"{line}\n{_REFERENCE}".encode(), code, field)


def _action(body: str, code: str, field: str = "") -> BadInput:
    """An order of another action."""
    return BadInput(body, f"{{environment_id: '3', action: {body}}}".encode(), code, field)


def _pinned(pins: str, code: str, field: str) -> BadInput:
    """The reference's order as a rollback with these pins."""
    body = _REFERENCE.replace('"update"', "rollback", 1)
    return BadInput(f"pins {pins}", f"to: a\npins: {pins}\n{body}".encode(), code, field)


_FRONT = _REFERENCE[_REFERENCE.index("front:") :]
_BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"

BAD_INPUTS: tuple[BadInput, ...] = (
    BadInput("empty", b"", "order.empty"),
    BadInput("white space", b" \n\t\n", "order.empty"),
    BadInput("over 64 KiB", _REFERENCE.encode() + b"#" * 65536, "order.too_large"),
    BadInput("not UTF-8", _REFERENCE.encode("utf-16"), "order.encoding"),
    BadInput("latin-1", "description: é".encode("latin-1"), "order.encoding"),
    BadInput("alias bomb", _BOMB.encode(), "yaml.alias", "b[0]"),
    BadInput("30,000 nested lists", b"[" * 30000 + b"]" * 30000, "yaml.depth", "[0]" * 20),
    BadInput("30,000 nested lists, unclosed", b"[" * 30000, "yaml.depth", "[0]" * 20),
    BadInput("nested JSON", b'{"a":' * 10000 + b"1" + b"}" * 10000, "yaml.depth", ".".join("a" * 20)),
    _with(
        "python object",
        'action: "update"',
        'action: !!python/object/apply:os.system ["true"]',
        "yaml.tag",
        "action",
    ),
    _with(
        "duplicate key", "path: /core", "path: /core\n        path: /k", "yaml.duplicate_key", f"{_CORE}.path"
    ),
    BadInput(
        "duplicate JSON key", b'{"action": "update", "action": "update"}', "yaml.duplicate_key", "action"
    ),
    BadInput("two documents", f"{_REFERENCE}\n---\n{_REFERENCE}".encode(), "yaml.several_documents"),
    BadInput("text", b"please deploy", "order.not_a_mapping"),
    BadInput("broken YAML", b"action: [update", "yaml.syntax"),
    BadInput("broken JSON", b'{"action": "update"', "yaml.syntax"),
    BadInput("NUL", b"action: upd\0ate", "yaml.syntax"),
    _ref("1.10", "field.unquoted"),
    _ref("22:22", "field.unquoted"),
    _ref("2026-11-23", "field.unquoted"),
    _ref("0777", "field.unquoted"),
    _with("unquoted yes", 'action: "update"', "action: yes", "field.unquoted", "action"),
    _environment("3", "field.unquoted"),
    _with("unknown field", "path: /core", "paht: /core", "field.unknown", f"{_CORE}.paht"),
    _with("id twice", 'id: "6"', 'id: "6"\n        uuid: "6"', "field.twice", f"{_CORE}.uuid"),
    _environment('""'),
    _environment('"-3"'),
    _environment(f'"{"a" * 41}"'),
    _environment('"3.1"'),
    _environment('"3\\n"', "field.control_character"),
    _environment('"*"'),
    _service('"a b"'),
    _service('"é"'),
    _service('"../6"'),
    _service(f'"{"6" * 41}"'),
    _with("duplicate service id", 'id: "7"', 'id: "6"', "service.duplicate_id", "api.services[1].id"),
    _with("service id in both blocks", 'id: "8"', 'id: "6"', "service.duplicate_id", "front.services[0].id"),
    _with("one path twice", "path: /core", "path: /", "service.path_taken", "api.services[1].path"),
    _with(
        "one path in two spellings",
        "path: /\n",
        "path: /Core\n",
        "service.path_taken",
        "api.services[1].path",
    ),
    _path("core", "path.relative"),
    _path(f"/{'a' * 200}", "path.invalid"),
    _path("/../etc", "path.escapes"),
    _path("/core/./x", "path.escapes"),
    _path("//core", "path.invalid"),
    _path("/a b", "path.invalid"),
    _domain('"*"'),
    _domain('"*.example.com"'),
    _domain("localhost"),
    _domain('"10.0.0.1"'),
    _domain("a_b.example.com"),
    _domain("https://example.com"),
    _domain("example.com:443"),
    _domain(f"{'a' * 64}.example.com"),
    _domain('"a.example.com\\r\\nx"', "field.control_character"),
    _with(
        "one domain twice",
        "- manager-angular.lab",
        "- Manager-API.lab",
        "domain.duplicate",
        "front.domains[0]",
    ),
    _url("ext::sh -c true", "repository.scheme"),
    _url("file:///etc", "repository.scheme"),
    _url("/etc", "repository.scheme"),
    _url("http://github.com/a/b", "repository.scheme"),
    _url("git://github.com/a/b", "repository.scheme"),
    _url("--upload-pack=touch", "repository.scheme"),
    _url("ssh://-oProxyCommand=true/a", "repository.host"),
    _url("git@-oProxyCommand:a/b", "repository.host"),
    _url("https://github.com:99999/a/b", "repository.host"),
    _url("git@github.com:-a/b", "repository.invalid"),
    _url("https://user:word@github.com/a/b", "repository.credentials"),
    _url("https://token@github.com/a/b", "repository.credentials"),
    _url("ssh://git:word@github.com/a/b", "repository.credentials"),
    _url("user:word@github.com:a/b", "repository.credentials"),
    _url("https://github.com/a/b?token=c", "repository.invalid"),
    _url("https://github.com/../b", "repository.invalid"),
    _url(" https://github.com/a/b", "repository.scheme"),
    _url("https://github.com/" + "a" * 500, "field.too_long"),
    _ref("--upload-pack=x", "repository.ref"),
    _ref("-x", "repository.ref"),
    _ref("a..b", "repository.ref"),
    _ref('"main; true"', "repository.ref"),
    _ref("a@{1}", "repository.ref"),
    _ref("user:word@host", "repository.ref"),
    _described('"{{ lookup(1) }}"', "field.template"),
    _described('"{% raw %}"', "field.template"),
    _described('"\\e[31m"', "field.control_character"),
    _described('"\\u202E"', "field.control_character"),
    _environment('"{{ a }}"', "field.template"),
    _path('"/{{a}}"', "field.template"),
    _url("https://github.com/{{a}}/b", "field.template"),
    _ref('"{{ a }}"', "field.template"),
    _domain('"{{ a }}.example.com"', "field.template"),
    _with("template in a role", "[auth,", '["{{ a }}",', "field.template", f"{_CORE}.roles[0]"),
    _with(
        "template in a vault id",
        "variables: []",
        'variables: ["{%"]',
        "field.template",
        f"{_CORE}.variables[0]",
    ),
    _with("template in action", 'action: "update"', 'action: "{{ a }}"', "field.choice", "action"),
    _with("missing block", _FRONT, "", "field.missing", "front"),
    _with(
        "empty services",
        _FRONT,
        "front:\n  domains: [a.example.com]\n  services: []",
        "field.empty",
        "front.services",
    ),
    _with(
        "null services",
        _FRONT,
        "front:\n  domains: [a.example.com]\n  services:",
        "field.type",
        "front.services",
    ),
    _with("block as text", _FRONT, "front: none", "field.type", "front"),
    _with("other action", '"update"', '"destroy"', "field.choice", "action"),
    _with("type of the other block", "type: node", "type: angular", "service.type_block", f"{_CORE}.type"),
    _with("unknown type", "type: node", "type: nodejs", "field.choice", f"{_CORE}.type"),
    _with("list for text", "path: /core", "path: [/core]", "field.type", f"{_CORE}.path"),
    _added('supersedes: "true"', "field.type", "supersedes"),
    _added("supersedes: 'on'", "field.type", "supersedes"),
    _added("require_approval: 1", "field.type", "require_approval"),
    _added("require_approval: [true]", "field.type", "require_approval"),
    _added("supersedes: maybe", "field.type", "supersedes"),
    _added("description: true", "field.unquoted", "description"),
    _added("plan_id: 7", "field.unquoted", "plan_id"),
    _added("plan_id: a b", "field.order_id", "plan_id"),
    _added("on_failure: revrt", "field.choice", "on_failure"),
    _added("on_failure: off", "field.unquoted", "on_failure"),
    _added("timeouts: 600", "field.type", "timeouts"),
    _added("timeouts: [600]", "field.type", "timeouts"),
    _added("timeouts: {inspect: '600'}", "field.type", "timeouts.inspect"),
    _added("timeouts: {inspect: true}", "field.type", "timeouts.inspect"),
    _added("timeouts: {inspect: 0777}", "field.type", "timeouts.inspect"),
    _added("timeouts: {inspect: 10:00}", "field.type", "timeouts.inspect"),
    _added("timeouts: {inspect: .inf}", "field.type", "timeouts.inspect"),
    _added(f"timeouts: {{inspect: {'9' * 5000}}}", "field.type", "timeouts.inspect"),
    _added("timeouts: {inspect: 0}", "field.range", "timeouts.inspect"),
    _added("timeouts: {inspect: -1.5}", "field.range", "timeouts.inspect"),
    _added("timeouts: {inspect: 86401}", "field.range", "timeouts.inspect"),
    _added("timeouts: {deploy: 600}", "field.choice", "timeouts.deploy"),
    _added("timeouts: {probe_services: 600}", "field.choice", "timeouts.probe_services"),
    _added("dump: false", "field.not_for_action", "dump"),
    _added("service_ids: ['6']", "field.not_for_action", "service_ids"),
    _added("maintenance: off", "field.not_for_action", "maintenance"),
    _added("to: order-1", "field.not_for_action", "to"),
    _added("pins: [{service: '6', secrets: []}]", "field.not_for_action", "pins"),
    _added("front:", "yaml.duplicate_key", "front"),
    _action("drop, api: {domains: [a.example.com], services: []}", "field.not_for_action", "api"),
    _action("drop, on_failure: revert", "field.not_for_action", "on_failure"),
    _action("drop, supersedes: true", "field.not_for_action", "supersedes"),
    _action("redeploy", "field.missing", "service_ids"),
    _action("redeploy, service_ids: []", "field.missing", "service_ids"),
    _action("redeploy, service_ids: ['6', '7', '6']", "service.duplicate_id", "service_ids[2]"),
    _action("redeploy, service_ids: ['6', 7]", "field.unquoted", "service_ids[1]"),
    _action("redeploy, service_ids: ['6', a b]", "field.identifier", "service_ids[1]"),
    _action("redeploy, service_ids: '6'", "field.type", "service_ids"),
    _action(
        f"redeploy, service_ids: [{', '.join(f'a{n}' for n in range(201))}]", "field.too_long", "service_ids"
    ),
    _action("maintenance", "field.missing", "maintenance"),
    _action("maintenance, maintenance: ~", "field.missing", "maintenance"),
    _action('maintenance, maintenance: "on"', "field.type", "maintenance"),
    _action("rollback, api: {}, front: {}", "field.missing", "to"),
    _action("rollback, to: order-1", "field.missing", "api"),
    _action("rollbck, to: order-1", "field.choice", "action"),
    _pinned(
        "[{service: '6', secrets: []}, {service: '6', secrets: []}]",
        "service.duplicate_id",
        "pins[1].service",
    ),
    _pinned("[{service: '9', secrets: []}]", "service.unknown", "pins[0].service"),
    _pinned(
        "[{service: '6', secrets: [{name: A, version: 1}, {name: A, version: 2}]}]",
        "variable.duplicate",
        "pins[0].secrets[1].name",
    ),
    _pinned(
        "[{service: '6', secrets: [{name: A, version: '1'}]}]", "field.type", "pins[0].secrets[0].version"
    ),
    _pinned(
        "[{service: '6', secrets: [{name: A, version: 1.5}]}]", "field.type", "pins[0].secrets[0].version"
    ),
    _pinned(
        "[{service: '6', secrets: [{name: A, version: 0}]}]", "field.range", "pins[0].secrets[0].version"
    ),
    _pinned("[{service: '6', secrets: [{nam: A, version: 1}]}]", "field.unknown", "pins[0].secrets[0].nam"),
    _pinned(
        "[{service: '6', secrets: [{name: '{{ a }}', version: 1}]}]",
        "field.template",
        "pins[0].secrets[0].name",
    ),
)
