"""Whether the servers answer alike: what does less work must not do it by answering less."""

import json
import re

from rig.database import Scratch
from rig.scenarios import SCENARIOS
from rig.servers import NAMES, Server
from rig.wire import exchange

COMPARED = ("me", "list", "read")


async def compare_answers(scratch: Scratch, servers: dict[str, Server]) -> None:
    """Raises SystemExit where an answer is not Strata's."""
    for scenario in COMPARED:
        request = SCENARIOS[scenario].requests(scratch.tokens, seed=1)[0]
        answers = {name: await answer(server, request) for name, server in servers.items()}
        for name in NAMES[1:]:
            if answers[name] != answers["strata"]:
                both = "\n".join(f"{which}: {answers[which]}" for which in ("strata", name))
                raise SystemExit(f"{scenario}: {name} answers something else than Strata\n{both}")


async def answer(server: Server, request: str) -> object:
    _, body = await exchange(server.port, request)
    return comparable(json.loads(body))


def comparable(value: object) -> object:
    """Without what may differ: how a decimal is spelled, and what a cursor looks like."""
    if isinstance(value, dict):
        return {key: bool(part) if key == "next_cursor" else comparable(part) for key, part in value.items()}
    if isinstance(value, list):
        return [comparable(part) for part in value]
    return float(value) if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value) else value
