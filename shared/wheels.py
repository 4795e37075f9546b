"""Programs and files that come inside installed packages, found without importing what carries them."""

import importlib.util
from pathlib import Path


def folder_of(package: str) -> Path:
    """The folder of an installed package. Raises ModuleNotFoundError.

    Not imported: some packages warn or need others when they are, and only their files are wanted.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"The package {package} is missing: run `make install`.")
    return Path(spec.origin).parent
