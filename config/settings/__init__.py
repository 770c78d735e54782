"""Every setting of every process, in one typed place; `config.settings.settings` reads them."""

from config.settings.settings import *  # noqa: F403
