"""Who is in a folder of photos, and which names say that wrongly."""
# ruff: noqa: RUF001 - letters that look alike are what is tested

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.names.person_names import BadNameError, name_key
from infra.photos.photo_folders import NoPeopleError, address_of, people_in, person_named

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"


@pytest.fixture
def folder(tmp_path: Path):
    """Writes files, and says who is in them."""

    def make(*names: str, content: bytes = b"x"):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return tmp_path

    return make


def people(directory: Path) -> dict[str, int]:
    return {one.label: len(one.photos) for one in people_in(directory).people}


def test_photos_are_of_the_person_that_folder_or_file_is_named_after(folder):
    names = (
        "Ada/1.jpg",
        "Ada/2.png",
        "Bob Ray 1.jpg",
        "Bob Ray_02.jpeg",
        "notes.txt",
        "Ada (3).jpg",
    )
    found = people_in(folder(*names))
    assert {one.name: len(one.photos) for one in found.people} == {"Ada": 3, "Bob Ray": 2}
    assert found.skipped == {"no pictures": 1}
    assert not found.not_accepted


def test_a_folder_named_by_an_address_names_the_user(folder):
    (person,) = people_in(folder("ada_l@Example.org/1.jpg")).people
    assert (person.email, person.name) == ("ada_l@example.org", None)


@pytest.mark.parametrize("name", ["", "absent"])
def test_a_folder_without_photos_is_an_error(tmp_path: Path, name: str):
    with pytest.raises(NoPeopleError):
        people_in(tmp_path / name)


@pytest.mark.parametrize(
    "beside",
    ["@eaDir/Dora.jpg/SYNOPHOTO_THUMB_M.jpg", "._Dora.jpg", "Dora/._1.jpg", "__MACOSX/Dora.jpg",
     "#recycle/Eve.jpg", ".Trash/Eve/1.jpg"],
)  # fmt: skip
def test_field_07_files_of_operating_systems_are_no_users(folder, beside):
    found = people_in(folder("Dora.jpg", beside))
    assert {one.label: len(one.photos) for one in found.people} == {"Dora": 1}
    assert found.skipped.total() == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna Lee/1.jpg", "Anna-Lee/1.jpg"),
        ("Anna Lee/1.jpg", "Anna_Lee/1.jpg"),
        ("Anna Lee/1.jpg", "anna lee/1.jpg"),
        ("Anna Lee/1.jpg", "AnnaLee.jpg"),
        ("Anna Lee 1.jpg", "Anna-Lee 1.jpg"),
        ("José/1.jpg", "Jose\u0301/1.jpg"),
        ("JOSÉ/1.jpg", "José/1.jpg"),
        ("ABBA/1.jpg", "АВВА/1.jpg"),
        ("ada@b.de/1.jpg", "ADA@b.de/1.jpg"),
        ("ada@müller.de/1.jpg", "ada@xn--mller-kva.de/1.jpg"),
        ("ada@example.com/1.jpg", "Ada/1.jpg"),
    ],
)
def test_field_07_names_that_would_be_one_user_are_an_error(folder, one, other):
    with pytest.raises(NoPeopleError, match="the same user") as raised:
        people_in(folder(one, other, "Zed/1.jpg"))
    for name in (one, other):
        shown = name.partition("/")[0]
        assert shown in str(raised.value) or ascii(shown) in str(raised.value)
    assert "Zed" not in str(raised.value)


@pytest.mark.parametrize(
    "name",
    ["\u0410nna/1.jpg", "Ada\u200b/1.jpg", "Ada\u202e.jpg", "ada\u00ad@b.de/1.jpg", "a@@b/1.jpg",
     "\u0430da@b.de/1.jpg"],
)  # fmt: skip
def test_field_07_names_that_deceive_are_an_error(folder, name):
    with pytest.raises(NoPeopleError):
        people_in(folder("Zed/1.jpg", name))


@pytest.mark.parametrize(
    "name",
    [
        "IMG_0001.jpg", "img-0001.JPG", "DSC00001.jpg", "DSC_0001.jpg", "DSCN0001.jpg",
        "_DSC1234.jpg", "_MG_1234.jpg", "P1010001.jpg", "PXL_20230101_101010123.jpg",
        "MVIMG_20230101_101010.jpg", "GOPR0001.jpg", "DJI_0001.jpg", "SAM_0001.jpg",
        "IMG-20230101-WA0001.jpg", "WhatsApp Image 2023-01-01 at 10.10.10.jpeg",
        "Screenshot 2023-01-01 at 10.10.10.png", "Screenshot_20230101-101010_Chrome.png",
        "Bildschirmfoto 2023-01-01 um 10.10.10.png", "20230101_101010.jpg", "2023-01-01.jpg",
        "7.jpg", "0001.jpg", "photo.jpg", "image (1).jpg",
        "3f2b8c1e-77aa-4f0e-9b1c-aa00bb11cc22.jpg",
        "DCIM/100APPLE/IMG_0001.jpg", "100CANON/IMG_0001.jpg", "2023-05-01/1.jpg", "20230501/1.jpg",
        "Camera Roll/1.jpg", "WhatsApp Images/1.jpg", "My Pictures.jpg", "New Folder (2)/1.jpg",
        "DSC_0001/1.jpg", "DSC00001/1.jpg", "IMG_0001/1.jpg", "img-0001/1.jpg", "P1010001/1.jpg",
        "DJI_0001/1.jpg", "Screenshot_20230101-101010_Chrome/1.jpg", "person_1.jpg",
        "person_1/1.jpg", "Person1/1.jpg", "subject-02/1.jpg", "face/1.jpg", "100CANON.jpg",
        "2023-05-01 Party/1.jpg", "photo of Ada/1.jpg",
    ],
)  # fmt: skip
def test_field_07_a_file_name_of_a_camera_is_no_user_and_the_remedy_is_reported(folder, name):
    with pytest.raises(NoPeopleError, match="folder that is named after the person") as raised:
        people_in(folder("Ada/1.jpg", name))
    assert name.partition("/")[0] in str(raised.value)


def test_field_07_in_a_person_s_folder_photos_may_have_any_name(folder):
    names = ("Sam 1.jpg", "Ada/IMG_0001.jpg", "Ada/DCIM/2.jpg", "007/1.jpg")
    assert people(folder(*names)) == {"Sam": 1, "Ada": 2, "007": 1}


@pytest.mark.parametrize("name", ["Vid Belec", "Ada", "007", "Sam", "Jan Camera", "Imogen"])
def test_field_07_names_of_people_name_folders_and_files(folder, name):
    assert people(folder(f"{name}/1.jpg")) == {name: 1}
    if name != "007":  # several files named by numbers could be anyone's
        assert people(folder(f"{name}.jpg")) == {name: 2}


def test_field_07_a_folder_may_be_named_by_an_identifier(folder):
    name = "3f2b8c1e-77aa-4f0e-9b1c-aa00bb11cc22"
    assert people(folder(f"{name}/1.jpg")) == {name: 1}


@pytest.mark.parametrize(
    "names",
    [
        ["team/Anna/1.jpg", "team/Bob/1.jpg"],
        ["Anna/Bob/1.jpg"],
        ["Anna/1.jpg", "Anna/Bob/1.jpg"],
        ["team/2024/Anna/1.jpg"],
        ["team/Anna/2024/1.jpg"],
        ["team/001/1.jpg", "team/002/1.jpg"],
        ["team/person_1/1.jpg", "team/person_2/1.jpg"],
        ["team/img1/1.jpg", "team/img2/1.jpg"],
        ["team/2024-05-01 Anna/1.jpg"],
        ["team/anna@b.de/1.jpg"],
        ["photos/Anna/1.jpg"],
        ["ada@b.de/Anna/1.jpg"],
    ],
)
def test_field_07_people_s_folders_lie_directly_in_the_folder(folder, names):
    with pytest.raises(NoPeopleError, match="a folder for each person directly") as raised:
        people_in(folder("Zed/1.jpg", *names))
    for name in names:
        if name.count("/") > 1:
            assert f"'{name.rpartition('/')[0]}'" in str(raised.value)
    assert "Zed" not in str(raised.value)


def test_field_07_subfolders_of_dates_and_cameras_are_a_person_s(folder):
    names = [
        "Ada/2024/1.jpg",
        "Ada/2024-05-01/1.jpg",
        "Ada/20240501/1.jpg",
        "Ada/DCIM/100APPLE/IMG_0001.jpg",
        "Ada/Camera Roll/1.jpg",
        "Ada/WhatsApp Images/1.jpg",
        "Ada/@eaDir/Bob/1.jpg",
    ]
    assert people(folder(*names)) == {"Ada": 6}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("Eve/1.HEIC", b"x", "HEIC"), ("Eve/1.jpg", HEIC, "HEIC"), ("Eve/1.avif", b"x", "AVIF"),
        ("Eve/1.tiff", b"II*\x00", "TIFF"), ("Eve/1.png", b"GIF89a", "GIF"),
        ("Eve/1.NEF", b"x", "raw"),
        ("Eve/1.mov", b"x", "video"), ("Eve/notes.txt", b"x", "no photo in this folder"),
        ("Eve/1.jpg", b"", "no photo in this folder"), ("Eve.heic", b"x", "HEIC"),
    ],
)  # fmt: skip
def test_field_07_what_is_not_accepted_is_listed_with_the_reason(folder, name, content, told):
    folder(name, content=content)
    found = people_in(folder("Fay/1.jpg"))
    assert [one.label for one in found.people] == ["Fay"]
    (passed_by,) = found.not_accepted
    assert told in passed_by.reason
    assert "Eve" in str(passed_by.path)


def test_field_07_a_photo_is_recognised_by_its_bytes(folder):
    folder("Ada/1.HEIC", content=b"\xff\xd8\xff\xe0JFIF")
    assert people(folder("Ada/2.jpg")) == {"Ada": 2}


def test_field_07_one_name_has_one_address_and_is_found_by_what_it_was_before():
    nfd = unicodedata.normalize("NFD", "José")
    person = person_named(nfd, [])
    assert person.email == address_of("José") == address_of("JOSÉ")
    assert person.name == "José"
    # As earlier releases made them, of the name's bytes.
    assert person.former_emails == ("jose.24c2ab65@example.com", "jose.11b942de@example.com")
    assert person_named("Ada Lovelace", []).former_emails == ()
    long = person_named("Ada " * 40, [])
    assert len(long.email) <= 64 + len("@example.com")


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_stand_in_addresses_are_ascii_and_stable(one: str, other: str):
    try:
        address, its_key, other_key = address_of(one), name_key(one), name_key(other)
    except BadNameError:
        return
    assert address == address_of(one)
    assert address.isascii()
    assert address.count("@") == 1
    assert " " not in address
    if not one.isascii() and not other.isascii():
        assert (address == address_of(other)) == (its_key == other_key)


def test_folders_may_be_named_by_external_ids(folder):
    """Nothing is made of such a name: no address, no full name, no space for an underscore."""
    root = folder("4711/1.jpg", "0815_B/1.jpg", "IMG/2.png", "a@b.example/1.jpg", "ß ü/1.jpg")
    found = people_in(root, by_external_id=True)
    assert {one.external_id for one in found.people} == {
        "4711", "0815_B", "IMG", "a@b.example", "ß ü",
    }  # fmt: skip
    assert {(one.email, one.name, one.former_emails) for one in found.people} == {(None, None, ())}
    assert {one.label for one in found.people} == {one.external_id for one in found.people}


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["4711 1.jpg"], "not in a folder"),
        (["a\u200bb/1.jpg"], "no external id"),
        ([f"{unicodedata.normalize('NFD', 'é')}/1.jpg", "é/2.jpg"], "the same user"),
    ],
    ids=["file", "invisible", "same"],
)
def test_an_external_id_must_say_who_it_is(folder, names, match):
    with pytest.raises(NoPeopleError, match=match):
        people_in(folder(*names), by_external_id=True)
