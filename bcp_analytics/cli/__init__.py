"""The command line: one module per command, registered in `_app`. `bcp-analytics --help` lists them."""
