#!/bin/sh
# The station's surroundings, as network namespaces of the same machine, so that each link can be shaped and cut on its own:
#
#   station eth0 --- router: lan | line --- world: line | host --- the county's machine (10.0.2.2, the host of the lab)
#   192.168.1.10     192.168.1.1 | 100.64.0.2     100.64.0.1, and on its loopback the internet: DNS, NTP, pages (world.py)
set -eu

ns() { where=$1; shift; ip netns exec "$where" "$@"; }
card() { grep -l "$1" /sys/class/net/*/address | cut -d/ -f5; }

udevadm settle
modprobe -a veth nf_tables nft_chain_nat nft_masq nf_conntrack sch_netem sch_tbf
ip netns add router
ip netns add world
ip link set "$(card 52:54:00:59:4e:20)" netns router name lan
ip link set "$(card 52:54:00:59:4e:30)" netns world name host
ip link add line netns router type veth peer name line netns world

ns router ip link set lo up
ns router ip addr add 192.168.1.1/24 dev lan
ns router ip addr add 192.168.1.60/24 dev lan       # the network printer's place on the counter
ns router ip link set lan up
ns router ip addr add 100.64.0.2/24 dev line
ns router ip link set line up
ns router ip route add default via 100.64.0.1
ns router sysctl -qw net.ipv4.ip_forward=1
ns router nft -f - <<RULES
table ip nat {
    chain dns { type nat hook prerouting priority dstnat; iif "lan" ip daddr 192.168.1.1 udp dport 53 dnat to 203.0.113.53; }
    chain out { type nat hook postrouting priority srcnat; oif "line" masquerade; }
}
table inet cut {
    chain gateway { type filter hook prerouting priority raw; }
    chain line { type filter hook forward priority filter; }
}
RULES

ns world ip link set lo up
for address in 203.0.113.53 203.0.113.80 223.5.5.5 119.29.29.29 114.114.114.114; do
    ns world ip addr add $address/32 dev lo
done
ns world ip addr add 100.64.0.1/24 dev line
ns world ip link set line up
ns world ip addr add 10.0.2.15/24 dev host
ns world ip link set host up
ns world sysctl -qw net.ipv4.ip_forward=1
ns world nft -f - <<RULES
table ip nat {
    chain out { type nat hook postrouting priority srcnat; oif "host" masquerade; }
}
table inet cut {
    chain broker { type filter hook forward priority filter; }
}
RULES
systemd-run -q --no-block --unit lab-world --property Restart=always --property DefaultDependencies=no \
    ip netns exec world python3 -I /opt/lab/world.py
