#!/usr/bin/env python3
"""Ask a vulnerability database about every package of constraints.txt, with pip-audit.

Exit codes: 0 none is known, or the database cannot be reached, which is said; 1 some are vulnerable;
2 pip-audit is not there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SECONDS = 600
# Known and judged: the identifier, and why it does no harm here. Empty is the rule.
ACCEPTED: dict[str, str] = {}


def ask() -> dict[str, Any] | None:
    """Give pip-audit's report, or None where it got no answer at all."""
    program = Path(sys.executable).with_name("pip-audit")
    if not program.exists():
        print(f"audit: {program} is not installed: pip install pip-audit", file=sys.stderr)
        sys.exit(2)
    command = [program, "--requirement", ROOT / "constraints.txt", "--no-deps", "--disable-pip"]
    command += ["--format", "json", "--progress-spinner", "off", "--timeout", "15"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None
    return report


def judge(report: dict[str, Any] | None) -> tuple[int, str]:
    """Give the exit code and what to say of a report."""
    packages = report["dependencies"] if report else []
    asked = [package for package in packages if "skip_reason" not in package]
    if not asked:
        return 0, "audit: NOTHING WAS AUDITED: the vulnerability database cannot be reached from here"
    lines, bad = [], 0
    for package in asked:
        for found in package.get("vulns", ()):
            names = {found["id"], *found.get("aliases", ())}
            known = next((ACCEPTED[name] for name in names if name in ACCEPTED), None)
            bad += known is None
            repaired = ", ".join(found.get("fix_versions", ())) or "no version"
            note = f"accepted: {known}" if known else f"repaired in {repaired}"
            lines.append(f"audit: {package['name']} {package['version']}: {found['id']}: {note}")
    left = len(packages) - len(asked)
    lines.append(
        f"audit: {len(asked)} packages asked about, {bad} vulnerabilities"
        + (f"; {left} packages are unknown to the database" if left else "")
    )
    return int(bad > 0), "\n".join(lines)


if __name__ == "__main__":
    code, text = judge(ask())
    print(text)
    sys.exit(code)
