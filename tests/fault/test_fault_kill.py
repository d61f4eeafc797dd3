"""kill -9 of any one process in any stage: its supervisor starts it again, the order ends well, nothing is
there twice."""

import pytest

from console.client import connected
from stagewright.contracts.base import CLEANING, STAGES, Stage
from tests.support.eventually import eventually
from tests.support.whole_stack import WholeStack, fresh, reached, submit, succeeded
from tests.support.whole_stack_facts import answered_once, everything_holds
from tests.support.whole_stack_holds import held

IN_EVERY_STAGE = ("orchestrator", "executor")
IN_SOME_STAGES = {
    "nats": (Stage.INSPECT, Stage.DEPLOY_SERVICES),
    "order-intake": (Stage.INSPECT,),
    "openbao": (Stage.CREATE_VARIABLES, Stage.DEPLOY_SERVICES),
    "caddy": (Stage.DEPLOY_SERVICES, Stage.UPDATE_ROUTES),
    "aws": (Stage.CONFIGURE_ENVIRONMENT,),
    "s3": (Stage.ALLOCATE_RESOURCES, Stage.DEPLOY_SERVICES),
    "postgres": (Stage.DEPLOY_SERVICES,),
    "server-1": (Stage.DEPLOY_SERVICES, Stage.UPDATE_ROUTES),
}
PIPELINE = tuple(stage for stage in STAGES if stage not in CLEANING)
CASES = [
    *(pytest.param(name, PIPELINE, id=name) for name in IN_EVERY_STAGE),
    *(pytest.param(name, stages, id=name) for name, stages in IN_SOME_STAGES.items()),
]


@pytest.mark.parametrize(("victim", "stages"), CASES)
async def test_an_order_survives(victim: str, stages: tuple[Stage, ...], whole: WholeStack) -> None:
    order = whole.order(fresh("kill"))
    async with connected(whole.settings, timeout=10) as console:
        with held(whole, *stages) as holds:
            order_id = await submit(console, order)
            for stage in stages:
                await reached(console, order_id, stage)
                # In hand, not only on its way: what is killed here is an executor at work.
                await eventually(whole.pending, timeout=60)
                holds.prepare()
                await whole.kill(victim)
                holds.release(stage)
        await succeeded(console, order_id)
        await answered_once(console, order_id)
    await everything_holds(whole, whole.scene(order))
