"""Replay one run by its seed: `python -m tests.simulation SEED [STEPS]` tells what was done, and what did not hold."""

import asyncio
import sys

from ops.embedded import Stack
from tests.shared.homes import a_folder, in_memory
from tests.simulation.sequence import STEPS, run
from tests.simulation.town import Ground


def main(seeds: list[int], steps: int) -> None:
    with (
        a_folder(in_memory()) as home,
        Stack(home, say=lambda *_: None, durable=False) as stack,
        Ground(stack, home) as ground,
    ):
        for seed in seeds:
            town = asyncio.run(run(ground, seed, steps))
            told = "\n".join(town.told) if len(seeds) == 1 else f"{seed}: all truths hold"
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    first, _, last = sys.argv[1].partition("-")
    main(list(range(int(first), int(last or first) + 1)), int(sys.argv[2]) if len(sys.argv) > 2 else STEPS)
