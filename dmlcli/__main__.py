"""`python -m dmlcli` is `dmlcli`."""

from dmlcli.cli.main import main

if __name__ == "__main__":
    main()
