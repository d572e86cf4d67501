#!/bin/sh
# Makes a station of a fresh Debian: dress.sh ROOT FILES WHEELHOUSE (a customize hook of mmdebstrap, so it runs as root).
set -eu
root=$1 files=$2 wheelhouse=$3

cp -a "$files/." "$root/"
chown -R 0:0 "$root/etc/systemd" "$root/etc/modprobe.d" "$root/etc/hosts" "$root/etc/hostname" "$root/etc/fstab"
mkdir -p "$root/opt/lab" "$root/opt/wheelhouse"
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
rm -f "$root/etc/resolv.conf"
echo 'nameserver 192.168.1.1' > "$root/etc/resolv.conf"
chroot "$root" systemctl -q enable systemd-networkd lab-hand lab-router
chroot "$root" systemctl -q mask systemd-networkd-wait-online.service
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
            fstrim.timer cups.service cups.path cups.socket systemd-timesyncd.service; do
    chroot "$root" systemctl -q disable "$unit" 2>/dev/null || true
done

# CUPS' own USB and socket backends lie in its heavy main package: take just these files.
cd "$root/tmp"
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download cups
dpkg-deb -x cups_*.deb cups
cp cups/usr/lib/cups/daemon/cups-deviced "$root/usr/lib/cups/daemon/"
for backend in usb socket; do
    install -m 744 "cups/usr/lib/cups/backend-available/$backend" "$root/usr/lib/cups/backend/"
done
rm -rf cups cups_*.deb
cd /

# What the agent depends on is installed here, natively: in the emulated machine the same takes minutes.
cp "$wheelhouse"/*.whl "$root/opt/wheelhouse/"
chroot "$root" python3 -m venv /opt/yinong-agent
chroot "$root" /opt/yinong-agent/bin/pip install -q --no-index --no-cache-dir --disable-pip-version-check \
    --find-links /opt/wheelhouse $(cd "$wheelhouse" && for w in *.whl; do echo "/opt/wheelhouse/$w"; done)
chroot "$root" python3 -m compileall -q /usr/lib/python3 /usr/lib/python3.11 >/dev/null || true
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
