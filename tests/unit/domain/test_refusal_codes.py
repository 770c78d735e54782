import pytest

from domain.refusals.refusal_codes import is_final, is_settled


@pytest.mark.parametrize("code", ["corrupt", "empty", "unsupported_format", "degenerate"])
def test_field_08_what_is_in_the_bytes_is_refused_for_ever(code):
    assert is_final(code)
    assert is_settled(code, None, "now")
    assert is_settled(code, "then", "now")


@pytest.mark.parametrize("code", ["poor_quality", "no_face", "too_many_pixels", "later"])
def test_field_08_what_a_policy_refuses_stands_while_it_is_in_force(code):
    assert is_settled(code, "now", "now")
    assert not is_settled(code, "then", "now")
    assert not is_settled(code, None, "now")


@pytest.mark.parametrize("code", ["unknown_user", "user_inactive", "not_found", "forbidden_bucket"])
def test_field_08_what_a_state_refuses_is_looked_at_each_time(code):
    assert not is_settled(code, "now", "now")
