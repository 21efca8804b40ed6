"""The packages of other people that are tried, in exactly these versions, in a folder of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

SDK_TYPESCRIPT = "@modelcontextprotocol/sdk"
SDK_PYTHON = "mcp"
NPM = {
    SDK_TYPESCRIPT: "1.32.2",
    "@modelcontextprotocol/server-everything": "2026.8.31",
    "@modelcontextprotocol/server-filesystem": "2026.8.31",
}
PYPI = {
    SDK_PYTHON: "2.3.0",
    "mcp-server-git": "2026.10.19",
    "mcp-server-fetch": "2026.10.24",
    "fastmcp": "4.2.3",
    "uvicorn": "0.54.0",
}
INSTALL_S = 600


class Packages:
    """What could be installed into `folder`; `missing` says of each of the others why not."""

    def __init__(self, folder: Path) -> None:
        """Install what is not there yet."""
        self.folder = folder
        self.python = str(folder / "python" / "bin" / "python")
        self.missing: dict[str, str] = {}
        if not Path(self.python).exists():
            subprocess.run([sys.executable, "-m", "venv", folder / "python"], check=True)  # noqa: S603
        # Constraints keep each from bringing another version of one of the others.
        pinned = folder / "constraints.txt"
        pinned.write_text("".join(f"{name}=={version}\n" for name, version in PYPI.items()))
        pip = [
            self.python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-c",
            str(pinned),
        ]
        for name, version in PYPI.items():
            self._install(name, version, [*pip, f"{name}=={version}"], str(folder))
        # What records in the server that is stopped.
        self._install("bcp_analytics", "", [*pip, f"{REPOSITORY}[binary]"], str(folder))
        npm = shutil.which("npm")
        for name, version in NPM.items():
            if npm is None:
                self.missing[name] = "there is no npm"
                continue
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--save-exact", "--prefix", str(folder)]
            self._install(name, version, [npm, "install", *options, f"{name}@{version}"], str(folder))

    def _install(self, name: str, version: str, command: list[str], folder: str) -> None:
        print(f"installing {name} {version}", file=sys.stderr)
        try:
            subprocess.run(  # noqa: S603
                command, check=True, capture_output=True, text=True, timeout=INSTALL_S, cwd=folder
            )
        except subprocess.CalledProcessError as error:
            said = [
                line for line in error.stderr.splitlines() if line.startswith(("ERROR:", "npm error code"))
            ]
            self.missing[name] = (said or ["no reason given"])[0]
        except subprocess.TimeoutExpired:
            self.missing[name] = f"not installed within {INSTALL_S} s"

    def node(self, package: str, *arguments: str) -> list[str]:
        """Return the command that runs the one program of an npm package."""
        folder = self.folder / "node_modules" / package
        programs = json.loads((folder / "package.json").read_text())["bin"]
        return ["node", str(folder / next(iter(programs.values()))), *arguments]
