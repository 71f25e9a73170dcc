"""`python -m statekeeper`: the `statekeeper` program, for where scripts are not on the path."""

from statekeeper.cli.entry import main

if __name__ == "__main__":
    main()
