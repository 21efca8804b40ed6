"""What every room may use, and what knows none of them: connections, JSON, twins of SQL functions."""
