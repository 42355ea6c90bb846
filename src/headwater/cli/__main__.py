"""`python -m headwater.cli`: the command line, where its script is not on the path."""

from headwater.cli.door import main

main()
