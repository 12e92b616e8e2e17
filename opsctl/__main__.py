"""`python -m opsctl` is the `opsctl` command."""

from opsctl.cli.main import main

if __name__ == "__main__":
    main()
