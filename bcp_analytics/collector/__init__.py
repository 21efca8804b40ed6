"""Recording from a Python program: what is recorded arrives once, and never gets in the program's way.

    with Collector("postgresql://...", source="mail-server") as collector:
        collector.record("mail", "send", parameters={"to": "ada"}, duration_ms=12.5, success=True)

        @collector.tracked("mail")
        def send(to: str) -> str: ...

`AsyncCollector` is the same for asyncio programs. docs/reference/collector.md says what is
guaranteed, and what it costs.
"""

from bcp_analytics.collector._stats import CollectorStats
from bcp_analytics.collector.api._calls import Call
from bcp_analytics.collector.api._collector import AsyncCollector, Collector

__all__ = ["AsyncCollector", "Call", "Collector", "CollectorStats"]
