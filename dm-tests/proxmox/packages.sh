#!/bin/bash
# The life of the packages in a machine: with Proxmox VE's daemons and without, with a Proxmox VE that takes the plugins
# and with one that does not. Stand-ins are in the places of libpve-storage-perl and of systemctl.
set -eu

fail() {
    echo "FAILED: $*" >&2
    exit 1
}
said() { grep -qs -- "$1" "$log" || fail "'$1' is not said: $(cat "$log")"; }
silent() { ! grep -v '^Created symlink\|^Removed ' "$log" || fail "it said that"; }
# Everything the packages could leave; dpkg's own records are not theirs.
everything() { find / -xdev \( -path /tmp -o -path /var/lib/dpkg -o -path /var/log -o -path /run \) -prune -o -print | sort; }

export DEBIAN_FRONTEND=noninteractive
work=$(mktemp -d)
log=$work/log
cd "$work"
mkdir -p /var/log
# The program under test is that of the package.
rm -f /usr/local/bin/thinvol

# systemctl writes down what it is asked for.
cat >/usr/local/bin/systemctl <<'SH'
#!/bin/sh
echo "$*" >>/run/systemctl.calls
case "$*" in *is-enabled*) echo enabled ;; esac
SH
chmod +x /usr/local/bin/systemctl
called() { grep -qs -- "$1" /run/systemctl.calls || fail "systemctl was not asked for '$1': $(cat /run/systemctl.calls)"; }
calls() { rm -f /run/systemctl.calls; }

# A Proxmox VE of our own, in this version.
proxmox() {
    rm -rf pve
    mkdir -p pve/DEBIAN pve/usr/share/perl5
    cp -r /src/dm-tests/proxmox/lib/PVE pve/usr/share/perl5/
    sed -i '$d' pve/usr/share/perl5/PVE/Storage.pm
    printf 'load_custom("/usr/share/perl5/PVE/Storage/Custom") if -d "/usr/share/perl5/PVE/Storage/Custom";\n1;\n' \
        >>pve/usr/share/perl5/PVE/Storage.pm
    if [ "$2" = closed ]; then sed -i 's/^sub private .*/sub private { return [] }/' pve/usr/share/perl5/PVE/Storage/Plugin.pm; fi
    printf 'Package: libpve-storage-perl\nVersion: %s\nArchitecture: all\nMaintainer: x\nDescription: stand-in\n' "$1" >pve/DEBIAN/control
    dpkg-deb --build --root-owner-group pve pve.deb >/dev/null
    dpkg -i pve.deb >/dev/null
}
serves() {
    perl -T -MPVE::Storage -e 'print PVE::Storage::Plugin->lookup("lvmthin") =~ /Thinvol/ ? "thinvol" : "stock"' 2>/dev/null
}

# dpkg's lists of the files of what is installed: the folders belong to somebody and stay.
for package in $(dpkg-query -W -f '${binary:Package}\n' 2>/dev/null); do : >"/var/lib/dpkg/info/$package.list"; done
mkdir -p /etc/systemd/system/multi-user.target.wants
mkdir -p /var/lib/systemd/deb-systemd-helper-{enabled,masked}/multi-user.target.wants
{
    echo /.
    find / -xdev -mindepth 1 \( -path /tmp -o -path /run -o -path /var/lib/dpkg \) -prune -o -type d -print
    # Packages also know what is in /usr by the names that lead there.
    find /usr/bin /usr/lib /usr/lib64 /usr/sbin -type d | sed 's|^/usr||'
} >/var/lib/dpkg/info/base-files.list

everything >before
echo "# the program"
dpkg -i /payload/thinvol_*.deb >out 2>"$log"
silent
thinvol --version
[ "$(command -v thinvol)" = /usr/sbin/thinvol ] || fail "it is elsewhere"
for file in /usr/share/man/man8/thinvol-alloc.8.gz /usr/share/bash-completion/completions/thinvol \
    /usr/share/zsh/vendor-completions/_thinvol /lib/systemd/system/thinvol-recover.service; do
    [ -e $file ] || fail "$file is missing"
done
grep -q '^ExecStart=/usr/sbin/thinvol recover$' /lib/systemd/system/thinvol-recover.service || fail "the unit"
first=/lib/systemd/system/lvm-activate-.service.d/thinvol-before-activation.conf
grep -q '^ExecStartPre=-.*/usr/sbin/thinvol recover' $first || fail "groups are not recovered before lvm2 activates them"
[ -e /lib/systemd/system/thinvol-login@.service ] || fail "no storage can be marked for login at boot"
grep -rq /usr/local $first /lib/systemd/system/thinvol-*.service && fail "a unit looks in /usr/local"
[ -L /etc/systemd/system/multi-user.target.wants/thinvol-recover.service ] || fail "recovery at boot is not enabled"
[ ! -L /etc/systemd/system/multi-user.target.wants/thinvol-iscsi.service ] || fail "sessions are supervised unasked"

echo "# the plugins need Proxmox VE"
dpkg -i /payload/thinvol-proxmox_*.deb >out 2>"$log" && fail "they do without"
said 'libpve-storage-perl'
dpkg -P thinvol-proxmox >/dev/null 2>&1

echo "# the plugins, no daemon running"
proxmox 9.1.7 open
[ "$(serves)" = stock ] || fail "taken over too early"
dpkg -i /payload/thinvol-proxmox_*.deb >out 2>"$log"
silent
[ "$(serves)" = thinvol ] || fail "not taken over"
dpkg --audit thinvol thinvol-proxmox >"$log" 2>&1
silent

echo "# upgraded, daemons running, with a changed configuration and an iSCSI storage"
mkdir -p /run/systemd/system /etc/pve
printf 'iscsi: san\n\tportal 127.0.0.1\n\ttarget iqn.x\n' >/etc/pve/storage.cfg
echo 'type iscsi off' >>/etc/thinvol/proxmox.conf
calls
dpkg -i /payload/thinvol_*.deb /payload/thinvol-proxmox_*.deb >out 2>"$log"
silent
for daemon in pvedaemon pveproxy pvescheduler pvestatd; do called "try-reload-or-restart $daemon.service"; done
called 'start.*thinvol-iscsi.service'
grep -q '^type iscsi off' /etc/thinvol/proxmox.conf || fail "the configuration is lost"
[ "$(serves)" = thinvol ] || fail "not taken over"

echo "# the configuration says off"
echo 'default off' >/etc/thinvol/proxmox.conf
[ "$(serves)" = stock ] || fail "switched off and taken over"
echo '' >/etc/thinvol/proxmox.conf

echo "# a Proxmox VE that keeps its plugins otherwise"
proxmox 99 closed
calls
dpkg -i /payload/thinvol-proxmox_*.deb >out 2>"$log"
said "does not take the plugins; its own go on"
[ ! -e /run/systemctl.calls ] || ! grep -q reload /run/systemctl.calls || fail "daemons were reloaded"
proxmox 9.1.7 open

echo "# removed"
calls
dpkg -r thinvol-proxmox >out 2>"$log"
silent
for daemon in pvedaemon pveproxy pvescheduler pvestatd; do called "try-reload-or-restart $daemon.service"; done
[ "$(serves)" = stock ] || fail "the stock plugin does not go on"
[ -e /etc/thinvol/proxmox.conf ] || fail "removal took the configuration"

echo "# purged"
dpkg -P thinvol-proxmox thinvol libpve-storage-perl >out 2>"$log"
silent
rm -rf /etc/pve
everything >after
comm -13 before after >"$log"
silent
# Folders that systemd's helper finds empty go, too.
comm -23 before after | grep -v '/systemd/' >"$log" || true
silent
echo "packages: all is well"
