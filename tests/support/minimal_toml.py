"""The shortest agent.toml that starts a daemon, and where its mistakes are."""

from agent.configuration.settings import Loaded
from drivers.table import CLASSES

ONE = {"terminal": CLASSES["terminal"]}  # the only class that a test of the rest of the file knows
MINIMAL = """\
[station]
division = "450225"
number = "桂BRS0001B"
[broker]
host = "127.0.0.1"
tls = false
"""


def paths(loaded: Loaded) -> list[str]:
    return [mistake.path for mistake in loaded.mistakes]
