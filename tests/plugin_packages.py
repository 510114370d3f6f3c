"""Packages that provide plugins, installed the way an installer leaves them: files and a `.dist-info`."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.db.migrations import ROOT
from app.core.plugins import plugins_on


def documented_plugin() -> str:
    """The plugin that docs/plugins.md shows: what people copy must work."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/plugins.md").read_text(), re.DOTALL)
    (source,) = [block for block in blocks if "def init_app" in block]
    return source


def install(folder: Path, source: str, name: str = "stock", *, package: str = "acme_stock", value: str = "") -> None:
    """Put a distribution with one plugin into a folder that is, or will be, on the path."""
    folder.mkdir(exist_ok=True)
    (folder / f"{package}.py").write_text(source)
    info = folder / f"{package}-1.2.3.dist-info"
    info.mkdir()
    distribution = package.replace("_", "-")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2.3\n")
    (info / "entry_points.txt").write_text(f"[strata.modules]\n{name} = {value or package}\n")
    plugins_on.cache_clear()


@contextmanager
def on_the_path(folder: Path) -> Iterator[Path]:
    """The packages in a folder can be imported meanwhile, and are forgotten afterwards."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
