"""Copy what the dashboard takes from npm into the package: pinned, with hashes and licences.

`python -m tools.vendor` installs what tools/js/package-lock.json pins, whose hashes npm checks, and copies
the files that the browser gets as they are. Run it after a change of a version; users never need it.
"""

from __future__ import annotations

import hashlib
import json
import shutil

from tools.javascript import MODULES, ROOT, install

TARGET = ROOT / "bcp_analytics" / "serve" / "_dashboard" / "vendor"
# By package: its files, and what they are called here. A module is imported by its name without .js.
FILES = {
    "preact": {"dist/preact.mjs": "preact.js", "hooks/dist/hooks.mjs": "preact-hooks.js"},
    "@preact/signals-core": {"dist/signals-core.mjs": "preact-signals-core.js"},
    "@preact/signals": {"dist/signals.mjs": "preact-signals.js"},
    "htm": {"dist/htm.mjs": "htm.js"},
    "uplot": {"dist/uPlot.iife.min.js": "uplot.js", "dist/uPlot.min.css": "uplot.css"},
}


def listed() -> dict[str, dict[str, str]]:
    """Return what vendor.json says: by file, where it is from and its SHA-256."""
    found: dict[str, dict[str, str]] = json.loads((TARGET / "vendor.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Copy the files, and write where each is from."""
    install()
    shutil.rmtree(TARGET, ignore_errors=True)
    TARGET.mkdir()
    books = {}
    for package, files in FILES.items():
        folder = MODULES / package
        version = json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"]
        licence = "LICENSE." + package.strip("@").replace("/", "-")
        shutil.copyfile(folder / "LICENSE", TARGET / licence)
        for file, name in files.items():
            shutil.copyfile(folder / file, TARGET / name)
            books[name] = {
                "from": f"{package}@{version}/{file}",
                "licence": licence,
                "sha256": hashlib.sha256((TARGET / name).read_bytes()).hexdigest(),
            }
    (TARGET / "vendor.json").write_text(json.dumps(books, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
