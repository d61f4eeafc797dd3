"""The rules of an order's fields. What its parts may not have in common is in `order_conflicts`.

Each rule raises a pydantic error whose type is a stable code and whose message says reason and remedy.
Messages never repeat the value: it may be long, hostile or a credential.
"""

import ipaddress
import posixpath
import re
from typing import Any

from pydantic_core import PydanticCustomError

from stagewright.contracts.base import STAGES

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]{0,39}$"
ORDER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
API_TYPES: frozenset[str] = frozenset({"node", "python"})
FRONT_TYPES: frozenset[str] = frozenset({"angular", "static"})

_ID = re.compile(ID_PATTERN.replace("$", r"\Z"))
_ORDER_ID = re.compile(ORDER_ID_PATTERN.replace("$", r"\Z"))
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_ROLE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,199}\Z")
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}\Z")
_URL = re.compile(r"(https|ssh)://(?:([^/?#]*)@)?([^/?#@:]*)(?::([0-9]{1,5}))?(/[A-Za-z0-9._~/-]+)\Z")
_SCP_LIKE = re.compile(r"git@([^/?#@:]*):([A-Za-z0-9._~-][A-Za-z0-9._~/-]*)\Z")
_CREDENTIALS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:/*)?[^/?#]*:[^/?#]*@|https?://[^/?#]*@")
_TEMPLATE = ("{{", "{%", "{#")
# Controls (C0, DEL, C1), line and paragraph separators, direction overrides, byte order mark, surrogates.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def fail(code: str, message: str) -> PydanticCustomError:
    """The error of a rule: a stable code, and a message with reason and remedy."""
    return PydanticCustomError(code, "{explanation}", {"explanation": message})


def plain(value: str) -> str:
    """No template markers and no control characters: the text reaches playbooks and pages."""
    if any(marker in value for marker in _TEMPLATE):
        raise fail(
            "field.template",
            "holds a template marker ({{, {% or {#). Write the value itself; orders are not templates.",
        )
    if _CONTROL.search(value):
        raise fail("field.control_character", "holds a control character. Remove it; write one line.")
    return value


def identifier(value: str) -> str:
    """The id of an environment or service."""
    if not _ID.match(plain(value)):
        raise fail(
            "field.identifier",
            "is not an identifier. Use 1 to 40 letters, digits and hyphens, the first no hyphen.",
        )
    return value


def order_id(value: str) -> str:
    """The id of an order."""
    if not _ORDER_ID.match(plain(value)):
        raise fail(
            "field.order_id",
            "is not an order id. Use 1 to 64 letters, digits, hyphens and underscores, "
            "beginning with a letter or digit.",
        )
    return value


def domain(value: str) -> str:
    """A host name, in lower case."""
    name = plain(value).lower()
    labels = name.split(".")
    named = name.isascii() and len(name) <= 253 and len(labels) >= 2
    if not named or not all(_LABEL.match(label) for label in labels):
        raise fail("domain.invalid", "is not a host name. Write one like api.example.com, without * or port.")
    if labels[-1].isdigit():
        raise fail("domain.invalid", "is an address, not a host name. Write a name like api.example.com.")
    return name


def url_path(value: str) -> str:
    """A path from the root of a domain, without a slash at its end."""
    if not plain(value).startswith("/"):
        raise fail(
            "path.relative", "does not begin with /. Write it from the root of the domain, like /core."
        )
    if any(part in {".", ".."} for part in value.split("/")):
        raise fail("path.escapes", "leaves its root. Write the path without . and .. segments.")
    if not _PATH.match(value) or "//" in value:
        raise fail(
            "path.invalid",
            "is not a plain path. Use at most 200 letters, digits and . _ ~ - between single slashes.",
        )
    return posixpath.normpath(value)


def repository_url(value: str) -> str:
    """`https://host/owner/name`, `ssh://git@host/owner/name` or `git@host:owner/name`; no credentials."""
    plain(value)
    if (scp := _SCP_LIKE.match(value)) is not None:
        host, path = scp.groups()
    elif (url := _URL.match(value)) is not None:
        scheme, user, host, port, path = url.groups()
        if user is not None and (scheme == "https" or user != "git"):
            raise _carries_credentials()
        if port is not None and not 0 < int(port) < 65536:
            raise fail("repository.host", "has no valid port. Use 1 to 65535, or leave it out.")
    elif _CREDENTIALS.match(value):
        raise _carries_credentials()
    elif not value.startswith(("https://", "ssh://")):
        raise fail(
            "repository.scheme",
            "is not an https or ssh address. Write https://host/owner/name or git@host:owner/name.",
        )
    else:
        raise fail("repository.invalid", "is not a plain repository address. Write https://host/owner/name.")
    _host(host)
    if any(part == ".." or part.startswith("-") for part in path.split("/")):
        raise fail(
            "repository.invalid", "has a path that leaves its root or looks like an option. Write it plainly."
        )
    return value


def _carries_credentials() -> PydanticCustomError:
    return fail(
        "repository.credentials",
        "carries credentials. Remove them; give the executor a credential helper or a deploy key.",
    )


def _host(host: str) -> None:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not all(_LABEL.match(label) for label in host.lower().split(".")) or not host.isascii():
            raise fail("repository.host", "has no valid host. Write https://host/owner/name.") from None


def ref(value: str) -> str:
    """A branch, tag or commit."""
    text = plain(value)
    if not _REF.match(text) or ".." in text or "//" in text or text.endswith((".lock", "/", ".")):
        raise fail(
            "repository.ref",
            "is not a branch, tag or commit. Write its plain name of at most 200 characters, "
            "like main, v1.10 or a commit hash.",
        )
    return text


def role(value: str) -> str:
    """A role that a service has for others."""
    if not _ROLE.match(plain(value)):
        raise fail("role.invalid", "is not a role name. Use 1 to 40 lower-case letters, digits and hyphens.")
    return value


def vault_id(value: str) -> str:
    """The id of a secret that must exist."""
    if not _VARIABLE.match(plain(value)):
        raise fail(
            "variable.invalid", "is not a vault id. Use 1 to 64 letters, digits, underscores and hyphens."
        )
    return value


def quoted(value: Any) -> Any:
    """A number where text belongs: say what to do before pydantic says merely `string_type`."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise fail("field.unquoted", "is a number; YAML reads 1.10 as 1.1. Put it in quotes.")
    return value


def stage(value: Any) -> Any:
    """A stage that orders run through."""
    if value not in set(STAGES):
        raise fail("field.choice", f"is not a stage of an order. Write one of {', '.join(STAGES)}.")
    return value


def person(value: str) -> str:
    """A person's name; spaces at its ends would make two people of one."""
    if plain(value) != value.strip():
        raise fail("field.person", "has a space at one of its ends. Write the name alone.")
    return value
