"""The worker processes; a new one is started for each that ends, as Kubernetes would do."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import aiohttp

from config.network.listening import announced
from streams.contract.topics import ROLES
from tests.chaos.recovery import Stop

_LOOK_SECONDS = 0.25
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 8.0
_LIVED_LONG = 15.0
_STOP_SECONDS = 40.0

PROGRAM = "infra.cli.main"


@dataclass(eq=False)
class Member:
    """One worker process."""

    kind: str
    number: int
    process: subprocess.Popen[bytes]
    address_file: Path
    log: Path
    started: float = field(default_factory=monotonic)
    frozen: bool = False
    #: Whether its end is expected: it was killed or stopped by the test.
    end_expected: bool = False
    peak_bytes: int = 0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.number}"

    @property
    def address(self) -> str | None:
        """The URL of its health endpoint; None before it listens."""
        found = announced(self.address_file)
        return None if found is None else found.url

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def note_memory(self) -> None:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.peak_bytes = max(self.peak_bytes, int(line.split()[1]) * 1024)


class Fleet:
    """Keeps the wanted number of workers of each kind running.

    Attributes:
        wanted: number of workers of each kind.
        unexpected_ends: ends that the test did not ask for, and failed stops, one line each.
        late_stops: workers that did not stop in time.
        stops: of each stopped worker, when it was asked to stop and when it ended.
        members: every process that was started, also ended ones.
    """

    def __init__(self, environment: Mapping[str, str], logs: Path, program: str = PROGRAM) -> None:
        """Start workers with these variables, as ``python -m program worker KIND``."""
        self.wanted = dict.fromkeys(ROLES, 0)
        self.unexpected_ends: list[str] = []
        self.late_stops: list[str] = []
        self.stops: list[Stop] = []
        self.members: list[Member] = []
        self._environment = environment
        self._logs = logs
        self._program = program
        self._short_lives = dict.fromkeys(self.wanted, 0)
        self._not_before = dict.fromkeys(self.wanted, 0.0)
        self._endings: set[asyncio.Task[None]] = set()

    def alive(self, kind: str) -> list[Member]:
        """The workers that run and were not asked to end, in the order of their numbers."""
        return [
            one for one in self.members if one.kind == kind and one.running and not one.end_expected
        ]

    async def keep(self) -> None:
        """Watch the workers and replace ended ones, until cancelled."""
        seen: set[Member] = set()
        while True:
            for member in self.members:
                if member.running:
                    member.note_memory()
                elif member not in seen:
                    seen.add(member)
                    self._note_end(member)
            for kind, count in self.wanted.items():
                if len(self.alive(kind)) < count and monotonic() >= self._not_before[kind]:
                    self.start(kind)
            await asyncio.sleep(_LOOK_SECONDS)

    def start(self, kind: str) -> Member:
        number = sum(one.kind == kind for one in self.members)
        log = self._logs / f"{kind}-{number}.log"
        address_file = log.with_suffix(".address")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", self._program, "worker", kind],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **os.environ,
                    **self._environment,
                    "FECAPASS_WORKERS__HEALTH_HOST": "127.0.0.1",
                    "FECAPASS_WORKERS__HEALTH_PORT": "0",
                    "FECAPASS_WORKERS__ADDRESS_FILE": str(address_file.absolute()),
                },
                start_new_session=True,
            )
        member = Member(kind, number, process, address_file, log)
        self.members.append(member)
        return member

    def kill(self, member: Member) -> None:
        member.end_expected = True
        member.send(signal.SIGKILL)
        member.send(signal.SIGCONT)

    def terminate(self, member: Member) -> None:
        """SIGTERM; a background task checks that the worker ends normally."""
        member.end_expected = True
        member.send(signal.SIGTERM)
        task = asyncio.create_task(self._await_end(member))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def unhealthy(self) -> list[str]:
        """Workers whose /health does not answer 200, and missing workers."""
        bad = []
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as session:
            for kind, count in self.wanted.items():
                members = self.alive(kind)
                bad += [f"{count - len(members)} {kind} missing"] * (len(members) < count)
                for member in members:
                    if (address := member.address) is None:
                        bad.append(f"{member.name} does not listen yet")
                        continue
                    try:
                        async with session.get(f"{address}/health") as response:
                            if response.status != 200:
                                bad.append(f"{member.name}: {(await response.text())[:300]}")
                    except (aiohttp.ClientError, TimeoutError) as error:
                        bad.append(f"{member.name}: {error!r}")
        return bad

    async def stop(self) -> None:
        """Stop all workers normally."""
        self.wanted = dict.fromkeys(self.wanted, 0)
        for member in self.members:
            if member.running and not member.end_expected:
                self.terminate(member)
        await asyncio.gather(*self._endings)
        for member in self.members:
            member.note_memory()
            if member.running:
                self.kill(member)
                await asyncio.to_thread(member.process.wait)

    async def _await_end(self, member: Member) -> None:
        began = datetime.now(UTC)
        try:
            code = await asyncio.to_thread(member.process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.late_stops.append(f"{member.name} did not stop within {_STOP_SECONDS:.0f} s")
            self.kill(member)
        else:
            if code != 0:
                self.unexpected_ends.append(
                    f"{member.name} failed when it was stopped: {last_line(member)}"
                )
        self.stops.append(Stop(began, datetime.now(UTC)))

    def _note_end(self, member: Member) -> None:
        lived = monotonic() - member.started
        code = member.process.returncode
        if not member.end_expected:
            self.unexpected_ends.append(
                f"{member.name} ended after {lived:.0f} s: {last_line(member)}"
            )
            short = code != 0 and lived < _LIVED_LONG
            self._short_lives[member.kind] = self._short_lives[member.kind] + 1 if short else 0
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** self._short_lives[member.kind])
        self._not_before[member.kind] = monotonic() + wait


def last_line(member: Member) -> str:
    """The last line of a worker's log."""
    lines = member.log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else f"exit code {member.process.returncode}"


@asynccontextmanager
async def running_fleet(
    environment: Mapping[str, str], logs: Path, program: str, *, each: int
) -> AsyncIterator[Fleet]:
    """Healthy workers, ``each`` of every role, which are watched; all are stopped on leaving."""
    fleet = Fleet(environment, logs, program)
    fleet.wanted = dict.fromkeys(ROLES, each)
    keeper = asyncio.create_task(fleet.keep())
    try:
        async with asyncio.timeout(120):
            while await fleet.unhealthy():  # noqa: ASYNC110 - health must be polled
                await asyncio.sleep(_LOOK_SECONDS)
        yield fleet
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await fleet.stop()
