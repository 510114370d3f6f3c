"""What is used of SQLAlchemy beyond its documentation: where this fails, look at `app/core/db/prepared.py`.

The ceiling in pyproject.toml keeps the next minor version away. Raise it when this passes and, with the new version,
the whole suite does on both databases: SQLAlchemy's minor versions change what is not documented without notice.
"""

from sqlalchemy import Numeric, bindparam, column, select
from sqlalchemy.engine import make_url


def test_a_compiled_statement_tells_its_parameters_in_the_order_of_their_places() -> None:
    bound = bindparam("least", type_=Numeric())
    compiled = (
        select(column("a"))
        .where(column("b") >= bound, column("c") == "x", column("d") < bound)
        .compile(dialect=make_url("postgresql+asyncpg://").get_dialect()())
    )
    assert compiled.positiontup == ["least", "c_1"]
    kinds = {name: type(bind.type) for bind, name in compiled.bind_names.items()}
    assert kinds["least"] is Numeric
    assert [bind.required for bind in compiled.bind_names] == [True, False]
    assert "$1" in str(compiled)
    assert "$2" in str(compiled)
