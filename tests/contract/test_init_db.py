import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr

from infra.database.create_topics import plan_topics
from infra.database.init_db import initialise
from sinks.store_errors import StoreRejected, StoreUnavailable
from sinks.vector.vector_store import Vectors
from streams.contract.topics import Topics
from tests.contract.builders import unique

ROOT = Path(__file__).parents[2]
MODELS = [("model-a", 128), ("model-b", 512)]


@pytest.fixture
def bare(settings):
    """The same servers without any of our databases, topics and buckets: every name is new."""
    name = unique("fresh").replace("-", '"-')
    databases = {
        "main_db": settings.main_db.model_copy(update={"name": f"{name}-main"}),
        "vector_db": settings.vector_db.model_copy(update={"name": f"{name}-vector"}),
    }
    kafka = settings.kafka.model_copy(
        update={"topic_prefix": unique("p") + ".", "frames_partitions": 3}
    )
    s3 = settings.s3.model_copy(update={"bucket": unique("bucket")})
    return settings.model_copy(update=databases | {"kafka": kafka, "s3": s3})


async def run(settings, models=MODELS):
    lines = []
    await initialise(settings, models, lines.append)
    return lines


async def test_everything_is_created_once_and_every_step_reported(bare):
    first = await run(bare)
    output = "\n".join(first)
    topics = Topics(bare.kafka.topic_prefix)
    for topic in topics.consumed:
        assert f"created topic {topic}, " in output
        assert f"created topic {topics.dead_letter(topic)}, " in output
    assert f"created topic {topics.visits}, " in output
    assert f"created topic {topics.people}, " in output
    assert f"created topic {topics.processed}, " in output
    assert f"created topic {topics.models}, " in output
    assert output.count("created topic") == 14
    assert output.count("created database") == 2
    assert output.count("applied migration 0001") == 2
    assert "made room for model model-b, dimension 512" in output
    assert f"created bucket {bare.s3.bucket}" in output

    again = "\n".join(await run(bare))
    assert "created" not in again
    assert "made" not in again
    assert "applied" not in again
    async with Vectors(bare.vector_db) as vectors:
        assert not await vectors.ensure_model("model-a", 128)


async def test_several_at_once_do_not_disturb_each_other(bare):
    output = await asyncio.gather(*(run(bare) for _ in range(4)))
    lines = [line for one in output for line in one]
    migrations = list(ROOT.glob("infra/migrations/*/versions/[0-9]*.py"))
    assert sum("applied migration" in line for line in lines) == len(migrations)
    assert sum("made room for" in line for line in lines) == 2


async def test_an_existing_topic_is_not_changed_and_too_few_partitions_are_reported(bare):
    await run(bare)
    wider = bare.kafka.model_copy(update={"frames_partitions": 5})
    lines = await run(bare.model_copy(update={"kafka": wider}))
    frames = Topics(bare.kafka.topic_prefix).frames
    (line,) = [line for line in lines if line.startswith(f"topic {frames} ")]
    assert "has 3 partitions, the settings say 5" in line
    admin = AIOKafkaAdminClient(bootstrap_servers=bare.kafka.bootstrap_servers)
    await admin.start()
    (described,) = await admin.describe_topics([frames])
    await admin.close()
    assert len(described["partitions"]) == 3


def test_retention_follows_the_settings(bare):
    hours = {plan.name: plan.retention_hours for plan in plan_topics(bare.kafka)}
    topics = Topics(bare.kafka.topic_prefix)
    assert hours[topics.frames] == 1
    assert hours[topics.uploads] == hours[topics.dead_letter(topics.frames)] == 168


async def test_a_model_of_another_dimension_is_rejected(bare):
    await run(bare)
    with pytest.raises(StoreRejected, match="dimension 128, not 64"):
        await run(bare, [("model-a", 64)])


@pytest.mark.parametrize("group", ["main_db", "vector_db", "kafka", "s3"])
async def test_an_absent_server_is_named(prepared, nowhere, group):
    settings = prepared.model_copy(update={group: getattr(nowhere, group)})
    with pytest.raises(StoreUnavailable) as caught:
        await asyncio.wait_for(run(settings, []), 30)
    assert "127.0.0.1:1" in str(caught.value)
    assert prepared.main_db.password.get_secret_value() not in str(caught.value)
    assert "\n" not in str(caught.value)


def command(environment):
    return subprocess.run(
        [sys.executable, "-m", "infra.cli.main", "init-db"],
        cwd=ROOT,
        env=os.environ | {"FECAPASS_ENV_FILE": os.devnull} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_initialises_and_reports_it(environment):
    done = command(environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "model sface-2021dec, dimension 128" in done.stdout


def test_the_command_fails_with_one_line_without_the_password(environment):
    wrong = {"FECAPASS_MAIN_DB__PORT": "1", "FECAPASS_MAIN_DB__PASSWORD": "planted"}
    done = command(environment | wrong)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "127.0.0.1:1" in done.stderr
    assert "planted" not in done.stderr + done.stdout


async def test_a_wrong_password_is_reported_as_such(prepared):
    wrong = prepared.main_db.model_copy(update={"password": SecretStr("planted")})
    with pytest.raises(StoreUnavailable, match="password authentication failed") as caught:
        await run(prepared.model_copy(update={"main_db": wrong}))
    assert "planted" not in str(caught.value)
