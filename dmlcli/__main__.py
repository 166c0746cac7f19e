"""`python -m dmlcli` is `dmlcli`."""

from dmlcli.cli.start import main

if __name__ == "__main__":
    main()
