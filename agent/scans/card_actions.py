"""Actions of control cards: a card changes its gun's context, voids the gun's last scan, or starts work.

    scan that looks like a card -> apply -> journal entry and the gun's state in one transaction -> answer (live view, beep)

A card is never a capture of goods: it has no number and no scan message. A card without effect is journalled as
`card_refused` with the reason and the text. A damaged scan is never a card, whatever could be decoded: it stays a damaged
capture.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta, timezone
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from agent.outbox.archive import VOIDED, CaptureQuery, CaptureReader, StoredCapture
from agent.outbox.outbox import Draft
from agent.outbox.stamps import journal
from agent.outbox.writer import Writer
from agent.scans.gun_state import GunState
from common.clock import Clock
from common.codes.control_cards import ACTIONS, STEPS, Card, CardRefusal, looks_like_card, parse_card
from common.messages import Capture
from common.standard.texts import item_name
from drivers.catalogue import Lang, half, sentence
from drivers.reading import Reading, YinongError
from drivers.scan_gun.capture import RawCapture

log = logging.getLogger(__name__)

Texts: TypeAlias = tuple[str, str]  # Chinese and English
Work: TypeAlias = Callable[[], Awaitable[Texts]]

MAX_WAITING = 3
MAX_TEXT = 300  # of a refused card in the journal: no valid card is longer
CHINA = timezone(timedelta(hours=8))

REFUSED: dict[str, Texts] = {
    "form": ("这张卡不完整，没有执行", "the card is not whole: nothing done"),
    "signature": ("这张卡不是本站的，没有执行", "not a card of this station: nothing done"),
    "no_key": ("控制卡密钥不可用，没有执行", "the key of the cards cannot be read: nothing done"),
    "unknown_action": ("不认识这张卡，没有执行", "an unknown card: nothing done"),
    "nothing_to_void": ("没有可作废的记录", "there is no scan to void"),
    "already_voided": ("刚扫的一条已经作废，没有再作废别的", "the last scan is void already: nothing else was voided"),
    "busy": ("上一项还没有完成，请稍后再扫", "still at work: scan the card again later"),
}


class CardAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a card, for the live view. `action` is "" if the card is not valid."""

    gun: str
    action: str
    ok: bool
    zh: str
    en: str


class CardEffect(NamedTuple):
    """What is to be committed of a card, and what follows after the commit."""

    drafts: list[Draft]
    state_values: dict[str, bytes | None]  # besides the gun's own
    state: GunState
    answer: CardAnswer
    starts: str = ""  # work to start after the commit


class Measured(Protocol):
    """A device with its measurement."""

    @property
    def device_class(self) -> str: ...
    @property
    def reading(self) -> Reading: ...


class Checks(Protocol):
    """What the cards CHECK and MEASURE ask for (`agent.devices.checks`)."""

    async def check(self, device: object, lang: Lang) -> dict[str, Any]: ...
    async def measure(self) -> Measured: ...


class CardActions:
    """`run` belongs in the daemon's task group and does the slow work; `apply` only computes the effect of a card.

    `works`: action -> what to do for CHECK and MEASURE; `answers` receives the answers of finished work.
    """

    def __init__(
        self, station: str, key: bytes | None, clock: Clock, writer: Writer, works: Mapping[str, Work]
    ) -> None:
        self._station, self._key, self._clock, self._writer = station, key, clock, writer
        self.answers: asyncio.Queue[CardAnswer] = asyncio.Queue()
        self._works: dict[str, Work] = {"LIST": self._today, **works}
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue(MAX_WAITING)

    def is_card(self, scan: RawCapture) -> bool:
        return looks_like_card(scan.text)  # a damaged scan has no text

    async def apply(self, scan: RawCapture, state: GunState) -> CardEffect:
        """Compute the effect of this card on a gun in this state. Raises sqlite3.Error."""
        card = parse_card(scan.text, self._key, self._station)
        if isinstance(card, CardRefusal):
            return self._refused(scan, state, card.reason)
        if card.action == "VOID":
            return await self._void(scan, state)
        if card.action in self._works:
            if self._waiting.full():
                return self._refused(scan, state, "busy", card.action)
            title = ACTIONS[card.action]
            return self._done(
                scan, state, card, (f"{title.zh}：正在进行……", f"{title.en}: under way …"), starts=card.action
            )
        return self._context(scan, state, card)

    def start_work(self, effect: CardEffect) -> None:
        """Start the work of a committed card."""
        if effect.starts and not self._waiting.full():
            self._waiting.put_nowait((effect.answer.gun, effect.starts))

    async def run(self) -> None:
        """Do the waiting work, one after the other, until cancelled."""
        while True:
            gun, action = await self._waiting.get()
            try:
                zh, en = await self._works[action]()
                self.answers.put_nowait(CardAnswer(gun=gun, action=action, ok=True, zh=zh, en=en))
            except YinongError as error:
                self.answers.put_nowait(
                    CardAnswer(gun=gun, action=action, ok=False, zh=half(str(error), "zh"), en=half(str(error), "en"))
                )
            except Exception as error:  # a bug in one kind of work must not stop the scanning
                log.exception("card %s", action)
                zh, en = "没有完成，请稍后再试", f"failed: {error}"
                self.answers.put_nowait(CardAnswer(gun=gun, action=action, ok=False, zh=zh, en=en))

    def _context(self, scan: RawCapture, state: GunState, card: Card) -> CardEffect:
        action, context = ACTIONS[card.action], dict(state.context)
        texts = (action.does_zh, action.does_en)
        if action.step:
            context["step"] = action.step
        elif card.action == "PRODUCT":
            context = {k: v for k, v in context.items() if k != "batch"} | {"product": card.value}
            texts = (f"产品：{card.value}", f"product: {card.value}")
        elif card.action == "BATCH":
            context["batch"] = card.value
            texts = (f"批次：{card.value}", f"batch: {card.value}")
        else:
            context = {}
        changed = context != state.context
        after = msgspec.structs.replace(state, context=context, text=None if changed else state.text)
        return self._done(scan, after, card, texts)

    async def _void(self, scan: RawCapture, state: GunState) -> CardEffect:
        """Void the gun's last capture, once: a card that is scanned twice must not void the one before."""
        if state.number and state.voided == state.number:
            return self._refused(scan, state, "already_voided", "VOID")
        last = await self._last(scan.gun) if state.number else None
        if last is None or last.number != state.number:
            return self._refused(scan, state, "nothing_to_void", "VOID")
        rowid = await self._writer.run_in_thread(lambda box: box.rowid(last.outbox, last.seq))
        entry = journal(
            self._clock, "capture_voided", gun=last.gun, number=last.number, outbox=last.outbox, seq=last.seq
        )
        after = msgspec.structs.replace(state, voided=state.number, text=None)
        zh, en = last.text or "（损坏的一条）", last.text or "(a damaged one)"
        effect = self._done(
            scan, after, Card("VOID"), (f"已作废第 {last.number} 条：{zh}", f"voided number {last.number}: {en}")
        )
        voided: dict[str, bytes | None] = {f"{VOIDED}{rowid}": str(last.number).encode()}
        return effect._replace(drafts=[*effect.drafts, entry], state_values=voided)

    async def _last(self, gun: str) -> Capture | None:
        reader = CaptureReader(CaptureQuery(gun=gun, limit=1))
        while not reader.done:
            if stored := await self._writer.run_in_thread(reader.step):
                return stored[0].capture
        return None

    def _done(self, scan: RawCapture, after: GunState, card: Card, texts: Texts, starts: str = "") -> CardEffect:
        value = {"value": card.value} if card.value else {}
        entry = journal(
            self._clock,
            "card",
            gun=scan.gun,
            identity=scan.identity,
            action=card.action,
            **value,
            context=after.context,
        )
        answer = CardAnswer(gun=scan.gun, action=card.action, ok=True, zh=texts[0], en=texts[1])
        return CardEffect([entry], {}, after, answer, starts)

    def _refused(self, scan: RawCapture, state: GunState, why: str, action: str = "") -> CardEffect:
        entry = journal(
            self._clock, "card_refused", gun=scan.gun, identity=scan.identity, why=why, text=scan.text[:MAX_TEXT]
        )
        zh, en = REFUSED[why]
        return CardEffect([entry], {}, state, CardAnswer(gun=scan.gun, action=action, ok=False, zh=zh, en=en))

    async def _today(self) -> Texts:
        """Counts of all guns since midnight in China, and of captures of this boot whose time is unknown."""
        midnight = self._clock.now().astimezone(CHINA).replace(hour=0, minute=0, second=0, microsecond=0)
        reader = CaptureReader(CaptureQuery(since=midnight))
        stored: list[StoredCapture] = []
        while not reader.done:
            found = await self._writer.run_in_thread(reader.step)
            stored += [k for k in found if k.scanned_at is not None or k.capture.boot == self._clock.boot]
        return _counts(stored)


def _counts(stored: list[StoredCapture]) -> Texts:
    good = [k.capture for k in stored if not k.voided and k.capture.damage is None]
    steps: dict[str, int] = {}
    for capture in good:
        step = capture.context.get("step", "")
        steps[step] = steps.get(step, 0) + 1
    damaged = sum(k.capture.damage is not None for k in stored)
    voided = sum(k.voided and k.capture.damage is None for k in stored)
    zh = "，".join(f"{STEPS[step].zh if step in STEPS else '未分环节'} {n}" for step, n in steps.items())
    en = ", ".join(f"{STEPS[step].en if step in STEPS else 'no step'} {n}" for step, n in steps.items())
    return (
        f"今天 {len(good)} 条" + (f"（{zh}）" if zh else "") + f"；损坏 {damaged} 条，作废 {voided} 条",
        f"today {len(good)}" + (f" ({en})" if en else "") + f"; damaged {damaged}, voided {voided}",
    )


def device_works(checks: Checks) -> dict[str, Work]:
    """The works of the cards CHECK (自检) and MEASURE (测速)."""

    async def check() -> Texts:
        report = await checks.check(None, "zh")
        wrong = [str(row["item"]) for row in report["standard"] if row["verdict"] == "not_met"]
        unproven = sum(row["verdict"] == "unproven" for row in report["standard"])
        named = [(item_name(item, "zh"), item_name(item, "en")) for item in wrong]
        zh = f"不达标 {len(named)} 项" + (f"（{'、'.join(zh for zh, _ in named)}）" if named else "")
        en = f"{len(named)} not met" + (f" ({', '.join(en for _, en in named)})" if named else "")
        return f"自检完毕：{zh}，待核实 {unproven} 项", f"checked: {en}, {unproven} unproven"

    async def measure() -> Texts:
        device = await checks.measure()
        reason = device.reading.reason
        return sentence(device.device_class, reason, "zh").says, sentence(device.device_class, reason, "en").says

    return {"CHECK": check, "MEASURE": measure}
