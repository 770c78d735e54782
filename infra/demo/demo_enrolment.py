"""Enrol the demonstration's people, as ``fecapass enrol`` does: through ``photo.uploads``."""

from config.settings import Settings
from domain.user_errors import OtherUserError
from infra.demo.demo_errors import DemoError
from infra.photos.photo_folders import Person
from infra.photos.upload_requests import PhotoAnswer, open_client

#: How long an answer may take, in seconds: the first one waits for consumers to join.
ANSWER_SECONDS = 60.0


async def enrol(settings: Settings, person: Person) -> str:
    """Enrol one person; returns the outcome of the photos as text.

    Raises:
        DemoError: no photo was accepted, an answer did not come, or it is another person's address.
        PublishError: the broker did not accept a photo.
        StoreUnavailable: a store is unavailable.
    """
    patient = settings.api.model_copy(update={"answer_timeout": ANSWER_SECONDS})
    async with open_client(settings.model_copy(update={"api": patient})) as client:
        try:
            answers = await client.enrol_person(
                person.email,
                person.name,
                person.photos,
                external_id=person.external_id,
                former_emails=person.former_emails,
                name_decides=person.is_named_only,
            )
        except OtherUserError as error:
            raise DemoError(str(error)) from error
    return outcome(person, answers)


def outcome(person: Person, answers: list[PhotoAnswer]) -> str:
    """Say what became of a person's photos.

    Raises:
        DemoError: no photo was accepted, or an answer did not come.
    """
    accepted, refusals = 0, []
    for photo in answers:
        if photo.answer is None:
            raise DemoError(
                f"no answer to {photo.photo.name} of {person.label} within {ANSWER_SECONDS:g} s"
            )
        if photo.answer.status == "enrolled":
            accepted += 1
        else:
            reason = photo.answer.message or photo.answer.code or "no reason given"
            refusals.append(f"{photo.photo.name} was not taken: {reason}")
    if not accepted:
        raise DemoError(f"{person.label} could not be enrolled: {'; '.join(refusals)}")
    return "; ".join([f"{accepted} of {len(answers)} photos", *refusals])
