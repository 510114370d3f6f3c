"""An nginx of a test's own, with the configuration of docs/operate.md; skipped without the program, but not in CI."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis import free_port

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DOCS = Path(__file__).parents[1] / "docs" / "operate.md"
LOCATION = re.compile(r"location [^{]*{[^}]*}")
# All that it writes stays in its folder, whoever runs it.
MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {site}
}}
"""


def documented() -> list[str]:
    """The blocks of the documentation: the whole site, then the two locations below a prefix."""
    return re.findall(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)


def site(upstream: int, port: int, location: str | None, replacements: dict[str, str]) -> str:
    """As documented, but for the addresses, the certificate, and what a test wants else."""
    text = documented()[0].replace("127.0.0.1:8000", f"127.0.0.1:{upstream}")
    text = re.sub(r"ssl_certificate.*", "", text).replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    text = text if location is None else LOCATION.sub(lambda _: location, text)
    for before, after in replacements.items():
        assert before in text, before
        text = text.replace(before, after)
    return text


@contextmanager
def nginx(
    upstream: int, folder: Path, location: str | None = None, replacements: dict[str, str] | None = None
) -> Iterator[str]:
    """The address of a real nginx before the server at port `upstream`; `location` takes the place of its own."""
    if PROGRAM is None:
        assert os.environ.get("CI") != "true", "CI must have nginx"
        pytest.skip("needs the program nginx")
    port = free_port()
    config, log = folder / "nginx.conf", folder / "nginx.log"
    config.write_text(MAIN.format(folder=folder, site=site(upstream, port, location, replacements or {})))
    process = subprocess.Popen([PROGRAM, "-p", folder, "-e", log, "-c", config], stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
