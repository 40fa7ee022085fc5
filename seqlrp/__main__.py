"""`python -m seqlrp`: the command line."""

from seqlrp.cli import main

if __name__ == "__main__":
    main()
