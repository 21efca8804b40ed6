"""What is copied the moment something is recorded: the fields of an event, and where an error was caught."""
