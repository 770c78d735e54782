"""The embedded stack, as its users see it: data kept, doors closed, nothing left behind."""

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import aiokafka
import asyncpg
import botocore.session
import pytest
import redis
from botocore.config import Config
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from infra.embedded import programs
from infra.embedded.child_process import Child
from infra.embedded.embedded_errors import StackError
from infra.embedded.postgres import postgres_placement
from infra.embedded.postgres.postgres_placement import OUTSIDE
from infra.embedded.seaweedfs import SeaweedFs
from infra.embedded.server_processes import children, is_alive, owns_port, wait_gone
from infra.embedded.stack import EmbeddedStack
from infra.embedded.tansu import Tansu

ROOT = Path(__file__).parents[2]
NAMES = ["postgres", "redis", "s3", "kafka"]


def s3_client(settings, secret=None):
    return botocore.session.get_session().create_client(
        "s3",
        region_name=settings.s3.region,
        endpoint_url=settings.s3.endpoint_url,
        aws_access_key_id=settings.s3.access_key_id,
        aws_secret_access_key=secret or settings.s3.secret_access_key.get_secret_value(),
        config=Config(retries={"max_attempts": 0}, connect_timeout=3, read_timeout=5),
    )


def redis_client(settings):
    return redis.Redis.from_url(settings.redis.url, socket_timeout=3)


async def query(settings, statement):
    connection = await asyncpg.connect(settings.main_db.dsn, timeout=5)
    try:
        return await connection.fetch(statement)
    finally:
        await connection.close()


async def ask_each(settings):
    """Ask each server something; fails when one does not answer."""
    await query(settings, "SELECT 1")
    assert redis_client(settings).ping()
    s3_client(settings).list_buckets()
    client = aiokafka.AIOKafkaClient(bootstrap_servers=settings.kafka.bootstrap_servers)
    await client.bootstrap()
    await client.close()


def pids(stack):
    return [server.record.pid for server in stack.servers.values()]


async def gone(processes, seconds=30):
    async with asyncio.timeout(seconds):
        while await asyncio.to_thread(wait_gone, processes, 1.0):
            pass


def as_program(code, data_dir, python=sys.executable, **options):
    """Run code that has a stack in ``stack``; it prints JSON."""
    head = (
        "import json, pathlib, sys, time\n"
        "from infra.embedded.stack import EmbeddedStack\n"
        "stack = EmbeddedStack(pathlib.Path(sys.argv[1])).start()\n"
    )
    return subprocess.Popen(
        [python, "-c", head + code, data_dir],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


PRINT_PIDS_AND_WAIT = (
    "pids = [s.record.pid for s in stack.servers.values()]\n"
    "print(json.dumps([pids, stack._guard._process.pid]), flush=True)\n"
    "time.sleep(120)\n"
)


async def test_settings_lead_to_the_servers(settings):
    await ask_each(settings)


async def test_pgvector_can_be_added_to_both_databases(stack):
    settings = stack.settings()
    for database in (settings.main_db, settings.vector_db):
        connection = await asyncpg.connect(database.dsn)
        try:
            async with connection.transaction():
                await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
                version = await connection.fetchval(
                    "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
                )
        finally:
            await connection.close()
        assert tuple(map(int, version.split("."))) >= (0, 8, 4)


async def test_stores_find_their_data_after_a_restart_at_the_same_addresses(data_dir):
    with EmbeddedStack(data_dir) as first:
        settings = first.settings()
        await query(settings, "CREATE TABLE kept AS SELECT 42 AS answer")
        redis_client(settings).set("kept", "yes")
        s3_client(settings).create_bucket(Bucket="kept")
        s3_client(settings).put_object(Bucket="kept", Key="a/b", Body=b"42")
        environment = first.environment()
    with EmbeddedStack(data_dir) as second:
        assert second.environment() == environment
        assert [row["answer"] for row in await query(settings, "SELECT answer FROM kept")] == [42]
        assert redis_client(settings).get("kept") == b"yes"
        assert s3_client(settings).get_object(Bucket="kept", Key="a/b")["Body"].read() == b"42"


async def test_a_taken_port_is_replaced(data_dir):
    with EmbeddedStack(data_dir) as first:
        port = first.servers["redis"].port
    with socket.create_server(("127.0.0.1", port)), EmbeddedStack(data_dir) as second:
        assert second.servers["redis"].port != port
        await ask_each(second.settings())


STARTS_AND_STOPS = """
import pathlib, sys
from unittest import mock
from infra.embedded.stack import EmbeddedStack
ports = "infra.processes.ports."
with mock.patch(ports + "_LOWEST", 10_240), mock.patch(ports + "_HIGHEST", 10_272):
    for number in range(2):
        with EmbeddedStack(pathlib.Path(sys.argv[1], str(number))) as stack:
            assert stack.ended() == []
            print(len(stack.servers), flush=True)
"""


def test_field_00_stacks_that_start_at_once_do_not_take_each_others_ports(data_dir):
    """Over and over, out of 32 ports of which each takes eight."""
    data_dir.chmod(0o711)
    programs = []
    for name in ("first", "second"):
        folder = data_dir / name
        folder.mkdir(mode=0o711)
        programs.append(
            subprocess.Popen(
                [sys.executable, "-c", STARTS_AND_STOPS, folder],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    assert [program.communicate(timeout=120)[0] for program in programs] == ["4\n4\n"] * 2
    assert [program.returncode for program in programs] == [0, 0]


@pytest.mark.parametrize("kind", [Tansu, SeaweedFs])
async def test_field_00_a_program_that_takes_a_port_in_between_is_avoided(
    data_dir, monkeypatch, kind
):
    """It knows no reservations, and comes after the port was found free."""
    thieves = []
    prepare = kind.prepare

    def steal(server):
        prepare(server)
        if not thieves:
            thieves.append(socket.create_server(("127.0.0.1", server.port)))

    monkeypatch.setattr(kind, "prepare", steal)
    monkeypatch.setattr(kind, "start_seconds", 10.0)
    with EmbeddedStack(data_dir) as stack:
        assert stack.servers[kind.name].port != thieves[0].getsockname()[1]
        await ask_each(stack.settings())
    thieves[0].close()


def test_field_00_the_answer_of_another_server_does_not_count(stack, data_dir):
    port = stack.servers["kafka"].port
    assert owns_port(stack.servers["kafka"].record.pid, port)
    late = Tansu(data_dir / "kafka", data_dir / "kafka.log", port)
    late.start()
    try:
        with pytest.raises(StackError, match="Tansu broker ended at start"):
            late.wait_ready()
    finally:
        late.stop()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["kill", "stop_server"])
async def test_a_server_comes_back_at_its_address(stack, fault, name):
    address = stack.servers[name].address
    await asyncio.to_thread(getattr(stack, fault), name)
    assert [server.name for server in stack.ended()] == [name]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", stack.servers[name].port), timeout=3)
    await asyncio.to_thread(stack.start_server, name)
    assert stack.servers[name].address == address
    assert stack.ended() == []
    await ask_each(stack.settings())


def test_nothing_listens_off_loopback(stack):
    inodes = set()
    for pid in pids(stack):
        for process in (pid, *children(pid)):
            for link in Path(f"/proc/{process}/fd").iterdir():
                target = str(link.readlink())
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.append(fields[1].split(":")[0])
    assert len(listening) >= 4
    assert set(listening) == {"0100007F"}  # 127.0.0.1, in the kernel's spelling


async def test_postgres_wants_the_password(stack):
    database = stack.settings().main_db
    for password in (None, "", "wrong"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host=database.host,
                port=database.port,
                user=database.user,
                database=database.name,
                password=password,
                passfile="/nonexistent",
            )


@pytest.mark.parametrize("password", [None, "wrong"])
def test_redis_wants_the_password(stack, password):
    server = stack.settings().redis
    client = redis.Redis(
        host=server.host, port=server.port, password=password, retry=Retry(NoBackoff(), 0)
    )
    with pytest.raises(redis.AuthenticationError):
        client.ping()


def status(url, method="GET"):
    """The HTTP status of a request without credentials."""
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request(method, f"/{path}", body=b"x" if method == "PUT" else None)
    code = connection.getresponse().status
    connection.close()
    return code


def test_s3_wants_the_key(stack):
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3_client(stack.settings(), "wrong").list_buckets()
    assert status(stack.settings().s3.endpoint_url) == 403


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("role", "path"), [("s3_filer", "buckets/x"), ("s3_volume", "1,0199c0ffee")]
)
def test_the_servers_behind_s3_serve_no_other_clients(stack, role, path, method):
    assert status(f"http://127.0.0.1:{stack._state.ports[role]}/{path}", method) == 401


def test_secrets_stand_in_no_command_line(stack):
    secrets = [value.encode() for value in stack._state.secrets.values()]
    for pid in pids(stack):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert not any(secret in command for secret in secrets)


def test_a_second_start_on_the_same_directory_is_refused(stack):
    with pytest.raises(StackError, match=f"in use by another fecapass stack .*{os.getpid()}"):
        EmbeddedStack(stack.data_dir).start()
    assert stack.ended() == []


def test_files_with_secrets_are_private_and_the_environment_goes_with_the_stack(data_dir):
    with EmbeddedStack(data_dir) as stack:
        lines = stack.env_file.read_text().splitlines()
        assert dict(line.split("=", 1) for line in lines) == stack.environment()
        for file in (stack.env_file, data_dir / "state.json", data_dir / "servers.json"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for name in NAMES:
            assert stat.S_IMODE((data_dir / name).stat().st_mode) == 0o700
        processes = pids(stack)
    assert not stack.env_file.exists()
    assert not any(is_alive(pid) for pid in processes)
    with pytest.raises(StackError, match="not running"):
        stack.environment()


async def test_the_guard_ends_the_servers_of_a_killed_program(data_dir):
    with as_program(PRINT_PIDS_AND_WAIT, data_dir) as program:
        servers, guard = json.loads(program.stdout.readline())
        assert all(is_alive(pid) for pid in servers)
        program.kill()
    await gone([*servers, guard])
    assert not (data_dir / "stack.env").exists()


async def test_a_start_ends_what_a_killed_run_left(data_dir):
    with as_program(PRINT_PIDS_AND_WAIT, data_dir) as program:
        servers, guard = json.loads(program.stdout.readline())
        os.kill(guard, signal.SIGKILL)
        program.kill()
    assert all(is_alive(pid) for pid in servers)
    with EmbeddedStack(data_dir) as stack:
        assert sorted(record.pid for record in stack.leftovers) == sorted(servers)
        assert not any(is_alive(pid) for pid in servers)
        await ask_each(stack.settings())


def test_another_process_with_a_recorded_number_is_not_ended(data_dir):
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        record = {"name": "redis", "pid": stranger.pid, "marker": str(data_dir / "redis")}
        (data_dir / "servers.json").write_text(json.dumps([record]))
        with EmbeddedStack(data_dir) as stack:
            assert stack.leftovers == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_that_ends_at_start_is_reported_with_its_log(data_dir, monkeypatch):
    broken = data_dir / "broken"
    broken.write_text("#!/bin/sh\necho no luck today >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(programs, "tansu", lambda: broken)
    stack = EmbeddedStack(data_dir)
    with pytest.raises(StackError, match=r"(?s)Tansu broker ended .* exit code 3.*no luck today"):
        stack.start()
    assert stack.servers == {}
    assert not stack.env_file.exists()
    monkeypatch.undo()
    with stack:  # the lock was given back
        assert stack.leftovers == []


def test_a_child_can_be_stopped_after_an_interrupt_in_the_wrong_moment():
    # What a KeyboardInterrupt inside Popen.poll() leaves behind: the lock, taken for good.
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        process._waitpid_lock.acquire()
        child = Child(process)
        assert not child.wait(0)
        child.send(signal.SIGTERM)
        assert child.wait(10)
        assert child.code == -signal.SIGTERM
        process._waitpid_lock.release()


def test_another_platform_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(StackError, match=r"Linux x86-64 only, this is .* aarch64"):
        EmbeddedStack(data_dir).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
async def test_root_can_keep_data_and_programs_where_other_users_cannot_look(tmp_path, monkeypatch):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    install = programs.postgres_install()
    for part in (install.parent, install.parent.with_name(f"{install.parent.name}.libs")):
        shutil.copytree(part, private / part.name)
    hidden = private / install.parent.name / install.name
    monkeypatch.setattr(postgres_placement, "postgres_install", lambda: hidden)
    link = private / "data" / "postgres"
    try:
        with EmbeddedStack(private / "data") as stack:
            await ask_each(stack.settings())
        assert link.readlink().parent == OUTSIDE
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        with EmbeddedStack(private / "data") as stack:
            await ask_each(stack.settings())
    finally:
        if link.is_symlink():
            shutil.rmtree(link.readlink())


@pytest.mark.skipif(os.geteuid() != 0, reason="already run as a normal user")
def test_a_normal_user_can_run_it(data_dir):
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    for python in (sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"):
        try:
            subprocess.run([python, "--version"], check=True, capture_output=True, **nobody)
        except OSError:
            continue
        break
    else:
        pytest.skip("no Python 3.11 that another user can run")
    os.chown(data_dir, 65534, 65534)
    environment = {
        "PATH": os.defpath,
        "HOME": "/nonexistent",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path])),
    }
    code = "print(json.dumps(stack.environment())); stack.stop()\n"
    with as_program(code, data_dir, python, env=environment, **nobody) as program:
        printed, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert "FECAPASS_KAFKA__BOOTSTRAP_SERVERS" in json.loads(printed)
    assert (data_dir / "postgres" / "data").stat().st_uid == 65534


async def test_field_23_a_server_that_was_not_written_down_ends_too(data_dir):
    """Killed between the start of a server and the note of its number."""
    code = (
        "import os, signal\n"
        "record, server = stack._record, stack.servers['redis']\n"
        "stack.stop_server('redis')\n"
        "server.start(record)\n"
        "pids = [s.record.pid for s in stack.servers.values()]\n"
        "print(json.dumps([*pids, stack._guard._process.pid]), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with as_program(code, data_dir) as program:
        processes = json.loads(program.stdout.readline())
    await gone(processes)
