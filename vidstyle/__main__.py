"""``python -m vidstyle``."""

import sys

from .cli import main

sys.exit(main())
