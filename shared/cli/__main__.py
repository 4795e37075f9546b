"""`python -m shared.cli` is `nguonthu`."""

from shared.cli import main

main()
