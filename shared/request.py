"""What handlers and guards receive: Litestar's own, its open parameters filled in once for all doors."""

from typing import Any

import litestar
from litestar.connection import ASGIConnection

Request = litestar.Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, Any]
