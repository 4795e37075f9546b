"""`python -m ops.cli` is `nguonthu`."""

from ops.cli import main

main()
