"""The contact sheet: any names, any number of frames, any boxes."""

from datetime import UTC, datetime

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.demo.contact_sheet import (
    MAX_FRAMES,
    SHEET_WIDTH,
    ContactSheet,
    SheetFace,
    SheetFrame,
    SheetPerson,
    draw,
    render_png,
)
from infra.demo.drawing import (
    MISSING_GLYPH,
    Lettering,
    drawable,
    fitted,
    person_colour,
    put_text,
    text_width,
)

WHEN = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
AWKWARD = ["José", "李小龍", "😀", "عمر שלום", "x" * 300, "", "a\nb\x00", "é" * 40, "नमस्ते"]

names = st.one_of(st.none(), st.sampled_from(AWKWARD), st.text(max_size=30))
coordinates = st.floats(-500, 5000, allow_nan=False)
faces = st.builds(
    SheetFace,
    box=st.tuples(coordinates, coordinates, coordinates, coordinates),
    name=names,
    similarity=st.one_of(st.none(), st.floats(-1, 1)),
)
pictures = st.builds(
    lambda height, width: np.full((height, width, 3), 90, np.uint8),
    st.sampled_from([1, 7, 144, 600]),
    st.sampled_from([1, 9, 176, 900]),
)
frames = st.builds(
    SheetFrame,
    picture=pictures,
    camera=st.sampled_from(["door-1", *AWKWARD]),
    captured_at=st.just(WHEN),
    faces=st.lists(faces, max_size=3),
)
people = st.builds(
    SheetPerson,
    name=names,
    portrait=st.one_of(st.none(), pictures),
    lines=st.lists(names.filter(bool), max_size=3),
)


@given(st.text(max_size=50), st.lists(people, max_size=6), st.lists(frames, max_size=7))
def test_any_sheet_can_be_drawn(title: str, cards: list[SheetPerson], shots: list[SheetFrame]):
    drawn = draw(ContactSheet(title, title, cards, shots))
    assert drawn.shape[1] == SHEET_WIDTH
    assert 100 < drawn.shape[0] < 5000
    assert drawn.dtype == np.uint8


def frame(name: str | None = None, width: int = 320) -> SheetFrame:
    picture = np.full((240, width, 3), (10, 200, 30), np.uint8)
    return SheetFrame(picture, "door", WHEN, [SheetFace((80, 60, 100, 120), name, 0.91)])


def test_the_sheet_shows_every_frame_up_to_a_bound_on_its_height():
    heights = [
        draw(ContactSheet("t", frames=[frame()] * count)).shape[0]
        for count in (0, 1, 8, MAX_FRAMES, MAX_FRAMES + 500)
    ]
    assert heights == sorted(heights)
    assert heights[-1] < 4000
    # Beyond the bound only the line that says how many more there are is added.
    assert heights[-1] - heights[-2] < 30


def test_frames_fill_the_rows_to_the_margin():
    drawn = draw(ContactSheet("t", frames=[frame()] * 9))
    green = (drawn == (10, 200, 30)).all(axis=2)
    columns = np.flatnonzero(green.any(axis=0))
    assert columns[0] <= 40
    assert columns[-1] >= SHEET_WIDTH - 40


def test_a_person_has_one_colour_on_card_and_frames_and_others_have_another():
    sheet = ContactSheet(
        "t", people=[SheetPerson("Ada"), SheetPerson("Bob")], frames=[frame("Bob")]
    )
    drawn = draw(sheet)
    tile = drawn[116 + 140 :]
    assert (drawn[116:240] == person_colour(1)).all(axis=2).any()
    assert (tile == person_colour(1)).all(axis=2).any()
    assert not (tile == person_colour(0)).all(axis=2).any()


def test_the_png_is_the_drawing():
    sheet = ContactSheet("t", frames=[frame("Ada")])
    decoded = cv2.imdecode(np.frombuffer(render_png(sheet), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(decoded, draw(sheet))


def test_the_first_colours_differ():
    colours = [person_colour(index) for index in range(40)]
    assert len(set(colours)) == 40


@given(st.text(max_size=80), st.integers(0, 400))
def test_a_fitted_text_fits(text: str, width: int):
    lettering = Lettering(20)
    assert text_width(fitted(text, lettering, width), lettering) <= width


@given(st.text(max_size=40))
def test_drawable_text_is_printable_and_stays_as_it_is(text: str):
    shown = drawable(text)
    assert drawable(shown) == shown
    assert shown.isprintable()


def test_names_keep_their_letters():
    for name in ("José Müller", "Łukasz Đặng", "李小龍", "Ελένη", "Иван", "한국어"):
        assert drawable(name) == name
    assert drawable("Jose\u0301") == "José"
    assert drawable("Ann 😀 Lee") == "Ann Lee"
    assert MISSING_GLYPH in drawable("𓀀𓀁")


def test_accented_letters_are_drawn_as_such():
    def drawn(text: str) -> np.ndarray:
        canvas = np.zeros((60, 200, 3), np.uint8)
        put_text(canvas, text, (10, 40), Lettering(30), (255, 255, 255))
        return canvas

    assert (drawn("é") != drawn("e")).any()
    assert (drawn("李") != drawn("?")).any()
