"""Streams, consumers and permissions, described in this one place.

`STREAMS` and `DURABLES` are what `declaring.declare` makes true; `USERS` is who may do what, as subjects. The
one-machine stack and larger installations write their server configuration from it.
"""

from dataclasses import dataclass

from nats.js.api import (
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from stagewright.contracts.base import Stage

SUBMIT = "orders.submit"
PLAN = "orders.plan"
ORDERS, COMMANDS, EVENTS, LOGS, DEAD = "ORDERS", "COMMANDS", "EVENTS", "LOGS", "DEAD"
WITHDRAWALS = "WITHDRAWALS"
LEASES_BUCKET = "leases"
ORDER_EVENTS_STAGE = "order"
"""The stage token of what the saga itself says of an order: `events.order.<environment>.<order>`."""

ACK_WAIT = 10.0
"""Seconds in which a command or event must be acknowledged or renewed (`in_progress` every third of it).

It is how long an order waits for an executor that was killed. Two renewals may be lost before a command is
delivered again, and a delivery too many does nothing: leases keep it from running beside the first.
"""

_DAY = 24 * 3600.0
_GIB = 1024**3


def received_subject(environment: str) -> str:
    """Where an accepted order goes."""
    return f"orders.received.{environment}"


def command_subject(stage: str, environment: str, order_id: str) -> str:
    """Where a command goes."""
    return f"commands.{stage}.{environment}.{order_id}"


def event_subject(stage: str, environment: str, order_id: str) -> str:
    """Where the answer to a command goes, and (stage `order`) what became of an order."""
    return f"events.{stage}.{environment}.{order_id}"


def logs_subject(environment: str, order_id: str, stage: str) -> str:
    """Where a stage's live output goes."""
    return f"logs.{environment}.{order_id}.{stage}"


def withdrawal_subject(environment: str, order_id: str) -> str:
    """Where executors learn which commands are not to be done."""
    return f"withdrawals.{environment}.{order_id}"


STREAMS: tuple[StreamConfig, ...] = (
    StreamConfig(
        name=ORDERS,
        subjects=["orders.received.*"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_bytes=_GIB,
        max_age=90 * _DAY,
        duplicate_window=600,
        max_msg_size=256 * 1024,
        allow_atomic=True,
    ),
    StreamConfig(
        name=COMMANDS,
        subjects=["commands.*.*.*"],
        retention=RetentionPolicy.WORK_QUEUE,
        # Every command is on disk in the log before it is published, and published again from there.
        storage=StorageType.MEMORY,
        max_bytes=_GIB // 4,
        discard=DiscardPolicy.NEW,
        duplicate_window=600,
        max_msg_size=1024 * 1024,
        allow_atomic=True,
    ),
    StreamConfig(
        name=WITHDRAWALS,
        subjects=["withdrawals.*.*"],
        retention=RetentionPolicy.LIMITS,
        # Like commands: in the log first, and published again from there.
        storage=StorageType.MEMORY,
        max_bytes=_GIB // 16,
        max_age=_DAY,
        duplicate_window=600,
    ),
    StreamConfig(
        name=EVENTS,
        subjects=["events.*.*.*"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_bytes=4 * _GIB,
        max_age=30 * _DAY,
        duplicate_window=600,
        max_msg_size=1024 * 1024,
        allow_atomic=True,
    ),
    StreamConfig(
        name=LOGS,
        subjects=["logs.*.*.*"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_bytes=_GIB,
        max_age=7 * _DAY,
        duplicate_window=60,
        max_msg_size=256 * 1024,
    ),
    StreamConfig(
        name=DEAD,
        subjects=["dead.>", "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_bytes=_GIB // 4,
        max_age=90 * _DAY,
    ),
    StreamConfig(
        name=f"KV_{LEASES_BUCKET}",
        subjects=[f"$KV.{LEASES_BUCKET}.>"],
        storage=StorageType.FILE,
        max_msgs_per_subject=1,
        max_age=60,
        max_bytes=64 * 1024**2,
        discard=DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
    ),
)


@dataclass(frozen=True)
class Durable:
    """A durable pull consumer: who reads which stream."""

    stream: str
    name: str
    filters: tuple[str, ...] = ()
    max_ack_pending: int = 4096


@dataclass(frozen=True)
class Source:
    """A stream that is tailed from a position which the reader keeps; `filters` are subjects."""

    stream: str
    filters: tuple[str, ...] = ()


SAGA_ORDERS = Source(ORDERS)
SAGA_EVENTS = Source(EVENTS, tuple(f"events.{stage}.*.*" for stage in Stage))
EXECUTOR_WITHDRAWALS = Source(WITHDRAWALS)
EXECUTOR_COMMANDS = Durable(COMMANDS, "executor")
DURABLES: tuple[Durable, ...] = (EXECUTOR_COMMANDS,)


@dataclass(frozen=True)
class User:
    """A NATS user of least privilege: what it may publish and subscribe to, beside its own inbox."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...] = ()

    @property
    def inbox(self) -> str:
        """The user's own inbox prefix, so that nobody reads another's replies."""
        return f"_INBOX_{self.name}"

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Everything that the user may subscribe to: its subjects, its inbox and its presence."""
        return (*self.subscribe, f"{self.inbox}.>", "$SRV.>")


def _pulls(durable: Durable) -> tuple[str, ...]:
    return (
        f"$JS.API.CONSUMER.MSG.NEXT.{durable.stream}.{durable.name}",
        f"$JS.ACK.{durable.stream}.{durable.name}.>",
    )


INTAKE = User(
    "intake",
    publish=(
        "orders.received.*",
        "queries.orders.receipts",
        "queries.plans.believed",
        f"$JS.API.STREAM.MSG.GET.{ORDERS}",
        "dead.orders",
    ),
    subscribe=(SUBMIT, PLAN),
)
ORCHESTRATOR = User(
    "orchestrator",
    publish=(
        "commands.*.*.*",
        "withdrawals.*.*",
        f"events.{ORDER_EVENTS_STAGE}.*.*",
        "dead.events",
        "dead.orders",
        "$JS.API.>",
        "$JS.ACK.>",
        "$SRV.>",
    ),
    subscribe=("queries.>", "control.>", "$SRV.>"),
)
EXECUTOR = User(
    "executor",
    publish=(
        *(f"events.{stage}.*.*" for stage in Stage),
        f"$JS.API.STREAM.INFO.{WITHDRAWALS}",
        f"$JS.API.CONSUMER.CREATE.{WITHDRAWALS}",
        f"$JS.API.CONSUMER.CREATE.{WITHDRAWALS}.>",
        f"$JS.API.CONSUMER.MSG.NEXT.{WITHDRAWALS}.>",
        "logs.*.*.*",
        "dead.commands",
        *_pulls(EXECUTOR_COMMANDS),
        f"$KV.{LEASES_BUCKET}.>",
        f"$JS.API.STREAM.INFO.KV_{LEASES_BUCKET}",
        f"$JS.API.DIRECT.GET.KV_{LEASES_BUCKET}.>",
        f"$JS.API.STREAM.MSG.GET.KV_{LEASES_BUCKET}",
    ),
)
CONSOLE = User(
    "console",
    publish=(
        SUBMIT,
        PLAN,
        "queries.>",
        "control.>",
        "$SRV.>",
        *(
            subject
            for stream in (EVENTS, LOGS)
            for subject in (
                f"$JS.API.STREAM.INFO.{stream}",
                f"$JS.API.CONSUMER.CREATE.{stream}.>",
                f"$JS.API.CONSUMER.CREATE.{stream}",
                f"$JS.API.CONSUMER.INFO.{stream}.>",
                f"$JS.API.CONSUMER.DELETE.{stream}.>",
                f"$JS.API.CONSUMER.MSG.NEXT.{stream}.>",
                f"$JS.ACK.{stream}.>",
                f"$JS.API.STREAM.MSG.GET.{stream}",
                f"$JS.API.DIRECT.GET.{stream}",
                f"$JS.API.DIRECT.GET.{stream}.>",
            )
        ),
        "$JS.FC.>",
    ),
)
USERS: tuple[User, ...] = (INTAKE, ORCHESTRATOR, EXECUTOR, CONSOLE)
