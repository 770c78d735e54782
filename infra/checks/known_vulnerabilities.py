"""``python -m infra.checks.known_vulnerabilities``: has a pinned package a known hole?

Every package of requirements-dev.txt, which holds all others' pins, is looked up in the OSV
database by pip-audit. Where that cannot be reached the check says so and passes; a finding always
fails it. A clean answer is good for a day.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
PINS = ROOT / "requirements-dev.txt"
STAMP = ROOT / ".venv" / ".dependencies-checked"

#: Findings that do not concern us, each with the reason.
ACCEPTED: dict[str, str] = {}

#: For one answer, and for all of them, in seconds.
ANSWER_SECONDS = 5
ALL_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Report:
    """What pip-audit's answer says.

    Attributes:
        holes: one line each.
        unknown: packages that were not looked up, or that the database does not know.
        asked: packages in all.
    """

    holes: list[str]
    unknown: list[str]
    asked: int


def read(answer: str) -> Report | None:
    """What pip-audit wrote, None if it is no report: it ended before it had one."""
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    holes, unknown = [], []
    for package in packages:
        if "skip_reason" in package:
            unknown.append(package["name"])
        for hole in package.get("vulns", ()):
            fixed = ", ".join(hole.get("fix_versions", ())) or "no release yet"
            holes.append(f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixed}")
    return Report(holes, unknown, len(packages))


def audit(database: str | None = None) -> str | None:
    """Run pip-audit.

    Args:
        database: address of an OSV service other than the public one.

    Returns:
        What it wrote to standard output; None when it took too long.
    """
    command = [
        sys.executable, "-m", "pip_audit", "--requirement", str(PINS),
        "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off",
        "--vulnerability-service", "osv", "--timeout", str(ANSWER_SECONDS),
    ]  # fmt: skip
    for name in ACCEPTED:
        command += ["--ignore-vuln", name]
    if database is not None:
        command += ["--osv-url", database]
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command, check=False, capture_output=True, text=True, timeout=ALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout


def _state() -> str:
    """The pins and the day: as long as this is the same, so is the answer."""
    pins = sha256(PINS.read_bytes()).hexdigest()
    return f"{pins} {sorted(ACCEPTED)} {datetime.now(UTC).date()}"


def judge(report: Report | None) -> tuple[int, str]:
    """Exit code and what to say."""
    if report is None:
        return 0, "NOT CHECKED for known holes: the database (OSV) cannot be reached"
    if report.holes:
        return 1, "packages with known holes:\n  " + "\n  ".join(report.holes)
    if report.unknown:
        return 0, f"NOT CHECKED: {len(report.unknown)} of {report.asked} packages are unknown there"
    return 0, f"no known hole in {report.asked} packages"


def main() -> int:
    """Check, unless that was done today; returns the exit code."""
    state = _state()
    if STAMP.is_file() and STAMP.read_text(encoding="utf-8") == state:
        return 0
    database = sys.argv[1] if sys.argv[1:] else None
    report = read(audit(database) or "")
    code, text = judge(report)
    sys.stderr.write(f"dependencies: {text}\n")
    if report is not None and not report.holes and not report.unknown and STAMP.parent.is_dir():
        STAMP.write_text(state, encoding="utf-8")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
