"""Control: what people ask of orders, answered when it is stored."""

from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.micro.request import Request
from nats.micro.service import Service
from pydantic import ValidationError

from orchestrator.app.process import Process
from orchestrator.domain.inputs import Control
from stagewright.contracts.control import VERBS, ControlReply, ControlRequest, Verb, control_subject
from stagewright.errors import ErrorInfo, StagewrightError, Terminal


async def serve(client: Client, service: Service, process: Process) -> None:
    """Add an endpoint for each verb, and make sure that the server knows them before anybody is told."""
    for verb in VERBS:
        await service.add_endpoint(
            name=f"control-{verb}", subject=control_subject(verb), handler=_handler(process, verb)
        )
    await client.flush()


def _handler(process: Process, verb: Verb) -> Callable[[Request], Awaitable[None]]:
    async def handle(request: Request) -> None:
        reply = await answer(process, verb, request.data)
        await request.respond(reply.model_dump_json().encode())

    return handle


async def answer(process: Process, verb: Verb, body: bytes) -> ControlReply:
    """Do it, and say so; or say why not."""
    try:
        asked = ControlRequest.model_validate_json(body)
    except ValidationError as error:
        return ControlReply(status="refused", order_id="", error=_malformed(error))
    try:
        await process.ask(Control(verb, asked), f"control:{verb}")
    except StagewrightError as error:
        return ControlReply(status="refused", order_id=asked.order_id, error=error.info)
    return ControlReply(status="done", order_id=asked.order_id)


def _malformed(error: ValidationError) -> ErrorInfo:
    first = error.errors(include_input=False, include_url=False)[0]
    return Terminal(
        "control.malformed",
        ".".join(str(part) for part in first["loc"]) or "body",
        first["msg"],
        "Send the JSON document that the contract describes.",
    ).info
