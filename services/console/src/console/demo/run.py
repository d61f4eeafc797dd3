"""The demo from beginning to end."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from console.client import Console, connected
from console.demo.proofs.proof import Proof
from console.demo.proving import prove, unchanged
from console.demo.scene import Scene, scene
from console.demo.stack import stack
from console.showing import watcher
from console.waiting import wait_for_end
from stagewright.errors import Terminal
from stagewright.settings import Settings

ORDER = Path("orders/environment-3.yml")


@dataclass(frozen=True)
class Result:
    """What the demo found; seconds for each step."""

    proofs: tuple[Proof, ...]
    seconds: dict[str, float]
    settings: Settings

    @property
    def holds(self) -> bool:
        """Whether every proof does."""
        return bool(self.proofs) and all(proof.holds for proof in self.proofs)


class Steps:
    """Says what is done, and keeps how long each step took."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self.seconds: dict[str, float] = {}

    def say(self, text: str) -> None:
        """One line at once, also into a pipe; a line that is not indented gets the time before it."""
        stamp = "" if text.startswith(" ") else f"[{time.monotonic() - self._began:5.1f} s] "
        with contextlib.suppress(BrokenPipeError):  # nobody reads any more; the stack must be stopped still
            print(f"{stamp}{text}", file=self._out, flush=True)

    def took(self, name: str, since: float) -> None:
        """Note a step's time."""
        self.seconds[name] = time.monotonic() - since

    @property
    def out(self) -> TextIO:
        """Where everything goes."""
        return self._out


def run(data_dir: Path, examples: Path, out: TextIO, *, keep: bool = False) -> Result:
    """Start a fresh stack, run the example order, prove it, run it again, prove that nothing changed, stop.

    `examples` holds `orders/environment-3.yml` and `repositories/`. Call it from the main thread: the stack
    lives as long as the thread that starts it.

    Raises:
        Terminal: the stack did not start, or the order was rejected.
    """
    steps = Steps(out)
    order = (examples / ORDER).read_bytes()
    steps.say(f"Starting the one-machine stack in {data_dir}")
    began = time.monotonic()
    with stack(data_dir, examples / "repositories", steps.say, keep=keep) as settings:
        steps.took("stack", began)
        proofs = asyncio.run(_order_and_proofs(scene(order, settings), order, steps))
        steps.say("Leaving the stack running" if keep else "Stopping the stack")
    steps.took("everything", began)
    return Result(tuple(proofs), steps.seconds, settings)


async def _order_and_proofs(about: Scene, body: bytes, steps: Steps) -> list[Proof]:
    steps.say("Submitting the order to orders.submit")
    async with connected(about.settings, timeout=10) as console:
        first = await _order("first order", console, body, steps)
        steps.say("Asking the real parts what is true now")
        proofs = await prove(about)
        if not first.holds:
            return [first, *proofs]
        steps.say("Submitting the same content as a new order")
        again = await _order("same order again", console, body, steps, quiet=True)
        changed = unchanged(proofs, await prove(about))
    return [first, *proofs, again, changed]


async def _order(name: str, console: Console, body: bytes, steps: Steps, *, quiet: bool = False) -> Proof:
    began = time.monotonic()
    reply = await console.submit(body)
    if reply.status != "accepted" or reply.order_id is None:
        said = "; ".join(f"{error.field}: {error.message}" for error in reply.errors) or reply.status
        raise Terminal("demo.order_rejected", name, said, "Correct the order.")
    steps.say(f"Order {reply.order_id} accepted")
    with watcher(reply.order_id, quiet=quiet, out=steps.out) as on_entry:
        end = await wait_for_end(console, reply.order_id, on_entry)
    steps.took(name, began)
    return Proof("order", name, end == "succeeded", f"{end} in {steps.seconds[name]:.2f} s")


def table(proofs: Sequence[Proof], columns: Callable[..., list[str]]) -> list[str]:
    """The proofs as lines; `columns` lays out a header and rows."""
    rows = (("holds" if each.holds else "FAILS", each.what, each.subject, each.detail) for each in proofs)
    return columns(("", "PROOF", "OF", "FOUND"), rows)


def how_to_go_on(data_dir: Path, settings: Settings) -> list[str]:
    """What to try with a stack that was kept."""
    ca, port = settings.proxy.root_ca, settings.proxy.https_port
    domain = "manager-api.lab.makeitsaas.com"
    return [
        f"The stack goes on. Use it with --data-dir {data_dir}:",
        f"  stagewright --data-dir {data_dir} orders list",
        f"  stagewright --data-dir {data_dir} environments show 3",
        f"  curl --cacert {ca} --resolve {domain}:{port}:127.0.0.1 https://{domain}:{port}/core/health",
        f"  stagewright --data-dir {data_dir} down",
    ]
