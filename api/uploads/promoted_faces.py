"""The best faces of an unknown that was given a name, as photos to enrol."""

from api.http.dependencies import Services
from api.http.problems import ApiProblem
from api.schemas.faces import FaceUploadResponse
from api.uploads.enrolment_answers import enrolment_response, publish_photos
from domain.decisions.corrections import CorrectionError
from services.api_keys import Caller
from services.unknowns.unknown_promotion import best_pictures
from sinks.main.unknowns.unknown_corrections import Promotion


async def enrol_best_faces(
    services: Services, caller: Caller, done: Promotion, seconds: float
) -> tuple[FaceUploadResponse | None, str | None]:
    """Enrol the faces that show an unknown's visits best, through the checks of every photo.

    Args:
        services: of the process.
        caller: for the audit trail.
        done: the promotion.
        seconds: how long to wait for the answers.

    Returns:
        The answer, or the code of why no face was enrolled.

    Raises:
        PublishError: the broker did not take them.
        StoreUnavailable: a store is unavailable.
    """
    async with services.databases.main() as session:
        photos = await best_pictures(session, services.stores.crops, done.unknown_id)
    if not photos:
        return None, "no_face"
    try:
        events = await publish_photos(
            services, caller, done.user_id, photos, promotion=done.correction_id
        )
        answers = await services.uploads.answers(events, seconds)
        answer = await enrolment_response(services, caller, done.user_id, events, answers)
    except (ApiProblem, CorrectionError) as problem:
        return None, problem.code
    return answer, None
