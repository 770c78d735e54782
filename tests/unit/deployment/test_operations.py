"""What the manual tells an operator to type is what was tried."""

import pytest

from tests.compose import recovery
from tests.unit.deployment.documents import read


@pytest.mark.parametrize("database", [recovery.MAIN, recovery.VECTOR], ids=lambda d: d.service)
def test_backup_and_restore_are_those_that_the_check_runs(database):
    manual = read("docs/operations.md")
    assert f"`docker compose {database.dump} > " in manual
    assert f"`docker compose {database.restore} < " in manual
