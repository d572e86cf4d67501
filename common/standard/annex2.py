"""Annex 2 of the county plan: the 12 items of a standard station, in the document's order. Data only.

Source: annex 2 of 融政办发〔2019〕14号. What a station of another type must have is a profile (`common.standard.rules.Profiles`).
"""

from typing import Literal, NamedTuple, TypeAlias

ItemCode: TypeAlias = Literal[
    "signboard",
    "led_screen",
    "plate",
    "information_wall",
    "terminal",
    "printer",
    "broadband",
    "telephone",
    "video",
    "scan_gun",
    "shelves",
    "web_page",
]
Capability: TypeAlias = Literal["promotion", "video_calls"]


class AnnexItem(NamedTuple):
    """One line of the annex."""

    number: int
    code: ItemCode
    zh: str
    en: str
    requirement_zh: str
    requirement_en: str
    quantity: str
    established: Literal["measured", "attested", "measured_or_attested"]
    waived_by: Capability | None = None  # of the smart terminal

    @property
    def measured(self) -> bool:
        """Whether a device class of the same name provides its evidence."""
        return self.established != "attested"


ANNEX_2 = (
    AnnexItem(1, "signboard", "益农信息社门头", "signboard",
              "统一标识，标明站点编号", "uniform brand, shows the station number", "1", "attested"),
    AnnexItem(2, "led_screen", "LED 屏幕", "LED screen",
              "面积 1 平方米以上，发布本站信息；智能终端能展示宣传内容的可不配",
              "area at least 1 m², shows the station's news; not needed where the smart terminal shows promotional content",
              "1", "measured", "promotion"),
    AnnexItem(3, "plate", "授权牌和证书", "plate and certificate",
              "上墙，位置醒目", "on the wall, in clear view", "1 set", "attested"),
    AnnexItem(4, "information_wall", "信息墙", "information wall",
              "公示制度、服务内容、职责、承诺", "rules, services, duties, promises", "1 set", "attested"),
    AnnexItem(5, "terminal", "电脑或智能终端", "computer or smart terminal",
              "满足服务和业务需要", "meets service and business needs", "1+", "measured"),
    AnnexItem(6, "printer", "打印复印一体机", "printer-copier",
              "能打印，能复印", "must both copy and print", "1+", "measured"),
    AnnexItem(7, "broadband", "宽带", "broadband",
              "8M 以上，Wi-Fi 覆盖全站", "at least 8M; Wi-Fi covering the whole station", "1 line", "measured"),
    AnnexItem(8, "telephone", "专用电话", "telephone",
              "提供电话服务，相对固定的手机也可以", "call service; a relatively fixed mobile counts", "1", "attested"),
    AnnexItem(9, "video", "视频设备", "video device",
              "与政府和农业部门远程视频；智能终端能视频通话的可不配",
              "remote video link with government and agriculture departments; "
              "not needed where the smart terminal makes video calls",
              "1 set", "measured", "video_calls"),
    AnnexItem(10, "scan_gun", "扫码枪", "scan gun",
              "满足品控溯源需要；智能终端能视频通话的可不配",
              "as quality-control traceability requires; not needed where the smart terminal makes video calls",
              "1", "measured", "video_calls"),
    AnnexItem(11, "shelves", "产品柜架", "product shelves",
              "展示本地农产品和商品", "show local produce and goods", "1 set", "attested"),
    AnnexItem(12, "web_page", "本村网页", "village web page",
              "在国家和自治区平台上注册", "registered on the national and regional platforms", "1", "measured_or_attested"),
)  # fmt: skip

EVERY_ITEM: tuple[ItemCode, ...] = tuple(line.code for line in ANNEX_2)
SIMPLE_ITEMS: tuple[ItemCode, ...] = ("signboard", "plate", "information_wall")  # professional and simple stations
BY_CODE = {line.code: line for line in ANNEX_2}
