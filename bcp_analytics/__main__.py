"""`python -m bcp_analytics` is `bcp-analytics`."""

from bcp_analytics._command import main

if __name__ == "__main__":
    main()
