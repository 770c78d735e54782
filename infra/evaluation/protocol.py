"""Who is enrolled with which photos, and which photos are searched. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from domain.decisions.enrolment import ChosenFace, EnrolmentPolicy, choose_face
from infra.evaluation.photo_faces import ReadPhoto


@dataclass(slots=True)
class Roles:
    """What each photo is used for.

    Attributes:
        enrolled: by person, the photos that the template is made of, each with the one face that is
            enrolled.
        probes: photos of enrolled people that are searched.
        unknown: photos of people who are not enrolled, that are searched.
        failed: people of whom no photo was accepted, though there are enough photos.
        refusals: photos that enrolment would refuse, by the reason's code, of those it was
            given: until enough of the person's were accepted.
        offered: number of photos that enrolment was given.
        without_face: photos that would be searched and show no face.
        duplicates: photos whose bytes are those of another photo; they are not used.
    """

    enrolled: dict[str, list[ReadPhoto]] = field(default_factory=dict)
    probes: list[ReadPhoto] = field(default_factory=list)
    unknown: list[ReadPhoto] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    offered: int = 0
    without_face: int = 0
    duplicates: list[ReadPhoto] = field(default_factory=list)


def assign_roles(photos: Iterable[ReadPhoto], enrol: int, policy: EnrolmentPolicy) -> Roles:
    """Enrol some photos of each person, and search the others.

    In the order of the files, up to this number of photos that enrolment accepts become the
    template, but the last photo never does: it is searched. Who has one photo only, or is from
    the folder of unknown people, is unknown. Of a searched photo the largest face counts.

    Args:
        photos: in the order of the files; those that could not be read are left out.
        enrol: most photos of a template, at least one.
        policy: which photos enrolment accepts.
    """
    roles = Roles()
    people: dict[tuple[bool, str], list[ReadPhoto]] = defaultdict(list)
    seen: set[str] = set()
    for read in photos:
        if read.problem is not None:
            continue
        if read.digest in seen:
            roles.duplicates.append(read)
            continue
        seen.add(read.digest)
        people[read.photo.is_unknown, read.photo.person].append(read)
    for (is_unknown, person), own in people.items():
        if is_unknown or len(own) == 1:
            roles.unknown += _with_face(own, roles)
        else:
            _enrol(roles, person, own, enrol, policy)
    return roles


def _enrol(
    roles: Roles, person: str, photos: Sequence[ReadPhoto], enrol: int, policy: EnrolmentPolicy
) -> None:
    template: list[ReadPhoto] = []
    rest: list[ReadPhoto] = []
    for place, read in enumerate(photos):
        if len(template) == enrol or place == len(photos) - 1:
            rest += photos[place:]
            break
        roles.offered += 1
        chosen = choose_face(read.faces, policy, read.size)
        if isinstance(chosen, ChosenFace):
            template.append(replace(read, faces=(chosen.face,)))
        else:
            roles.refusals[chosen.code] += 1
            rest.append(read)
    if not template:
        roles.failed.append(person)
        return
    roles.enrolled[person] = template
    roles.probes += _with_face(rest, roles)


def _with_face(photos: Iterable[ReadPhoto], roles: Roles) -> list[ReadPhoto]:
    photos = list(photos)
    found = [read for read in photos if read.faces]
    roles.without_face += len(photos) - len(found)
    return found
