"""Views as text: what `orders` and `environments` print for people."""

from collections.abc import Iterable, Iterator

from console.cli.common import table
from console.narration import how_to_approve
from console.times import seconds_between, when
from stagewright.contracts.queries import (
    AttemptList,
    AttemptView,
    EnvironmentServiceView,
    EnvironmentView,
    EventList,
    OrderList,
    OrderView,
    StageView,
)
from stagewright.errors import ErrorInfo


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
            order.action,
            order.status,
            when(order.received_at),
            seconds_between(order.received_at, order.finished_at),
        )
        for order in view.orders
    )
    yield from table(("ORDER", "ENVIRONMENT", "ACTION", "STATUS", "RECEIVED", "TOOK"), rows)
    if view.next:
        yield f"More: the same command with --before {view.next}"


def order(view: OrderView) -> Iterator[str]:
    """`orders show`, without the plan."""
    took = seconds_between(view.received_at, view.finished_at)
    what = "Plan" if view.purpose == "plan" else "Order"
    yield f"{what} {view.order_id}: {view.status.replace('_', ' ')}{f' in {took}' if took else ''}"
    yield f"Environment {view.environment_id}, action {view.action}, received {when(view.received_at)}"
    yield f"Submitted by {view.submitted_by}"
    if view.description:
        yield view.description
    yield from _standing(view)
    if view.error:
        yield from error_lines(view.error)
    yield ""
    yield from table(("STAGE", "STATUS", "ATTEMPTS", "TOOK"), (_stage(stage) for stage in view.stages))
    for stage in view.stages:
        if stage.error and stage.error != view.error:
            yield f"  {_name(stage)}"
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


def _standing(view: OrderView) -> Iterator[str]:
    """What it waits for, and what people said of it."""
    again = f"stagewright orders {{}} {view.order_id}"
    if view.queue_position:
        yield waiting(view)
    if view.approval and view.approval.approved_by:
        yield f"Approved by {view.approval.approved_by}"
    if view.status == "awaiting_approval" and view.approval:
        yield f"Waits for approval until {when(view.approval.due)}; without it the order fails"
        yield f"  {how_to_approve(view.order_id)}"
    if view.cancelled_by:
        yield f"Cancelled by {view.cancelled_by}"
    match view.status:
        case "paused":
            yield f"Resume it: {again.format('resume')}"
        case "reverting":
            yield "What was done is being reversed, the last step first"
        case "stuck":
            yield "Reversing what was done failed, and a person must act:"
    if view.reverted:
        yield "What the order had done is reversed"


def waiting(view: OrderView) -> str:
    """What an order in the queue waits for."""
    return f"Waits for its environment, place {view.queue_position}; order {view.waits_for} has it now"


def addresses(view: EnvironmentView) -> list[str]:
    """Where an environment's services are reached, and whether they say that they are ready."""
    rows = [(each.id, each.health or "", each.url or "") for each in view.services]
    found = ["", *table(("SERVICE", "HEALTH", "URL"), rows)] if rows else []
    return [*found, *maintenance(view)] if rows else []


def maintenance(view: EnvironmentView) -> list[str]:
    """That every address answers 503, where it is so."""
    if not view.maintenance:
        return []
    end = f"stagewright environments maintenance {view.environment_id} off"
    return [f"In maintenance: every domain answers 503. End it: {end}"]


def _stage(stage: StageView) -> tuple[str, ...]:
    took = seconds_between(stage.started_at, stage.finished_at)
    return (_name(stage), stage.status, str(stage.attempts), took)


def _name(stage: StageView | AttemptView) -> str:
    return f"reverse {stage.stage}" if stage.undo else str(stage.stage)


def attempts(view: AttemptList) -> Iterator[str]:
    """`logs --attempts`."""
    rows = ((*_attempt(each), each.error.code if each.error else "") for each in view.attempts)
    yield from table(("STAGE", "SERVICE", "ATTEMPT", "EXECUTOR", "TOOK", "ERROR"), rows)
    for each in view.attempts:
        if each.error or each.run:
            yield ""
            yield " ".join(word for word in (_name(each), each.service, f"attempt {each.attempt}") if word)
            yield from error_lines(each.error) if each.error else ()
        if each.run:
            yield f"  again by hand, on {each.executor or 'the executor'}: {each.run}"


def _attempt(each: AttemptView) -> tuple[str, ...]:
    took = seconds_between(each.started_at, each.finished_at)
    return (_name(each), each.service or "", str(each.attempt), each.executor or "", took)


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
    yield f"Revision {view.revision}{f', last order {view.last_order}' if view.last_order else ''}"
    yield from maintenance(view)
    if view.active_order:
        yield f"Order {view.active_order} is at work on it"
    if view.queue:
        yield f"Waiting for it, the next one first: {', '.join(view.queue)}"
    waiting = [service.id for service in view.services if service.health == "incomplete"]
    if waiting:
        yield f"Up, but not answering as ready yet: {', '.join(waiting)}; they are asked again until they are"
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
