"""TLS to PostgreSQL, with certificates that a URL names."""

from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from app.core.config.settings import Settings
from app.core.db.engine import create_engine
from app.core.db.errors import sqlstate
from tests.tls import Authority, tls_server


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    return Authority(tmp_path)


async def outcome(url: str) -> str | None:
    """How far it gets: `3D000` is what the server says once there is TLS."""
    settings = Settings.model_validate({"database_url": url})
    engine = create_engine(settings.database, settings)
    try:
        async with engine.connect():
            return "connected"
    except (OSError, SQLAlchemyError) as error:
        return sqlstate(error) or "no TLS"
    finally:
        await engine.dispose()


@pytest.mark.parametrize(
    ("query", "host", "expected"),
    [
        ("sslmode=verify-full&sslrootcert={ca}", "localhost", "3D000"),
        ("sslmode=verify-full&sslrootcert={ca}", "elsewhere.test", "no TLS"),
        ("sslmode=verify-ca&sslrootcert={ca}", "elsewhere.test", "3D000"),
        ("sslmode=require&sslrootcert={ca}", "elsewhere.test", "3D000"),
        ("sslmode=require&sslrootcert={other}", "localhost", "no TLS"),
        ("sslmode=require&channel_binding=require&sslrootcert={other}", "localhost", "no TLS"),
        ("sslmode=require&channel_binding=require&sslrootcert={ca}", "localhost", "3D000"),
        ("sslmode=verify-full", "localhost", "no TLS"),
        ("sslrootcert=system", "localhost", "no TLS"),
        ("sslmode=require", "elsewhere.test", "3D000"),
    ],
)
async def test_a_server_is_trusted_as_far_as_the_url_says(
    authority: Authority, tmp_path: Path, query: str, host: str, expected: str
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    async with tls_server(authority, host) as (_, port):
        url = f"postgresql://u:p@localhost:{port}/d?{query.format(ca=authority.path, other=other.path)}"
        assert await outcome(url) == expected


async def test_the_server_learns_which_host_was_meant_and_sees_the_clients_certificate(authority: Authority) -> None:
    certificate, key = authority.issue("strata")
    query = f"sslmode=verify-full&sslrootcert={authority.path}&sslcert={certificate}&sslkey={key}"
    async with tls_server(authority, "localhost") as (server, port):
        assert await outcome(f"postgresql://u:p@localhost:{port}/d?{query}&options=endpoint%3Dep-1") == "3D000"
    assert server.names == ["localhost"]
    assert server.parameters[0]["options"] == "endpoint=ep-1"
    (client,) = server.clients
    assert "strata" in str(client)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=verify-full&sslrootcert=/nowhere", "sslrootcert must be the path of a file in PEM"),
        ("sslmode=require&sslcrl={text}", "sslcrl must be the path of a file in PEM"),
        ("sslmode=require&sslcert={text}", "sslcert, sslkey: must be the path of a file in PEM"),
        ("sslmode=require&sslcert={ca}&sslkey=/nowhere", "sslcert, sslkey: must be the path of a file in PEM"),
        ("sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert"),
        ("passfile=/nowhere", "passfile must be the path of a file that this process alone can read"),
        ("passfile={text}", "passfile must be the path of a file that this process alone can read"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_before_anything_connects(
    authority: Authority, tmp_path: Path, query: str, message: str
) -> None:
    text = tmp_path / "text"
    text.write_text("no PEM")
    text.chmod(0o644)
    url = f"postgresql://u:p@h/d?{query.format(text=text, ca=authority.path)}"
    with pytest.raises(ValueError, match=f"DATABASE_URL: {message}"):
        Settings.model_validate({"database_url": url})
