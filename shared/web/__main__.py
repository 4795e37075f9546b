"""`python -m shared.web [FOLDER …]`: add texts without English to the folders' `locale/en.po`."""

import sys

from shared.web.words import main

sys.exit(1 if main(sys.argv[1:]) else 0)
