"""Any sequence of changes leaves what a model of it says: faces, their visits, and the counts."""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from domain.visit_events import StoredFace
from sinks.main.visit_store import VersionConflict
from tests.contract.builders import unique
from tests.contract.stored_visits import a_change, a_visit, at, stored_faces

FACES, VISITS = 6, 4

_face, _visit = st.integers(0, FACES - 1), st.integers(0, VISITS - 1)
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("place"), st.dictionaries(_face, st.none() | _visit, max_size=4), st.sets(_face)
        ),
        st.tuples(st.just("merge"), st.lists(st.tuples(_visit, _visit), min_size=1, max_size=3)),
        st.tuples(st.just("checkpoint"), _face),
        st.tuples(st.just("late"), st.dictionaries(_face, _visit, max_size=3)),
        st.tuples(st.just("delete"), _face),
        st.tuples(st.just("stale"), st.integers(-2, 2).filter(bool)),
    ),
    max_size=8,
)


@dataclass
class Model:
    """A camera as it should be stored.

    Attributes:
        camera: its id.
        faces: in the order of their frames; None once the row is deleted.
        visits: as first written.
        version: of the camera.
        placed: the visit of each face, and whether the face is late.
        late: how many late faces were counted after a commit, by visit.
        after: the last face of the checkpoint; -1 without one.
    """

    camera: str
    faces: list
    visits: list
    version: int = 1
    placed: dict[int, tuple[int, bool]] = field(default_factory=dict)
    late: dict[int, int] = field(default_factory=dict)
    after: int = -1

    def change(self, **changes):
        change = a_change(self.camera, version=self.version, clock=at(FACES))
        self.version += 1
        return structs.replace(change, **changes)

    def pairs(self, visit_of):
        return tuple(
            (self.ids[face], None if visit is None else self.visits[visit].visit_id)
            for face, visit in visit_of.items()
        )

    @property
    def ids(self) -> list[UUID]:
        return [face.face_id for face in self.all_faces]

    def __post_init__(self):
        self.all_faces = list(self.faces)

    def place(self, visit_of, late):
        for face, visit in visit_of.items():
            if visit is None:
                self.placed.pop(face, None)
            elif self.faces[face] is not None:
                self.placed[face] = (visit, face in late)
        return self.change(
            faces=self.pairs(visit_of), late=frozenset(self.ids[face] for face in late)
        )

    def merge(self, pairs):
        for source, target in pairs:
            for face, (visit, late) in self.placed.items():
                if visit == source:
                    self.placed[face] = (target, late)
        self.recount(pairs)
        return self.change(
            merged=tuple((self.visits[a].visit_id, self.visits[b].visit_id) for a, b in pairs)
        )

    def recount(self, pairs):
        """Late faces of merged visits count where they are in the end."""
        targets = {}
        for source, target in pairs:
            targets = {a: target if b == source else b for a, b in targets.items()}
            targets.setdefault(source, target)
        for target in {b for a, b in targets.items() if a != b}:
            late = sum(where == (target, True) for where in self.placed.values())
            self.late[target] = max(late, self.late.get(target, 0))

    def checkpoint(self, face):
        self.after = face
        return self.change(checkpoint=b"{}", checkpoint_after=self.all_faces[face].frame)

    def add_late(self, visit_of):
        """The faces that are added."""
        added = {
            face: visit
            for face, visit in visit_of.items()
            if self.faces[face] is not None and face not in self.placed
        }
        for face, visit in added.items():
            self.placed[face] = (visit, True)
            self.late[visit] = self.late.get(visit, 0) + 1
        return {self.ids[face] for face in added}

    def expected(self):
        return tuple(
            StoredFace(face=self.faces[face], visit_id=self.visits[visit].visit_id)
            for face, (visit, late) in sorted(self.placed.items())
            if face > self.after and not late
        )


async def apply(model, step, records, visits):
    match step:
        case ("place", visit_of, late):
            await visits.commit([model.place(visit_of, late)])
        case ("merge", pairs):
            await visits.commit([model.merge(pairs)])
        case ("checkpoint", face):
            await visits.commit([model.checkpoint(face)])
        case ("late", visit_of):
            expected = model.add_late(visit_of)
            assert await visits.add_late(model.pairs(visit_of)) == expected
        case ("delete", face):
            model.faces[face] = None
            model.placed.pop(face, None)
            async with records._connection("test") as connection:
                await connection.execute("DELETE FROM faces WHERE id = $1", model.ids[face])
        case ("stale", by):
            wrong = a_change(model.camera, version=model.version + by, visits=(model.visits[0],))
            with pytest.raises(VersionConflict):
                await visits.commit([wrong])


@given(steps=_STEPS)
@example([("late", {0: 0}), ("merge", [(0, 1)])])
@example([("place", {0: 0}, set()), ("merge", [(0, 1), (0, 0)])])
@example([("place", {0: 0, 1: 1}, set()), ("merge", [(0, 1), (0, 2), (1, 3)])])
async def test_any_sequence_of_changes_leaves_what_the_model_says(records, visits, steps):
    camera = unique("door")
    faces = await stored_faces(records, camera, range(FACES))
    empty = structs.replace(a_visit(camera, faces[:1]), faces=0)
    rows = [structs.replace(empty, visit_id=uuid4()) for _ in range(VISITS)]
    model = Model(camera, faces, rows)
    await visits.commit([a_change(camera, visits=tuple(rows), clock=at(FACES))])
    for step in steps:
        await apply(model, step, records, visits)
        stored = await visits.camera(camera)
        assert stored.version == model.version
        assert stored.faces == model.expected()
        assert await visits.known(model.ids) == {model.ids[face] for face in model.placed}
        counts = {one.visit_id: (one.faces, one.late) for one in stored.visits}
        for index, row in enumerate(rows):
            number = model.late.get(index, 0)
            if row.visit_id in counts:
                assert counts[row.visit_id] == (number, number)
        best = {one.visit_id for one in stored.visits if one.best_face_id is not None}
        assert bool(best) == (model.faces[0] is not None)
