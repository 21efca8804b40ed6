"""Check the JavaScript with eslint and the TypeScript compiler, by the Node.js of the embedded database.

`python -m tools.javascript` first installs what tools/js/package-lock.json pins, when that has changed.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from bcp_analytics.embedded._runtime import find_node, npm_command

ROOT = Path(__file__).parent.parent
TOOLS = ROOT / "tools" / "js"
MODULES = TOOLS / "node_modules"
INSTALLED = MODULES / ".installed"
NODE = find_node()


def install() -> None:
    """Install the pinned packages, whose hashes npm checks, unless they are there."""
    digest = hashlib.sha256((TOOLS / "package-lock.json").read_bytes()).hexdigest()
    if INSTALLED.exists() and INSTALLED.read_text() == digest:
        return
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run([*npm_command(NODE), "ci", *options], cwd=TOOLS, check=True)  # noqa: S603
    INSTALLED.write_text(digest)


def main() -> int:
    """Return the exit code: 1 when there is something to mend."""
    install()
    eslint = [MODULES / "eslint" / "bin" / "eslint.js", "--config", TOOLS / "eslint.config.mjs"]
    tsc = MODULES / "typescript" / "bin" / "tsc"
    # What Node.js runs, and what a browser does.
    projects = [TOOLS / "tsconfig.json", TOOLS / "tsconfig.dashboard.json"]
    commands = [
        [NODE, *eslint, "bcp_analytics", "tests", "tools"],
        *([NODE, tsc, "--project", project] for project in projects),
    ]
    running = [subprocess.Popen(command, cwd=ROOT) for command in commands]  # noqa: S603
    exits = [process.wait() for process in running]
    return int(any(exits))


if __name__ == "__main__":
    sys.exit(main())
