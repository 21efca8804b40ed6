"""Servers and clients that nobody here wrote: each call is recorded once, and as the client saw it end."""
