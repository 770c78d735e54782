"""Every message is acknowledged as it comes in, before its effects are durable."""

from infra.cli.main import main
from streams.processing.batcher import Batcher

admit = Batcher.admit


def acknowledge_first(self, delivery):
    admit(self, delivery)
    self.tracker.done(delivery)


Batcher.admit = acknowledge_first

if __name__ == "__main__":
    main()
