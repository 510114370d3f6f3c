"""What administrators have done in the background."""

from app.models.user import Role
from tests.api.both_ways import Both

TASKS = "/api/v1/tasks"
SEND = f"{TASKS}/send-notification"
MAIL = {"email": "grete@example.com", "subject": "Planned maintenance", "message": "On Sunday.\nFrom 2 to 3."}


async def script(both: Both) -> None:
    await both.user("addressee")
    await both.user("announcer", role=Role.ADMIN)
    await both.send(f"POST {SEND}", 401, json=MAIL)
    await both.send(f"POST {SEND}", 403, by="addressee", json=MAIL)
    await both.send(f"POST {SEND}", 202, by="announcer", json=MAIL)
    key = {"Idempotency-Key": "maintenance"}
    await both.send(f"POST {SEND}", 202, by="announcer", json=MAIL, headers=key)
    sent = await both.send(f"POST {SEND}", 202, by="announcer", json=MAIL, headers=key)
    await both.send(f"POST {SEND}", 422, by="announcer", json=MAIL | {"subject": "Later"}, headers=key)
    for wrong in ({"subject": "Two\nlines"}, {"email": "grete"}, {"message": 1}, {"colour": "red"}):
        await both.send(f"POST {SEND}", 422, by="announcer", json=MAIL | wrong)
    url = f"{TASKS}/{sent.json()['task_id']}"
    await both.send(f"GET {url}", 401)
    await both.send(f"GET {url}", 403, by="addressee")
    await both.send(f"GET {url}", 200, by="announcer")
    await both.send(f"HEAD {url}", 200, by="announcer")
    await both.send(f"GET {TASKS}/999999", 404, by="announcer")
    await both.send(f"GET {TASKS}/x", 422, by="announcer")
