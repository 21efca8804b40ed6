"""Alerts reach people: takes messages from the outbox of the store, and sends them to their channels.

SQL decides what is sent to whom, and when again; this room only sends it, and says how it went.
"""

from bcp_analytics.notify._notifier import Notifier, Outcome

__all__ = ["Notifier", "Outcome"]
