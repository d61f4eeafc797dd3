"""The proxy: Caddy with its admin endpoint on a unix socket and certificates from its own CA.

It starts from the configuration that it saved last, so routes outlive a restart; what this machine decides
(socket, storage, ports) is put into that configuration anew at each start.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedded import binaries, probes
from embedded.layout import LOOPBACK, Layout
from embedded.ports import Ports
from embedded.program import Program

NAME = "caddy"
PORTS = ("https", "http")


def root_ca(layout: Layout) -> Path:
    """The certificate that clients of the internal TLS trust."""
    return layout.part(NAME) / "storage" / "pki" / "authorities" / "local" / "root.crt"


def program(layout: Layout, ports: Ports, before: Ports | None = None) -> Program:
    """The server; `before` are the ports of the last start, where they may be others."""
    home = layout.part(NAME)
    config, autosave = home / "caddy.json", _autosave(home)
    socket = layout.socket(NAME)
    saved = last_saved(layout)
    return Program(
        name=NAME,
        argv=(str(binaries.beside_python("caddy")), "run", "--config", str(config), "--resume"),
        ready=probes.succeeds(probes.unix_get(socket, "/config/admin"), root_ca(layout).exists),
        endpoint=f"https://{LOOPBACK}:{ports['https']}",
        environment={
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
        },
        files={
            config: json.dumps(configuration(layout, ports), indent=1),
            **({autosave: json.dumps(rebased(saved, layout, ports, before or ports))} if saved else {}),
        },
        directories=(autosave.parent, home / "data", home / "storage"),
    )


def configuration(layout: Layout, ports: Ports) -> dict[str, Any]:
    """The configuration of the first start: no site yet."""
    return {
        "admin": {"listen": f"unix/{layout.socket(NAME)}|0600"},
        "storage": {"module": "file_system", "root": str(layout.part(NAME) / "storage")},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": {
            "pki": {"certificate_authorities": {"local": {"install_trust": False}}},
            "http": {"https_port": ports["https"], "http_port": ports["http"], "servers": {}},
        },
    }


def rebased(saved: dict[str, Any], layout: Layout, ports: Ports, before: Ports) -> dict[str, Any]:
    """The saved configuration with this start's socket, storage and ports; its routes stay."""
    fresh = configuration(layout, ports)
    moved = {f"{LOOPBACK}:{old}": f"{LOOPBACK}:{ports[name]}" for name, old in before.items()}
    saved = _moved(saved, moved)
    apps = saved.get("apps", {})
    http = apps.get("http", {})
    kept = fresh["apps"]["http"] | {"servers": http.get("servers", {})}
    return saved | fresh | {"apps": apps | fresh["apps"] | {"http": http | kept}}


def last_saved(layout: Layout) -> dict[str, Any] | None:
    """What Caddy saved last, None where it never ran or left half a file."""
    try:
        saved = json.loads(_autosave(layout.part(NAME)).read_bytes())
    except (OSError, ValueError):
        return None
    return saved if isinstance(saved, dict) else None


def _autosave(home: Path) -> Path:
    return home / "config" / "caddy" / "autosave.json"


def _moved(value: Any, moved: Mapping[str, str]) -> Any:
    """The same value with every address that moved replaced, at whatever depth."""
    if isinstance(value, dict):
        return {key: _moved(inner, moved) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner, moved) for inner in value]
    return moved.get(value, value) if isinstance(value, str) else value
