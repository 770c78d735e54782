"""What people have said of visits: vetoes take a name away, and labels stay."""

from uuid import UUID

import numpy as np
import pytest
from msgspec import structs

from domain.decisions.matching import Candidate, Decision, MatchPolicy, decide
from domain.decisions.visits.stays import Lookup
from domain.decisions.visits.visit_identity import decided
from tests.unit.domain.made_up_people import POLICY, Camera, World, user

MATCH = MatchPolicy(threshold=0.45, margin=0.05)


class VetoedWorld(World):
    """A world in which a face has been said not to be a user's."""

    vetoed: tuple[UUID, np.ndarray] | None = None

    @property
    def lookup(self):
        return Lookup(self.embeddings, self.decide_with_vetoes)

    def decide_with_vetoes(self, _model, probe):
        candidates = []
        for number in self.enrolled:
            one = Candidate(user(number), float(probe @ self.person(number)))
            if self.vetoed is not None and self.vetoed[0] == one.user_id:
                one = Candidate(one.user_id, one.similarity, float(probe @ self.vetoed[1]))
            candidates.append(one)
        return decide(candidates, MATCH)


def mean_of(world):
    total = np.sum(list(world.embeddings.values()), axis=0)
    return (total / np.linalg.norm(total)).astype(np.float32)


def test_a_visit_whose_mean_is_as_close_to_a_vetoed_face_names_the_user_no_more():
    world = VetoedWorld(noise=0.3)
    faces = world.stay(0, 0, 8, 2, track=1)
    camera = Camera(world)
    camera.see(faces[:8])
    (before,) = camera.state.visits.values()
    assert before.user_id == user(0)
    world.vetoed = (user(0), mean_of(world))
    camera.see(faces[8:])
    (now,) = camera.state.visits.values()
    assert now.user_id is None
    assert now.similarity is None
    announced = [(one.visit.reason, one.visit.user_id) for one in camera.messages]
    assert ("identity", None) in announced


def test_a_veto_of_another_face_changes_nothing():
    world = VetoedWorld(noise=0.3)
    world.vetoed = (user(0), world.person(5))
    camera = Camera(world).see(world.stay(0, 0, 8, 2, track=1))
    (now,) = camera.state.visits.values()
    assert now.user_id == user(0)


def test_a_veto_of_another_user_takes_no_name_away():
    world = VetoedWorld(noise=0.3)
    faces = world.stay(0, 0, 8, 2, track=1)
    camera = Camera(world)
    camera.see(faces[:8])
    world.vetoed = (user(1), mean_of(world))
    camera.see(faces[8:])
    (now,) = camera.state.visits.values()
    assert now.user_id == user(0)


@pytest.mark.parametrize(
    ("vetoed", "named"), [(user(0), None), (user(1), user(0))], ids=["own", "other"]
)
def test_a_stay_loses_its_user_only_where_that_user_is_vetoed(vetoed, named):
    world = World(noise=0.3)
    camera = Camera(world).see(world.stay(0, 0, 4, 2, track=1))
    (stay,) = camera.state.scene.stays
    decision = Decision(None, 0.8, 0.1, "vetoed", vetoed=vetoed)
    assert decided(stay, decision, POLICY).user_id == named


@pytest.mark.parametrize("said", [None, user(1)], ids=["not-x", "is-y"])
def test_what_a_person_has_said_of_a_visit_is_changed_by_no_face(said):
    world = World(noise=0.3)
    faces = world.stay(0, 0, 12, 2, track=1)
    camera = Camera(world)
    camera.see(faces[:8])
    (visit_id,) = camera.state.visits
    visit = camera.state.visits[visit_id]
    corrected = structs.replace(visit, user_id=said, similarity=None, correction_id=UUID(int=99))
    camera.state = structs.replace(camera.state, visits={visit_id: corrected})
    camera.messages.clear()
    camera.see(faces[8:])
    camera.see(world.stay(3, 40, 41, 2, track=2))
    of_visit = [one.visit for one in camera.messages if one.visit.visit_id == visit_id]
    assert of_visit, "it ends at least"
    assert {one.user_id for one in of_visit} == {said}
    assert {one.similarity for one in of_visit} == {None}
    assert of_visit[-1].state == "ended"
