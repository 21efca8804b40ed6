"""How people see answers: tables, small charts, and characters that nobody would see otherwise."""
