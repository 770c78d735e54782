"""One file for each kind of fault: it begins on entering the context and ends on leaving it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.chaos.fleet import Fleet
from tests.chaos.schedule import Kind, PlannedFault
from tests.chaos.servers import Servers


@dataclass(frozen=True, slots=True)
class Targets:
    """The servers and workers into which faults are injected."""

    servers: Servers
    fleet: Fleet


#: A context manager: injects the fault, yields what was affected, ends the fault.
Injection = Callable[[Targets, PlannedFault], AbstractAsyncContextManager[str]]


def injections() -> Mapping[Kind, Injection]:
    """Every kind of fault."""
    from tests.chaos.faults import crash, disk, ending, freeze, network, scaling

    return {
        "kill": ending.kill,
        "terminate": ending.terminate,
        "freeze": freeze.freeze,
        "crash": crash.crash,
        "cut": network.cut,
        "blackhole": network.blackhole,
        "slow": network.slow,
        "fill disk": disk.fill,
        "join": scaling.join,
        "leave": scaling.leave,
    }
