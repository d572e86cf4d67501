"""The station's line: shaped, and cut at each of the places where real lines fail (map in guest/router.sh)."""

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from lab.station import Station

Place: TypeAlias = Literal["cable", "gateway", "line", "broker"]

_IN_ROUTER = "ip netns exec router"
_IN_WORLD = "ip netns exec world"


class Network:
    """Working and unshaped at first. A cut lasts until `mend`."""

    gateway = "192.168.1.1"
    internet = ("223.5.5.5", "119.29.29.29", "114.114.114.114")  # public resolvers: they answer ping and DNS
    page = "http://www.example/"
    county = "10.0.2.2"  # this machine, as the station sees it; also county.example

    def __init__(self, station: "Station") -> None:
        self.station = station

    def shape(self, *, down_mbps: float, up_mbps: float, rtt_ms: float = 0, loss_percent: float = 0) -> None:
        """Shape the access line from now on; rates count whole packets, each direction has half of the round trip."""
        for where, device, mbps in ((_IN_WORLD, "line", down_mbps), (_IN_ROUTER, "line", up_mbps)):
            netem = f"rate {mbps}mbit limit 2000"
            netem += f" delay {rtt_ms / 2}ms" if rtt_ms else ""
            netem += f" loss {loss_percent / 2}%" if loss_percent else ""
            self.station.run(f"{where} tc qdisc replace dev {device} root netem {netem}")

    def unshape(self) -> None:
        for where in (_IN_WORLD, _IN_ROUTER):
            self.station.run(f"{where} tc qdisc del dev line root 2>/dev/null || true")

    def cut(self, where: Place, *, broker_port: int | None = None) -> None:
        """`cable`: unplugged (no carrier). `gateway`: the router is dead, the cable is in. `line`: the router answers,
        nothing beyond it does. `broker`: the county's machine does not answer at that port, everything else works."""
        if where == "cable":
            self.station.machine.qmp("set_link", name="eth0", up=False)
        elif where == "gateway":
            self.station.run(f"{_IN_ROUTER} ip link set lan down")
        elif where == "line":
            self._drop(_IN_ROUTER, "line", "")
        else:
            self._drop(_IN_WORLD, "broker", f"ip daddr {self.county} tcp dport {broker_port}")

    def mend(self) -> None:
        """Repair everything."""
        self.station.machine.qmp("set_link", name="eth0", up=True)
        self.station.run(
            f"{_IN_ROUTER} ip link set lan up; {_IN_ROUTER} nft flush chain inet cut line;"
            f"{_IN_WORLD} nft flush chain inet cut broker"
        )
        self.station.wait_for(f"ping -c1 -W1 {self.gateway}", "the gateway to answer again")

    def _drop(self, where: str, chain: str, what: str) -> None:
        self.station.run(f"{where} nft add rule inet cut {chain} {what} drop")
