"""The command line: one module a command, registered in `_app`. `bcp-analytics --help` lists them."""
