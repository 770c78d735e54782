"""One file for each kind of fault: begun on entering, taken back on leaving."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from tests.chaos.fleet import Fleet
from tests.chaos.schedule import Kind, Strike
from tests.chaos.servers import Servers


@dataclass(frozen=True, slots=True)
class World:
    """What a fault may strike."""

    servers: Servers
    fleet: Fleet


#: Begins the fault, says whom it met, takes it back.
Fault = Callable[[World, Strike], AbstractAsyncContextManager[str]]


def faults() -> Mapping[Kind, Fault]:
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
