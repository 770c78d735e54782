import msgspec
import pytest

from domain.upload_answers import UploadAnswer, decode_answer, encode_answer


def test_an_answer_comes_back():
    answer = UploadAnswer(upload_id="u", status="failed", model="m", code="access_denied")
    assert decode_answer(encode_answer(answer)) == answer


def test_a_status_of_a_later_release_is_no_answer_yet():
    assert decode_answer(b'{"upload_id": "u", "status": "postponed", "until": 3}') is None


@pytest.mark.parametrize("value", [b"", b"{}", b'{"status": "failed"}', b'{"status": 1}'])
def test_something_else_is_an_error(value):
    with pytest.raises(msgspec.DecodeError):
        decode_answer(value)
