#!/bin/sh
# Installs or upgrades yinong-agent on this terminal; it can be run repeatedly.
# 在本机安装或升级 yinong-agent，可以重复运行。
#
#     sudo systemd/install.sh [--no-start] WHEEL [WHEELHOUSE]
#
# WHEEL is yinong_agent-*.whl; WHEELHOUSE a folder with the wheels of all its dependencies, for terminals without internet.
# Without it, pip fetches them from its configured index.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
home=/opt/yinong-agent
python=${PYTHON:-python3}

say() { printf '%s\n  %s\n' "$1" "$2"; }
fail() { say "失败：$1" "failed: $2" >&2; exit 1; }
# Install one file if it differs; true if it has changed.
place() { ! cmp -s "$1" "$2" && install -D -m "${3:-644}" "$1" "$2"; }

start=yes
[ "${1:-}" != --no-start ] || { start=no; shift; }
wheel=${1:-} wheelhouse=${2:-}
[ -f "$wheel" ] || fail "用法：install.sh [--no-start] WHEEL [WHEELHOUSE]" "usage: install.sh [--no-start] WHEEL [WHEELHOUSE]"
[ "$(id -u)" = 0 ] || fail "请用 root 运行（sudo）" "run it as root (sudo)"
"$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    fail "需要 Python 3.11 和 venv（apt-get install python3 python3-venv）" "it needs Python 3.11 and venv (apt-get install python3 python3-venv)"

say "1/5 用户、目录与内核参数" "account, directories and kernel settings"
place "$here/yinong-agent.sysusers" /usr/lib/sysusers.d/yinong-agent.conf || true
systemd-sysusers /usr/lib/sysusers.d/yinong-agent.conf
place "$here/yinong-agent.tmpfiles" /usr/lib/tmpfiles.d/yinong-agent.conf || true
systemd-tmpfiles --create /usr/lib/tmpfiles.d/yinong-agent.conf
place "$here/60-yinong-agent.conf" /etc/sysctl.d/60-yinong-agent.conf || true
/sbin/sysctl -q -p /etc/sysctl.d/60-yinong-agent.conf

say "2/5 监测程序（$home）" "the program ($home)"
[ -x "$home/bin/python" ] || "$python" -m venv "$home"
pip="$home/bin/python -m pip --disable-pip-version-check --no-cache-dir --quiet"
offline=''
[ -z "$wheelhouse" ] || offline="--no-index --find-links $wheelhouse"
# Always the wheel itself (same version, possibly other content); dependencies only if they are missing.
$pip install --no-deps --force-reinstall --no-index "$wheel"
$pip check >/dev/null 2>&1 || $pip install $offline "$wheel"
ln -sf "$home/bin/yinong-agent" /usr/local/bin/yinong-agent

say "3/5 设备权限（udev）" "permissions of devices (udev)"
if place "$here/60-yinong-agent.rules" /etc/udev/rules.d/60-yinong-agent.rules; then
    udevadm control --reload
    modprobe -q uinput || true # a node whose module is not loaded has no event: its group would be set at the next boot only
    udevadm trigger --settle --subsystem-match=hidraw --subsystem-match=usb --subsystem-match=usbmisc \
        --subsystem-match=video4linux --subsystem-match=misc
fi

say "4/5 配置（/etc/yinong-agent/agent.toml）" "configuration (/etc/yinong-agent/agent.toml)"
mkdir -p /etc/yinong-agent
if [ -e /etc/yinong-agent/agent.toml ]; then
    say "    已有配置，保持不变" "    is there already and stays as it is"
elif [ -e "$here/../config/agent.toml" ]; then
    install -m 644 "$here/../config/agent.toml" /etc/yinong-agent/agent.toml
    say "    已放入样例配置，请填写站点编号和服务器地址" "    the sample is in place: fill in the station's number and the broker's address"
else
    say "    安装包里没有样例配置" "    no sample came with this installer"
fi

say "5/5 服务（yinong-agent.service）" "the service (yinong-agent.service)"
place "$here/yinong-agent.service" /etc/systemd/system/yinong-agent.service || true
place "$here/yinong-machine.service" /etc/systemd/system/yinong-machine.service || true
# `enable` would reload systemd's units too: once is enough.
systemctl --quiet --no-reload enable yinong-agent.service yinong-machine.service
systemctl daemon-reload
[ "$start" = no ] || { systemctl restart yinong-agent.service; systemctl start yinong-machine.service; }

say "完成。查看状态：systemctl status yinong-agent" "done. To see how it is: systemctl status yinong-agent"
