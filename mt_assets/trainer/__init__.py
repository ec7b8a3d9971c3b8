"""The library: everything about learning from a table, and nothing about Dagster or MLflow.

Its public functions are listed in `__init__.pyi`; each is imported when it is first used, so that importing this
package costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
