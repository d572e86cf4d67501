"""`yinong-center`, in Chinese or English. A command is a module of this room and a line in `COMMANDS`.

A command module has HELP and `command`, whose parameters are typer options. It imports what it runs inside `command`, so that
`--help` and the other commands do not load it.
"""

import sys
from typing import Annotated

import typer

from center.cli import import_, record, simulate, watch
from center.cli.options import LANG, say
from common.labels import without_lang
from drivers.reading import YinongError

COMMANDS = (("record", record), ("import", import_), ("watch", watch), ("simulate", simulate))  # in the order of --help

app = typer.Typer(
    name="yinong-center",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=say("益农信息社县运营中心：接收、导入、查看、模拟。", "The county's side: record, import, watch, simulate."),
)
for name, module in COMMANDS:
    app.command(name, help=module.HELP)(module.command)


@app.callback()
def everywhere(_lang: Annotated[str, typer.Option("--lang", help="zh | en")] = LANG) -> None:
    """Declares `--lang`, which may stand anywhere: it was read before the texts were made (`center.cli.options`)."""


def main() -> None:
    """Entry point of the command `yinong-center`. Our own errors are one line on stderr and exit code 2."""
    try:
        app(args=without_lang(sys.argv[1:]))
    except YinongError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
