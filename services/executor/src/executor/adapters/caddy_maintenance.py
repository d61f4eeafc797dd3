"""What a domain answers while its environment is in maintenance: 503, as a page or as JSON."""

import json
from typing import Any

Json = dict[str, Any]

RETRY_AFTER = 60
"""Seconds after which clients may ask again."""

_SAYS = "This service is under maintenance. Please try again in a minute."
_PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{RETRY_AFTER}">
<title>Maintenance</title>
<style>
body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: #f6f6f4; color: #222;
font: 1.1rem/1.5 system-ui, sans-serif }}
main {{ max-width: 34rem; padding: 2rem; text-align: center }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1b1b1d; color: #eee }} }}
</style>
</head>
<body><main><h1>Maintenance</h1><p>{_SAYS}</p></main></body>
</html>
"""
_BODY = json.dumps({"status": "maintenance", "message": _SAYS, "retry_after": RETRY_AFTER}) + "\n"


def routes() -> list[Json]:
    """A page for who asks for HTML by name, as browsers do; JSON for programs, which ask for anything."""
    page = {"match": [{"header": {"Accept": ["*text/html*"]}}], **_answer("text/html; charset=utf-8", _PAGE)}
    return [page, _answer("application/json", _BODY)]


def _answer(kind: str, body: str) -> Json:
    headers = {
        "Content-Type": [kind],
        "Retry-After": [str(RETRY_AFTER)],
        "Cache-Control": ["no-store"],
        "Vary": ["Accept"],
    }
    return {
        "handle": [{"handler": "static_response", "status_code": 503, "headers": headers, "body": body}],
        "terminal": True,
    }
