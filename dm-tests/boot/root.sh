#!/bin/bash
# Makes /dev/vdb what the root file system of a machine differs from the image in whose first program is systemd: its
# programs, the packages of the project, and what the packages' scripts would have enabled.
set -eu

image=/mnt/image changes=/mnt/changes root=/mnt/root
mkdir -p $image $changes $root
mkfs.ext4 -q /dev/vdb
mount -o ro /dev/vda $image
mount /dev/vdb $changes
mkdir $changes/upper $changes/work
mount -t overlay -o lowerdir=$image,upperdir=$changes/upper,workdir=$changes/work overlay $root
cp -a /opt/systemd/etc /opt/systemd/usr /opt/systemd/var $root/
cp /etc/lvm/lvm.conf $root/etc/lvm/
mkdir -p $root/usr/local/bin $root/etc/thinvol $root/var/log/journal $root/data $root/srv $root/payload
cp /payload/guest-agent /payload/dm-tests $root/usr/local/bin/
ln -sf ../lib/systemd/systemd $root/usr/sbin/init
mount --bind /payload $root/payload
mount -t proc proc $root/proc
mount --bind /dev $root/dev

cat >$root/etc/fstab <<'FSTAB'
overlay / overlay defaults 0 0
/dev/local/vm-100-files /data ext4 defaults 0 0
/dev/san/vm-100-files /srv ext4 _netdev,nofail,x-systemd.device-timeout=600 0 0
FSTAB
cat >$root/etc/thinvol/storage.cfg <<'CFG'
iscsi: san
	portal 127.0.0.1
	target iqn.2025-01.test:a
	content none

CFG
cat >$root/etc/systemd/system/agent.service <<'UNIT'
[Unit]
Description=What takes the orders of the harness
[Service]
Environment=HOME=/root TERM=linux LC_ALL=C.UTF-8 THINVOL_GUEST=full
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/usr/local/bin/guest-agent
[Install]
WantedBy=multi-user.target
UNIT
cat >$root/etc/systemd/system/target.service <<'UNIT'
[Unit]
Description=The iSCSI target, on this machine itself
Before=thinvol-login@san.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/bin/dm-tests boots target
[Install]
WantedBy=multi-user.target
UNIT
cat >$root/root/inside <<'SH'
set -e
export DEBIAN_FRONTEND=noninteractive
systemd-sysusers
for package in $(dpkg-query -W -f '${binary:Package}\n' 2>/dev/null); do : >/var/lib/dpkg/info/$package.list; done
dpkg -i /payload/thinvol_*.deb
# As the scripts of systemd's and lvm2's packages do.
systemctl enable remote-fs.target blk-availability.service lvm2-monitor.service lvm2-lvmpolld.socket dm-event.socket
systemctl enable agent.service target.service thinvol-iscsi.service thinvol-login@san.service
# They would make the machine slower, and are about nothing here.
systemctl mask systemd-hwdb-update.service ldconfig.service systemd-firstboot.service getty.target \
    dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-binfmt.service e2scrub_reap.service
SH
chroot $root bash /root/inside
umount $root/dev $root/proc $root/payload $root $changes
