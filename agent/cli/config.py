"""`config check`: all mistakes at once."""

from pathlib import Path

from agent.cli.terms import Terms, print_json
from agent.configuration.settings import load


def config_check(say: Terms, config: Path, *, as_json: bool) -> int:
    """0 no mistake, 1 a device's table is disabled, 2 the daemon would not start."""
    mistakes = load(config).mistakes
    if as_json:
        print_json({"mistakes": mistakes})
    elif not mistakes:
        print(say(f"{config} 没有错误", f"{config}: no mistakes"))
    else:
        print(say(f"{config} 有 {len(mistakes)} 处错误:", f"{config}: {len(mistakes)} mistakes:"))
        for number, mistake in enumerate(mistakes, 1):
            print(f"{number}. {mistake.text('zh')}\n   {mistake.text('en')}")
    return 2 if any(m.stops_start for m in mistakes) else 1 if mistakes else 0
