"""Every message is acknowledged when it arrives, before its effects are durable."""

from infra.cli.main import main
from streams.processing.batcher import Batcher

admit = Batcher.admit


def acknowledge_first(self, delivery):
    admit(self, delivery)
    self.tracker.done(delivery)


Batcher.admit = acknowledge_first

if __name__ == "__main__":
    main()
