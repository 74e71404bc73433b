"""`python -m trimtab`: the command line, where its script is not on the path."""

from trimtab.cli import main

main()
