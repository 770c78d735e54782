"""``python -m infra.checks.secrets``: does a file of the repository look as if it held a secret?

.secrets.baseline lists, by file and digest, what detect-secrets finds and a reviewer has found
harmless; moving the code changes nothing. ``--accept`` writes the list again; read the difference
before committing it.
"""

import json
import subprocess
import sys
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[2]
BASELINE = ROOT / ".secrets.baseline"

#: Nothing but digests, and many; the list itself is one more.
_LEFT_OUT = ("requirements", ".secrets.baseline")

Findings = dict[str, dict[str, str]]


def files() -> list[str]:
    """All files of the repository that git has or would take; none where there is no git."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - git stands where the user's PATH says
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    names = sorted(set(done.stdout.splitlines()))
    return [name for name in names if not name.startswith(_LEFT_OUT) and (ROOT / name).is_file()]


def scan(names: list[str], root: Path = ROOT) -> Findings:
    """What looks like a secret: by file, the kind by the secret's digest."""
    found = SecretsCollection(root=str(root))
    with default_settings():
        for name in names:
            found.scan_file(name)
    by_file: Findings = {}
    for name, secret in found:
        by_file.setdefault(name, {})[secret.secret_hash] = secret.type
    return by_file


def new_ones(found: Findings, known: Findings) -> list[str]:
    """What is not on the list, one line each, without the secret."""
    return [
        f"{name}: {kind} ({digest[:12]})"
        for name, secrets in sorted(found.items())
        for digest, kind in sorted(secrets.items())
        if digest not in known.get(name, {})
    ]


def main() -> int:
    """Look, or accept what is there; returns the exit code."""
    found = scan(files())
    if sys.argv[1:] == ["--accept"]:
        BASELINE.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    known: Findings = json.loads(BASELINE.read_text(encoding="utf-8"))
    lines = new_ones(found, known)
    if lines:
        sys.stderr.write("these look like secrets (python -m infra.checks.secrets --accept, if ")
        sys.stderr.write("they are none):\n  " + "\n  ".join(lines) + "\n")
    return bool(lines)


if __name__ == "__main__":
    raise SystemExit(main())
