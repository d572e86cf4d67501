"""The commands, in Chinese or English: declared here, implemented each in a module of its own."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from agent.cli.output import Terms
from agent.configuration.settings import DEFAULT_PATH, DEFAULT_SOCKET
from common.labels import chosen_lang, without_lang
from drivers.catalogue import half
from drivers.reading import YinongError

say = Terms(chosen_lang(sys.argv[1:]))

Config = Annotated[
    Path, typer.Option("--config", help=say("配置文件", "configuration file"), envvar="YINONG_AGENT_CONFIG")
]
Socket = Annotated[
    Path,
    typer.Option(
        "--socket", help=say("监测程序的通信文件", "socket of the running daemon"), envvar="YINONG_AGENT_SOCKET"
    ),
]
Json = Annotated[bool, typer.Option("--json", help=say("输出 JSON", "print JSON"))]
OneDevice = Annotated[
    str | None, typer.Argument(help=say("只检查这个设备（类别或编号）", "only this device (class or id)"))
]

app = typer.Typer(
    name="yinong-agent",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=say(
        "益农信息社监测程序：检查设备、采集扫码、上报县中心。",
        "Agent on a village service station's terminal: checks equipment, captures scans, reports to the county.",
    ),
)
Gun = Annotated[str | None, typer.Option("--gun", help=say("只看这把枪（编号）", "only this gun (id)"))]
Since = Annotated[
    str | None,
    typer.Option("--since", help=say("从何时起：2026-03-02、12h、7d", "start time: 2026-03-02, 12h, 7d")),
]

config_app = typer.Typer(help=say("配置文件", "the configuration file"), no_args_is_help=True)
app.add_typer(config_app, name="config")
scans_app = typer.Typer(
    help=say("已保存的扫码记录：列出、重发、导出", "stored captures: list, send again, export"), no_args_is_help=True
)
app.add_typer(scans_app, name="scans")


def run_app() -> None:
    """Run a command; our own errors are one line on stderr and exit code 2, never a traceback."""
    try:
        app(args=without_lang(sys.argv[1:]))
    except YinongError as error:
        print(half(str(error), say.lang), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)


@app.callback()
def lang_option(_lang: Annotated[str, typer.Option("--lang", help="zh | en")] = say.lang) -> None:
    """`--lang` may stand anywhere and is read before the texts are created; here it is only declared."""


@app.command(help=say("运行（由 systemd 启动）", "run the daemon (systemd starts it)"))
def run(config: Config = DEFAULT_PATH, socket: Socket = DEFAULT_SOCKET) -> None:
    from agent.daemon import main

    raise typer.Exit(main(["--config", str(config), "--socket", str(socket)]))


@app.command(help=say("检查一遍所有设备，对照建设标准", "check all devices once, against the standard"))
def check(
    device: OneDevice = None, config: Config = DEFAULT_PATH, socket: Socket = DEFAULT_SOCKET, json: Json = False
) -> None:
    from agent.cli.check import check as do

    raise typer.Exit(do(say, config, socket, device, as_json=json))


@app.command(help=say("宽带测速（一次）", "measure the line once"))
def measure(config: Config = DEFAULT_PATH, socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    from agent.cli.check import measure as do

    raise typer.Exit(do(say, config, socket, as_json=json))


@app.command(help=say("列出本机设备，并给出可直接粘贴的配置", "list the devices found here, with the TOML to paste"))
def devices(socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    from agent.cli.devices import devices as do

    raise typer.Exit(do(say, socket, as_json=json))


@app.command(help=say("实时查看扫码（不上报）", "live view of captures (publishes nothing)"))
def scan(
    config: Config = DEFAULT_PATH,
    socket: Socket = DEFAULT_SOCKET,
    json: Json = False,
    count: Annotated[int | None, typer.Option(help=say("收到几条后结束", "end after N captures"))] = None,
    record: Annotated[
        Path | None,
        typer.Option("--record", help=say("录到这个文件，可用 replay 重放", "record into this file, for replay")),
    ] = None,
    gun: Gun = None,
    camera: Annotated[bool, typer.Option("--camera", help=say("用摄像头读码", "read codes with the camera"))] = False,
    seconds: Annotated[
        float, typer.Option(min=1, max=120, help=say("摄像头读码时间（秒）", "camera time in seconds"))
    ] = 20,
) -> None:
    if camera:
        from agent.cli.scan import camera as read_with_camera

        raise typer.Exit(read_with_camera(say, socket, seconds, as_json=json))
    if record is not None:
        from agent.cli.record import record as do_record

        raise typer.Exit(do_record(say, config, socket, record, gun, count, as_json=json))
    from agent.cli.scan import scan as do

    raise typer.Exit(do(say, config, socket, count, as_json=json))


@app.command(
    help=say("识别一把新的扫码枪：扫屏幕上的三个码", "identify a gun by three codes that it scans from the screen")
)
def learn(
    config: Config = DEFAULT_PATH,
    write: Annotated[bool, typer.Option("--write", help=say("写入配置文件", "append its table to the file"))] = False,
    baud: Annotated[int, typer.Option(help=say("串口速率", "speed of serial guns"))] = 9600,
) -> None:
    from agent.cli.learn import learn as do

    raise typer.Exit(do(say, config, baud, write=write))


@app.command(help=say("按录制文件重放扫码", "replay a recording of a gun"))
def replay(
    file: Path,
    source: Annotated[Literal["evdev", "serial", "hidpos"], typer.Option(help=say("录制来源", "what was recorded"))],
) -> None:
    from agent.cli.scan import replay as do

    raise typer.Exit(do(say, file, source))


@app.command(help=say("监测程序在做什么", "what the running daemon is doing"))
def status(socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    from agent.cli.status import status as do

    raise typer.Exit(do(say, socket, as_json=json))


@app.command(help=say("待上报与已存档的记录", "rows that wait for the county, and rows in the archive"))
def outbox(config: Config = DEFAULT_PATH, socket: Socket = DEFAULT_SOCKET, json: Json = False) -> None:
    from agent.cli.status import outbox as do

    raise typer.Exit(do(say, config, socket, as_json=json))


@app.command(
    help=say(
        "断网太久时，把县运营中心还没签收的记录写到 U 盘送交（导出扫码自用：scans export）",
        "onto a USB stick for the county: what it has not receipted (captures for your own use: scans export)",
    )
)
def export(
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help=say("U 盘的文件夹，默认为插着的 U 盘", "the stick's folder; by default the stick plugged in")
        ),
    ] = None,
    outbox: Annotated[
        Path | None,
        typer.Option(
            "--outbox", help=say("从坏掉的电脑拷出来的记录库文件", "an outbox file copied from a dead terminal")
        ),
    ] = None,
    terminal: Annotated[
        str | None,
        typer.Option(
            "--terminal",
            help=say("是哪台电脑的（全名），文件没有写明时用", "its terminal, if the file does not state it"),
        ),
    ] = None,
    config: Config = DEFAULT_PATH,
    socket: Socket = DEFAULT_SOCKET,
    json: Json = False,
) -> None:
    from agent.cli.export import export as do

    raise typer.Exit(do(say, config, socket, to, outbox, terminal, as_json=json))


@app.command(
    help=say("解读原始数据：screen、printer 或 scan", "interpret a recorded raw answer: screen, printer or scan")
)
def inspect(
    what: Literal["screen", "printer", "scan"],
    source: Annotated[str, typer.Argument(help=say("文件，或扫码文本", "a file, or the text of a scan"))],
    config: Config = DEFAULT_PATH,
    json: Json = False,
) -> None:
    from agent.cli.inspect import inspect as do

    raise typer.Exit(do(say, what, source, config, as_json=json))


@app.command(help=say("打印控制卡：用扫码枪切换环节、作废、自检", "print control cards: the gun is the keyboard"))
def cards(
    out: Annotated[Path, typer.Option("--out", help=say("写到这个 HTML 文件", "the HTML file to write"))],
    product: Annotated[
        list[str] | None, typer.Option("--product", help=say("产品名，可多次", "a product's name; may be repeated"))
    ] = None,
    batch: Annotated[
        list[str] | None, typer.Option("--batch", help=say("批次号，可多次", "a batch; may be repeated"))
    ] = None,
    config: Config = DEFAULT_PATH,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    from agent.cli.cards import cards as do

    raise typer.Exit(do(say, config, socket, out, product or (), batch or ()))


@scans_app.command("list", help=say("列出扫码记录，最新的在最后", "list captures, the newest last"))
def scans_list(
    gun: Gun = None,
    since: Since = None,
    limit: Annotated[int | None, typer.Option(min=1, help=say("只列最新的几条", "only the newest N"))] = None,
    config: Config = DEFAULT_PATH,
    socket: Socket = DEFAULT_SOCKET,
    json: Json = False,
) -> None:
    from agent.cli.scans import capture_query, list_scans

    raise typer.Exit(list_scans(say, config, socket, capture_query(say, gun, since, limit), as_json=json))


@scans_app.command("resend", help=say("把一段扫码记录再报一次", "send a range of captures to the county again"))
def scans_resend(
    first: Annotated[int, typer.Argument(metavar="FROM", min=1, help=say("第一条的编号", "number of the first"))],
    last: Annotated[int, typer.Argument(metavar="TO", min=1, help=say("最后一条的编号", "number of the last"))],
    outbox: Annotated[
        str,
        typer.Option(help=say("这些记录所属的记录库，默认为当前", "id of their outbox; the current one by default")),
    ] = "",
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    from agent.cli.scans import resend as do

    raise typer.Exit(do(say, socket, first, last, outbox))


@scans_app.command(
    "export",
    help=say(
        "把扫码导出为 JSON、CSV 或 EPCIS 2.0，自用（用 U 盘送交县运营中心：export）",
        "captures as JSON, CSV or EPCIS 2.0, for your own use (to the county by stick: export)",
    ),
)
def scans_export(
    file: Annotated[Path, typer.Argument(help=say("文件，- 为标准输出", "a file; - is standard output"))],
    format: Annotated[Literal["json", "csv", "epcis"], typer.Option("--format", help=say("格式", "the form"))] = "json",
    gun: Gun = None,
    since: Since = None,
    config: Config = DEFAULT_PATH,
    socket: Socket = DEFAULT_SOCKET,
) -> None:
    from agent.cli.scans import capture_query
    from agent.cli.scans import export as do

    raise typer.Exit(do(say, config, socket, capture_query(say, gun, since, None), format, file))


@config_app.command("check", help=say("一次列出所有错误", "report all mistakes at once"))
def config_check(config: Config = DEFAULT_PATH, json: Json = False) -> None:
    from agent.cli.config import config_check as do

    raise typer.Exit(do(say, config, as_json=json))
