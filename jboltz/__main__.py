"""The command `jboltz`, as a module: python -m jboltz."""

from jboltz.commands import main

if __name__ == "__main__":
    main()
