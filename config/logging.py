import logging


def configure_logging(settings):
    logging.basicConfig(level=settings.log_level)
