"""Checks of `make lint` in addition to style: they hide no finding, and do not hang offline."""

import json

from infra.checks import known_vulnerabilities, secrets


def test_a_hole_fails_the_check_and_is_named():
    hole = {"id": "PYSEC-1", "fix_versions": ["2.0"]}
    packages = [{"name": "one", "version": "1.0", "vulns": [hole]}]
    packages.append({"name": "two", "skip_reason": "not found"})
    code, text = known_vulnerabilities.judge(
        known_vulnerabilities.read(json.dumps({"dependencies": packages}))
    )
    assert code == 1
    assert "one 1.0: PYSEC-1, fixed in 2.0" in text


def test_what_was_not_asked_is_not_called_clean():
    answer = json.dumps({"dependencies": [{"name": "two", "skip_reason": "not found"}]})
    code, text = known_vulnerabilities.judge(known_vulnerabilities.read(answer))
    assert (code, text.startswith("NOT CHECKED")) == (0, True)


def test_an_unreachable_database_is_reported_and_passes():
    answer = known_vulnerabilities.audit("http://127.0.0.1:1/")
    code, text = known_vulnerabilities.judge(known_vulnerabilities.read(answer or ""))
    assert (code, text.startswith("NOT CHECKED")) == (0, True)


def test_a_new_secret_is_found_and_not_repeated(tmp_path):
    (tmp_path / "a.py").write_text('password = "x9-Planted-q7"\n')  # pragma: allowlist secret
    found = secrets.scan(["a.py"], tmp_path)
    (line,) = secrets.new_ones(found, {})
    assert line.startswith("a.py: Secret Keyword")
    assert "Planted" not in line
    (tmp_path / "a.py").write_text('\n\npassword = "x9-Planted-q7"\n')  # pragma: allowlist secret
    assert secrets.new_ones(secrets.scan(["a.py"], tmp_path), found) == []
