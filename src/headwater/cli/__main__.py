"""`python -m headwater.cli`: the command line, where its script is not on the path."""

import sys

from headwater.cli.door import main

sys.exit(main())
