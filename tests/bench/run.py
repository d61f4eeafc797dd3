"""`make bench`: orders through the whole system, beside raw JetStream publishing on the same server.

Writes `build/bench.json` and prints a table. Absolute figures hold for one machine and moment: quote the
ratio to raw publishing.
"""

import asyncio
import json
import platform
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import uvloop
from nats.aio.client import Client
from nats.js.api import StorageType, StreamConfig
from rich.console import Console
from rich.table import Table

from orchestrator.store.event_store import EventStore
from tests.bench.crowd import forty_orders
from tests.bench.load import Load
from tests.bench.playbooks import playbooks
from tests.bench.system import System, running

ALONE, ROUNDS, TOGETHER, CALLERS = 200, 3, 4096, (16, 128, 512)
RAW = "dead.events"
"""A subject that the orchestrator may publish on; its stream makes room for a moment."""
OUTPUT = Path("build/bench.json")


async def raw_publish(admin: Client) -> float:
    """Messages a second that the same server stores, synced, from one pipelining publisher."""
    js = admin.jetstream()
    await js.delete_stream("DEAD")
    await js.add_stream(StreamConfig(name="RAW", subjects=[RAW], storage=StorageType.FILE))
    started = time.perf_counter()
    count = 3000
    for _ in range(count // 100):
        acks = [await js.publish_async(RAW, b"x" * 600) for _ in range(100)]
        await asyncio.gather(*acks)
    seconds = time.perf_counter() - started
    await js.delete_stream("RAW")
    return count / seconds


async def measure(system: System) -> dict[str, Any]:
    """One caller alone (the middle one of three rounds), then more and more; the best of these counts."""
    load = Load(system.client)
    await load.begin()
    await load.run(max(CALLERS), max(CALLERS))  # warm: every environment exists from here on
    rounds = []
    for _ in range(ROUNDS):
        await load.run(ALONE, 1)
        rounds.append(_percentiles(load.latencies))
    alone = sorted(rounds, key=lambda each: each["p50"])[ROUNDS // 2]
    crowds = [await _crowd(system, load, callers) for callers in CALLERS]
    best = max(crowds, key=lambda crowd: float(crowd["orders_per_second"]))
    return {
        "orders_per_second": best["orders_per_second"],
        "latency_ms": alone,
        "cpu_ms_per_order": best["cpu_ms_per_order"],
        "events_per_order": best["events_per_order"],
        "by_callers": crowds,
        "orders_failed": load.failed,
    }


async def _crowd(system: System, load: Load, callers: int) -> dict[str, Any]:
    """Throughput, latency and CPU with so many callers at once, each on an environment of its own."""
    before, events_before = system.cpu_seconds(), _events(system)
    seconds = await load.run(TOGETHER, callers)
    after, events_after = system.cpu_seconds(), _events(system)
    done = len(load.latencies)
    cpu = {name: round((after[name] - before[name]) / done * 1000, 3) for name in after}
    return {
        "callers": callers,
        "orders_per_second": round(done / seconds, 1),
        "latency_ms": _percentiles(load.latencies),
        "cpu_ms_per_order": round(sum(cpu.values()), 3),
        "cpu_ms_by_process": cpu,
        "events_per_order": round((events_after - events_before) / done, 2),
    }


def _percentiles(latencies: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(latencies, n=100)
    return {"p50": round(cuts[49] * 1000, 2), "p99": round(cuts[98] * 1000, 2)}


def _events(system: System) -> int:
    store = EventStore.open("", system.data_dir)
    try:
        return store.last_position()
    finally:
        store.close()


async def bench() -> dict[str, Any]:
    """Measure, with the raw figure from the same server in the same minute."""
    async with running() as system:
        figures = await measure(system)
        figures["raw_publish_per_second"] = round(await raw_publish(system.admin), 1)
    figures["orders_to_raw_publish"] = round(
        figures["orders_per_second"] / figures["raw_publish_per_second"], 4
    )
    figures["forty_orders"] = await forty_orders()
    return figures | {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
    }


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


def show(figures: dict[str, Any]) -> None:
    """Print what was measured."""
    console = Console()
    crowds = Table("callers", "orders/s", "p50 ms", "p99 ms", "CPU ms an order", title="Whole system")
    for crowd in figures["by_callers"]:
        latency = crowd["latency_ms"]
        row = (
            crowd["callers"],
            crowd["orders_per_second"],
            latency["p50"],
            latency["p99"],
            crowd["cpu_ms_per_order"],
        )
        crowds.add_row(*map(str, row))
    console.print(crowds)
    single = Table("figure", "value", title="In one line each")
    for name, value in figures.items():
        if name != "by_callers":
            single.add_row(name, json.dumps(value) if isinstance(value, dict) else str(value))
    console.print(single)


def main() -> None:
    """Run, write, print; exit 1 where an order failed."""
    figures = uvloop.run(bench())
    figures["playbooks"] = playbooks()
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)
    sys.exit(1 if figures["orders_failed"] or figures["forty_orders"]["failed"] else 0)


if __name__ == "__main__":
    main()
