"""What developers run: `python -m tools.NAME`. Nothing here is in the wheel."""
