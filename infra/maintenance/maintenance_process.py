"""``fecapass maintain``: reconciler and retention, round after round, until it is stopped."""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic

from config.observability import metrics
from config.settings import Settings
from config.tasks.supervisor import Supervisor
from domain.failures import Fatal, Reject, Retry
from infra.maintenance.maintenance_stores import MaintenanceStores
from infra.maintenance.reconcile import Reconciler
from infra.maintenance.retention import retain
from infra.maintenance.unknown_rounds import opened_unknown_rounds
from infra.processes.signals import stop_event
from sinks.stores import opened
from streams.lifecycle.health_server import Check, HealthServer, health_server_problem, task_checks

logger = logging.getLogger(__name__)


class Maintenance:
    """Rounds of maintenance, with their health and metrics."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings; nothing is connected yet."""
        self._settings = settings
        self._supervisor = Supervisor()
        self._failure: str | None = None
        self._ended_at: float | None = None

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT; what is half done is found again by the next round.

        Raises:
            Fatal: the port of ``/health`` is taken.
        """
        workers = self._settings.workers
        health = HealthServer(
            workers.health_host,
            workers.health_port,
            "fecapass-maintain",
            self._checks,
            workers.address_file,
        )
        try:
            url = await health.start()
        except OSError as error:
            raise Fatal(health_server_problem(workers, error)) from error
        logger.info("fecapass-maintain serves %s/health and %s/metrics", url, url)
        self._supervisor.start("maintenance-rounds", self._rounds, longest_pause=60.0)
        try:
            with stop_event() as stop:
                await stop.wait()
        finally:
            await self._supervisor.close()
            await health.stop()
        logger.info("fecapass-maintain has stopped")

    async def _rounds(self) -> None:
        maintenance = self._settings.maintenance
        while True:
            try:
                await self._round()
            except (Retry, Reject) as error:
                self._failure = str(error)
                metrics.MAINTENANCE_FAILURES.inc()
                logger.warning("a round of maintenance broke off: %s", error)
                await asyncio.sleep(maintenance.retry)
            else:
                self._failure = None
                self._ended_at = monotonic()
                metrics.MAINTENANCE_LAST_SUCCESS.set_to_current_time()
                await asyncio.sleep(maintenance.interval)

    async def _round(self) -> None:
        """Retention first: should it be cut off, what it leaves is repaired a little later."""
        async with opened(MaintenanceStores.of(self._settings)) as stores:
            while await stores.records.fill_event_users(self._settings.maintenance.batch):
                pass  # rows of an older release; an erasure would have to wait for this
            for one in await retain(stores, self._settings, _silent, dry_run=False):
                if one.deleted:
                    logger.info("retention deleted %d %s", one.deleted, one.what)
            for count in await Reconciler(stores, self._settings, False, _silent).run():
                if count.found:
                    logger.warning(
                        "%s: %d found, %d repaired", count.fault, count.found, count.repaired
                    )
        async with opened_unknown_rounds(self._settings) as unknowns:
            done = await unknowns.run()
            if done.merged or done.repaired or done.removed:
                logger.info(
                    "unknowns: %d merged, %d repaired, %d templates removed",
                    done.merged,
                    done.repaired,
                    done.removed,
                )

    def _checks(self) -> Sequence[Check]:
        return [*task_checks(self._supervisor.states()), self._own_check()]

    def _own_check(self) -> Check:
        if self._failure is not None:
            return Check("maintenance", False, self._failure)
        if self._ended_at is None:
            return Check("maintenance", True, "in the first round")
        ago = monotonic() - self._ended_at
        return Check("maintenance", True, f"last round ended {ago:.0f} s ago")


def _silent(_what: str, _done: int) -> None:
    """Progress is for people who watch."""
