"""What the cache forgets of a face or a person, and what it keeps."""

from uuid import uuid4

from streams.answers import UploadAnswer, encode_answer
from tests.contract.builders import a_recent


async def test_a_face_is_forgotten_and_its_neighbours_are_not(recents):
    camera, upload, other = uuid4().hex, uuid4().hex, uuid4().hex
    gone, kept = a_recent(), a_recent()
    await recents.remember({camera: [gone, kept]})
    for identifier, face in ((upload, gone), (other, kept)):
        answer = UploadAnswer(
            upload_id=identifier, status="enrolled", model="m", face_id=face.face_id
        )
        await recents.answer(identifier, encode_answer(answer))
    assert await recents.forget_face(gone.face_id) == 2
    assert (await recents.recall([camera]))[camera] == [kept]
    assert await recents.wait_for_answer(upload, 0.05) is None
    assert await recents.wait_for_answer(other, 5.0) is not None


async def test_answers_that_name_a_person_are_forgotten_with_the_person(recents):
    user, upload, other = uuid4(), uuid4().hex, uuid4().hex
    for identifier, person in ((upload, user), (other, uuid4())):
        answer = UploadAnswer(upload_id=identifier, status="enrolled", model="m", user_id=person)
        await recents.answer(identifier, encode_answer(answer))
    assert await recents.forget_user(user) == 1
    assert await recents.wait_for_answer(upload, 0.05) is None
    assert await recents.wait_for_answer(other, 5.0) is not None


async def test_an_expected_upload_is_told_from_one_never_made(recents):
    upload = uuid4().hex
    assert not await recents.expects_answer(upload)
    await recents.expect_answer(upload, 60.0)
    assert await recents.expects_answer(upload)
