"""What a caller's type checker sees of the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_calls_have_the_types_they_say() -> None:
    # Unused ignores are errors, so that the wrong calls must be wrong.
    file = Path(__file__).with_name("typed_use.py")
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
