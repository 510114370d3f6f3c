"""What clients do has the same responses, rows and mails by the fast path and by FastAPI itself."""

from importlib import import_module
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.api import scripts
from tests.api.both_ways import Both, both_ways
from tests.api.operations import operations

# One for each tag, found where they are: a feature's own goes with it.
NAMES = sorted(path.stem for path in Path(scripts.__path__[0]).glob("[a-z]*.py"))


def not_exercised(both: Both) -> dict[str, list[int]]:
    """Operations that were not both accepted and refused.

    A resource that `strata new resource` wrote needs no script: its operations are those of books.
    """
    scripted = [each for each in operations() if {*each.told["tags"]} & {*NAMES}]
    seen = {each.id: sorted(both.seen[each.id]) for each in scripted}
    return {id_: codes for id_, codes in seen.items() if not codes or codes[0] >= 400 or codes[-1] < 400}


@pytest.mark.slow
@pytest.mark.real_database
async def test_scripts_run_the_same_both_ways(real_url: URL, another_url: URL, tmp_path: Path) -> None:
    async with both_ways(real_url, another_url, tmp_path) as both:
        for name in NAMES:
            await import_module(f"{scripts.__name__}.{name}").script(both)
    assert not_exercised(both) == {}
