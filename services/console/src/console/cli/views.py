"""Views as text: what `orders` and `environments` print for people."""

from collections.abc import Iterable, Iterator

from console.cli.common import table
from stagewright.clock import parse_rfc3339
from stagewright.contracts.queries import (
    EnvironmentServiceView,
    EnvironmentView,
    EventList,
    OrderList,
    OrderView,
    StageView,
)
from stagewright.errors import ErrorInfo


def seconds_between(start: str | None, end: str | None) -> str:
    """`1.23 s`, or nothing where one of them is missing."""
    if not start or not end:
        return ""
    return f"{(parse_rfc3339(end) - parse_rfc3339(start)).total_seconds():.2f} s"


def when(at: str | None) -> str:
    """A moment as people read it, in local time."""
    return parse_rfc3339(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def error_lines(error: ErrorInfo, indent: str = "  ") -> list[str]:
    """Reason first, then what to do."""
    return [f"{indent}{error.resource}: {error.reason} [{error.code}]", f"{indent}{error.remedy}"]


def order_list(view: OrderList, *, narrowed: bool = False) -> Iterator[str]:
    """`orders list`; `narrowed` where not all orders were asked for."""
    if not view.orders and narrowed:
        yield "No such orders."
        return
    if not view.orders:
        yield "No orders yet. Submit one: stagewright submit examples/orders/environment-3.yml --wait"
        return
    rows = (
        (
            order.order_id,
            order.environment_id,
            order.status,
            when(order.received_at),
            seconds_between(order.received_at, order.finished_at),
        )
        for order in view.orders
    )
    yield from table(("ORDER", "ENVIRONMENT", "STATUS", "RECEIVED", "TOOK"), rows)
    if view.next:
        yield f"More: stagewright orders list --before {view.next}"


def order(view: OrderView) -> Iterator[str]:
    """`orders show`."""
    took = seconds_between(view.received_at, view.finished_at)
    yield f"Order {view.order_id}: {view.status}{f' in {took}' if took else ''}"
    yield f"Environment {view.environment_id}, action {view.action}, received {when(view.received_at)}"
    if view.description:
        yield view.description
    if view.queue_position:
        yield f"Waits for its environment, place {view.queue_position}"
    if view.error:
        yield from error_lines(view.error)
    yield ""
    yield from table(("STAGE", "STATUS", "ATTEMPTS", "TOOK"), (_stage(stage) for stage in view.stages))
    for stage in view.stages:
        if stage.error and stage.error != view.error:
            yield f"  {stage.stage}"
            yield from error_lines(stage.error, "    ")
    if view.services:
        yield ""
        yield from table(
            ("SERVICE", "DECISION", "COMMIT", "HEALTH", "URL"),
            (
                (each.id, each.decision or "", short(each.commit), each.health or "", each.url or "")
                for each in view.services
            ),
        )
    for line in view.plan:
        yield f"  {line.service} {line.decision}: {'; '.join(line.reasons)}"


def addresses(view: OrderView) -> list[str]:
    """Where an order's services are reached, and whether they say that they are ready."""
    rows = [(each.id, each.health or "", each.url or "") for each in view.services]
    return ["", *table(("SERVICE", "HEALTH", "URL"), rows)] if rows else []


def _stage(stage: StageView) -> tuple[str, ...]:
    took = seconds_between(stage.started_at, stage.finished_at)
    return (stage.stage, stage.status, str(stage.attempts), took)


def events(view: EventList) -> Iterator[str]:
    """`orders events`."""
    rows = (
        (str(event.position), event.recorded_at, f"{event.stream}@{event.version}", event.type)
        for event in view.events
    )
    yield from table(("POSITION", "RECORDED", "STREAM", "TYPE"), rows)


def environment(view: EnvironmentView) -> Iterator[str]:
    """`environments show`."""
    yield f"Environment {view.environment_id}"
    yield f"Domains: {', '.join(view.domains) or 'none'}"
    if view.active_order:
        yield f"Order {view.active_order} is at work on it"
    if view.last_order:
        yield f"Last order: {view.last_order}"
    if view.services:
        yield ""
        yield from table(
            ("SERVICE", "TYPE", "COMMIT", "HEALTH", "WHERE", "DATABASE", "URL"),
            (_service(service) for service in view.services),
        )
    else:
        yield "Services: none"
    yield from _secrets(view.services)
    if view.records:
        yield ""
        records = ((each.name, each.type, each.value) for each in view.records)
        yield from table(("RECORD", "TYPE", "VALUE"), records)
    if view.routes:
        yield ""
        routes = (
            (f"https://{each.domain}{each.path}", each.service, _where(each.server, each.port, each.bucket))
            for each in view.routes
        )
        yield from table(("ROUTE", "SERVICE", "TO"), routes)


def _service(service: EnvironmentServiceView) -> tuple[str, ...]:
    return (
        service.id,
        service.type,
        short(service.commit),
        service.health or "",
        _where(service.server, service.port, service.bucket),
        service.database or "",
        service.url or "",
    )


def _secrets(services: Iterable[EnvironmentServiceView]) -> Iterator[str]:
    rows = [
        (service.id, secret.name, secret.path, str(secret.version))
        for service in services
        for secret in service.secrets
    ]
    if rows:
        yield ""
        yield from table(("SERVICE", "SECRET", "PATH", "VERSION"), rows)


def _where(server: str | None, port: int | None, bucket: str | None) -> str:
    if bucket:
        return f"s3://{bucket}"
    return f"{server}:{port}" if server and port else ""


def short(commit: str | None) -> str:
    """The first ten characters of a commit."""
    return (commit or "")[:10]
