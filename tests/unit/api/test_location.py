"""Where an enrolment sends its caller next."""

from uuid import uuid4

from fastapi import Response

from api.routers.faces import locate
from api.schemas.faces import FaceUploadResponse, UploadResult


def told(*statuses: str) -> FaceUploadResponse:
    uploads = [
        UploadResult(upload_id=uuid4(), status=status, status_url=f"/api/v1/uploads/{number}")
        for number, status in enumerate(statuses)
    ]
    whole = "pending" if "pending" in statuses else "enrolled"
    return FaceUploadResponse(user_id=uuid4(), status=whole, photos=None, uploads=uploads)


def test_who_does_not_wait_is_sent_to_a_photo_that_is_not_yet_answered():
    response = Response()
    locate(response, told("enrolled", "refused", "pending", "pending"))
    assert response.status_code == 202
    assert response.headers["location"] == "/api/v1/uploads/2"
    assert response.headers["retry-after"]


def test_without_any_face_left_there_is_nowhere_to_go():
    response = Response()
    locate(response, told("enrolled"))
    assert "location" not in response.headers
