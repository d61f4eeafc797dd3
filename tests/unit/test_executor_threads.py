"""Calls in threads: waited for when their task is cancelled, and not begun when its tenure is over."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from executor.adapters.aws import Route53
from executor.adapters.threads import in_thread
from executor.adapters.vault import VaultSecrets
from executor.tenure import TENURE, Tenure
from stagewright.errors import Retryable
from stagewright.settings import VaultSettings
from tests.support.eventually import eventually
from tests.support.executor_strict_aws import StrictRoute53


class Call:
    """A call that lasts until it is let go."""

    def __init__(self) -> None:
        self.begun, self.go, self.done = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, *_arguments: object) -> str:
        self.begun.set()
        assert self.go.wait(10)
        self.done.set()
        return "done"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


async def stopped(task: "asyncio.Task[object]", call: Call) -> None:
    """Cancelled twice, it ends when the call has ended, and no sooner."""
    await eventually(call.begun.is_set)
    task.cancel()
    await asyncio.wait({task}, timeout=0.05)
    task.cancel()
    await asyncio.wait({task}, timeout=0.05)
    assert not task.done()
    call.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.done.is_set()


async def test_a_call_of_aws_is_over_when_its_task_is() -> None:
    call = Call()
    await stopped(asyncio.create_task(Route53(StrictRoute53())._call("zone", call)), call)  # type: ignore[arg-type]


async def test_a_call_of_the_vault_is_over_when_its_task_is(monkeypatch: pytest.MonkeyPatch) -> None:
    call, vault = Call(), VaultSecrets(VaultSettings())
    monkeypatch.setattr(vault, "_logged_in", lambda: None)
    await stopped(asyncio.create_task(vault._call(call)), call)
    vault.close()


async def test_a_call_that_waits_for_a_thread_is_dropped(pool: ThreadPoolExecutor) -> None:
    first, second = Call(), Call()
    running = asyncio.create_task(in_thread(pool, first))
    await eventually(first.begun.is_set)
    waiting = asyncio.create_task(in_thread(pool, second))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
    first.go.set()
    assert await running == "done"
    assert not second.begun.is_set()


async def test_an_error_is_the_calls_own(pool: ThreadPoolExecutor) -> None:
    with pytest.raises(KeyError):
        await in_thread(pool, lambda: {}["missing"])


async def test_none_begins_after_the_tenure(pool: ThreadPoolExecutor) -> None:
    call = Call()
    call.go.set()
    tenure = Tenure(time.monotonic() - 1)
    token = TENURE.set(tenure)
    try:
        with pytest.raises(Retryable) as caught:
            await in_thread(pool, call)
        assert not call.begun.is_set()
        tenure.extend(time.monotonic() + 60)
        assert await in_thread(pool, call) == "done"
    finally:
        TENURE.reset(token)
    assert caught.value.info.code == "executor.stalled"
