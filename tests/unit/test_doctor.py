"""What ``fecapass doctor`` says of a part that breaks down, and what it never prints."""

import pytest

from config.settings import Settings
from domain.failures import Retry
from infra.operations import diagnosis

PASSWORD = "the-password-of-a-database"  # noqa: S105 - of this test alone
PARTS = ("_records", "_vectors", "_recents", "_crops", "_kafka", "_pipeline", "_models")


async def answered(*_: object) -> str:
    return "answers"


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch):
    """What is found when a look at the main database ends so; all other parts are well."""

    async def examine(ending: Exception | str) -> diagnosis.Finding:
        async def look(_: object) -> str:
            if isinstance(ending, str):
                return ending
            raise ending

        for part in PARTS:
            monkeypatch.setattr(diagnosis, part, answered)
        monkeypatch.setattr(diagnosis, "_models", lambda _: "loaded")
        monkeypatch.setattr(diagnosis, "_records", look)
        groups = {
            "main_db": {"password": PASSWORD},
            "vector_db": {"password": "of-vectors"},
            "s3": {"access_key_id": "of-crops", "secret_access_key": "of-crops-too"},
        }
        every = await diagnosis.examine(Settings(_env_file=None, **groups))
        (found,) = [one for one in every if one.part == "main database"]
        return found

    return examine


async def test_field_21_doctor_prints_no_text_of_an_unexpected_error(examined):
    found = await examined(RuntimeError("postgres://ada:of-no-setting@db and its row of data"))
    assert found.status == "failed"
    assert found.detail.startswith("unexpected RuntimeError")
    assert "of-no-setting" not in found.detail
    assert "log" in found.detail


@pytest.mark.parametrize("kind", [Retry, OSError, diagnosis._DegradedError, str])
async def test_field_21_doctor_masks_secrets_in_whatever_a_part_says(examined, kind):
    found = await examined(kind(f"cannot reach ada:{PASSWORD}@db"))
    assert found.detail == "cannot reach ada:**********@db"
