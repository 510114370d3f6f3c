"""Tables, one module per resource. Importing this package loads them all, so that `Base.metadata` is complete."""

import pkgutil
from importlib import import_module

from app.models.base import Base

for module in pkgutil.iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")

metadata = Base.metadata
