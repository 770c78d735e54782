"""``fecapass models``: another embedder, without enrolling again."""

import json
from uuid import uuid4

import numpy as np
import pytest

from config.settings import ModelSettings
from ml.images.decoding import ImageLimits, decode
from ml.recognition.face_analyser import build_analyser
from ml.runtime.model_registry import default_policy
from tests.end_to_end import photos
from tests.stored_records import stored_user

pytestmark = pytest.mark.waits

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CHANNELS = [
    "--mean", ",".join(map(str, MEAN)), "--deviation", ",".join(map(str, DEVIATION)),
]  # fmt: skip


async def gallery(vectors, model):
    return {
        user: embedding
        async for part in vectors.load(model)
        for user, embedding in zip(part.user_ids, part.embeddings, strict=True)
    }


@pytest.fixture
def mobilefacenet(shared):
    return shared / "models/mobilefacenet.onnx"


async def test_enrolled_photos_are_embedded_with_another_model(
    client, fecapass, vectors, crops, mobilefacenet, tmp_path
):
    user = await stored_user(client.records, f"{uuid4().hex}@example.com", "Eileen Collins")
    files = [tmp_path / "one.png", tmp_path / "two.jpg"]
    files[0].write_bytes(photos.astronaut())
    files[1].write_bytes(photos.carphone(1)[0])
    other = await stored_user(client.records, f"{uuid4().hex}@example.com", "A man")
    (one,) = await client.enrol(user, files[:1])
    (two,) = await client.enrol(other, files[1:])
    assert {one.answer.status, two.answer.status} == {"enrolled"}

    code, out, err = await fecapass("models", "add", str(mobilefacenet), *CHANNELS, "--json")
    assert code == 0, err
    (added,) = json.loads(out)
    assert (added["state"], added["dimension"], added["mean"]) == ("shadow", 128, list(MEAN))
    model = added["id"]
    policy = default_policy(model)
    assert (added["threshold"], added["margin"]) == (policy.threshold, policy.margin)
    assert await gallery(vectors, model) == {}
    code, _, err = await fecapass("models", "add", str(mobilefacenet))
    assert (code, "embeddings would not compare" in err) == (1, True)
    code, out, _ = await fecapass("models", "list", "--json")
    assert model in {one["id"] for one in json.loads(out)}

    await crops.delete_many([await crop_key(client, two.answer.face_id)])
    code, out, err = await fecapass("models", "backfill", model, "--json")
    assert (code, str(other.id) in err) == (1, True)
    assert "of" in err
    (done,) = json.loads(out)
    assert done["embedded"] >= 1
    assert done["lost_users"].count(str(other.id)) == 1
    code, out, _ = await fecapass("models", "backfill", model, "--json")
    assert (code, json.loads(out)[0]["embedded"]) == (1, 0), "the rest is still lost"

    settings = ModelSettings(
        embedder="arcface", embedder_file=mobilefacenet, embedder_mean=MEAN,
        embedder_deviation=DEVIATION,
    )  # fmt: skip
    image = decode(photos.astronaut(), ImageLimits(10**7, 10**7))
    (face,) = build_analyser(settings).analyse([image])[0]
    found = await gallery(vectors, model)
    assert other.id not in found
    assert float(np.dot(found[user.id], face.embedding)) > 0.95

    code, out, _ = await fecapass("models", "retire", model, "--json")
    assert (code, json.loads(out)[0]["state"]) == (0, "retired")
    code, _, err = await fecapass("models", "serve", model)
    assert (code, "is retired" in err) == (1, True), "it may have missed what was enrolled since"
    for one_user in (user, other):
        code, _, err = await fecapass("erase", str(one_user.id), "--yes")
        assert code == 0, err


async def crop_key(client, face_id):
    (row,) = (await client.records.kept_faces([face_id], "")).values()
    return row.crop_key


async def test_what_is_no_model_is_an_error(fecapass, tmp_path):
    (tmp_path / "none.onnx").write_bytes(b"none")
    for arguments in (
        ["add", str(tmp_path / "none.onnx")],
        ["add", str(tmp_path / "missing.onnx")],
        ["backfill", "no-such-model"],
    ):
        code, out, err = await fecapass("models", *arguments)
        assert (code, out, len(err.splitlines())) == (1, "", 1), err
    code, _, err = await fecapass("models", "add", "sface", "--mean", "1,2")
    assert (code, "one number or three" in err) == (2, True)
