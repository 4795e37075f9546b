"""`nguonthu`, for a house whose services reach their stores by lines that a test holds in its hands.

`LINES` names their ports: {"postgres": 20001, …}. Whoever runs the house reaches the stores themselves.
"""

import json
import os

from ops.cli import main
from ops.embedded import stack
from shared.contracts import SERVICES

LINES: dict[str, int] = json.loads(os.environ.pop("LINES"))
decided = stack.Stack.env


def env(house: stack.Stack, service: str | None = None) -> dict[str, str]:
    found = decided(house, service)
    if service in SERVICES:
        for store, port in LINES.items():
            variable = f"NGUONTHU_{store.upper()}_URL"
            found[variable] = found[variable].replace(f":{house.ports.of(store)}", f":{port}")
    return found


stack.Stack.env = env  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
