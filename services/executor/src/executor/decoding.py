"""From a message to a command."""

import re

from nats.aio.msg import Msg
from pydantic import ValidationError

from stagewright.contracts.commands import ALL_COMMANDS, Command
from stagewright.contracts.orders import ID_PATTERN, ORDER_ID_PATTERN
from stagewright.messaging.envelope import header
from stagewright.messaging.topology import command_subject

_TYPES: dict[str, type[Command]] = {command.ce_type: command for command in ALL_COMMANDS}
_ENVIRONMENT = re.compile(ID_PATTERN.replace("$", r"\Z"))
_ORDER = re.compile(ORDER_ID_PATTERN.replace("$", r"\Z"))


class Malformed(Exception):  # noqa: N818 - says what the message is
    """A message that is no command; the text says why, without the message's content."""


def decode(msg: Msg) -> Command:
    """The command in a message.

    Raises:
        Malformed: unknown type, not its schema, or on a subject that is not its own.
    """
    kind = header(msg.headers, "ce-type")
    model = _TYPES.get(kind or "")
    if model is None:
        raise Malformed("no known command type")
    try:
        command = model.model_validate_json(msg.data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, part["loc"])) for part in error.errors(include_input=False)[:5])
        raise Malformed(f"not its schema: {fields}") from None
    if not (_ENVIRONMENT.match(command.environment) and _ORDER.match(command.order_id)):
        raise Malformed("environment or order is no identifier")
    if msg.subject != command_subject(command.stage, command.environment, command.order_id):
        raise Malformed("subject and body name different commands")
    return command
