"""What a program calls: Collector, AsyncCollector, and the context manager around one call."""
