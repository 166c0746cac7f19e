"""`python -m dmlcli` is `dmlcli`."""

from dmlcli.cli.app import main

if __name__ == "__main__":
    main()
