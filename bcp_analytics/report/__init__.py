"""`bcp-analytics report`: what the store says about a range of time, on one page.

`collect` asks the questions; `terminal.show` prints the answers, `html.page` makes one file of them, which
takes the extra `report`.
"""

from bcp_analytics.report._collect import Report, Section, collect

__all__ = ["Report", "Section", "collect"]
