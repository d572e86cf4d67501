"""The output of `yinong-center import` for each parcel, in Chinese or English."""

from center.recorder.importing import ImportedParcel, RejectedParcel
from common.parcel import key_digits
from drivers.catalogue import Lang

RECEIPTS = (
    "签收由 yinong-center record 发给各站，不必重启。",
    "`yinong-center record` sends the receipts; it needs no restart.",
)
NOTHING = ("这里没有数据包（*.yinong）", "no parcels (*.yinong) found")


def lines(one: ImportedParcel | RejectedParcel, lang: Lang) -> list[str]:
    """The lines for one parcel; the first names the file or the terminal."""

    def say(zh: str, en: str) -> str:
        return zh if lang == "zh" else en

    if isinstance(one, RejectedParcel):
        zh, _, en = one.why.partition(" / ")
        return [say(f"拒收 {one.path}：{zh}", f"refused {one.path}: {en or zh}")]
    manifest, kept = one.manifest, one.result
    lines = [f"{manifest.sender.name} {manifest.number}({one.path.name})"]
    lines.append(
        say(
            f"  入库 {kept.stored} 条，已有 {kept.duplicates} 条，冲突 {kept.conflicts} 条，不合格另存 {kept.set_aside} 条",
            f"  stored {kept.stored}, had already {kept.duplicates}, conflicts {kept.conflicts}, set aside {kept.set_aside}",
        )
    )
    lines += [
        say(f"  {head.outbox}：第 1 到 {head.upto} 条已收齐", f"  {head.outbox}: complete up to number {head.upto}")
        for head in kept.heads
    ]
    lines += [
        say(
            f"  {outbox}：缺第 {first} 到 {last} 条，站点还留着：请等线路恢复，或请站点再导出一次",
            f"  {outbox}: {first} to {last} are missing and still at the station: wait for the line, or have it export again",
        )
        for outbox, first, last in one.gaps
    ]
    if one.first_imported_at:
        lines.append(
            say(
                f"  这个数据包 {one.first_imported_at} 已导入过",
                f"  this very parcel was imported at {one.first_imported_at} before",
            )
        )
    if len(one.keys) > 1:
        keys = ", ".join(f"{key_digits(key.key)} ({key.first_reported})" for key in one.keys)
        lines.append(
            say(f"  注意：这台电脑有过不止一把密钥：{keys}", f"  note: this terminal has had several keys: {keys}")
        )
    return lines
