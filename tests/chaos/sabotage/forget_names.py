"""An event gets a new identity each time, so that the ledger never recognises it."""

from uuid import uuid4

from domain.events import ImageEvent
from infra.cli.main import main

ImageEvent.uuid = property(lambda _self: uuid4())

if __name__ == "__main__":
    main()
