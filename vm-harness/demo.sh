#!/bin/bash
# The story that `./vm-harness/run demo` tells; runs in the full machine as root. Its output is what a newcomer sees.
set -euo pipefail

say() { printf '\n# %s\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
# What lvm2 says, short: name, kind, pool, origin.
lvs_says() { printf '$ lvs -a pve\n'; lvs -a --noheadings -o lv_name,lv_attr,lv_size,pool_lv,origin,data_percent pve; vgck pve; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
# Runs a command several times; $1 is the number of the run in it. Prints the median in milliseconds.
median() {
    for n in 1 2 3 4 5; do
        begin=$(date +%s%N)
        sh -c "${1//@n@/$n}" >/dev/null 2>&1 || fail "failed: ${1//@n@/$n}"
        echo $((($(date +%s%N) - begin) / 1000000))
    done | sort -n | sed -n 3p
}
sum() { md5sum <"$1" | cut -c1-12; }

say "lvm2 makes a volume group and a thin pool on a loop device, by the commands users know"
run truncate -s 2G /tmp/disk
disk=$(losetup --find --show /tmp/disk)
run vgcreate -qq pve "$disk"
run lvcreate -qq -L 1G -n data pve
run lvconvert -qq --yes --type thin-pool --poolmetadatasize 16M pve/data

say "thinvol makes a volume in it; lvm2 sees it at once"
run thinvol alloc pve/data 100 vm-100-disk-0 256M
printf 'first content' | dd of=/dev/pve/vm-100-disk-0 bs=4k conv=sync,fsync status=none
lvs_says

say "a snapshot holds the moment; a clone starts from it and goes its own way"
before=$(sum /dev/pve/vm-100-disk-0)
run thinvol snapshot pve/vm-100-disk-0@monday
printf 'later content' | dd of=/dev/pve/vm-100-disk-0 bs=4k conv=sync,fsync status=none
run thinvol clone pve/vm-100-disk-0@monday 101
after=$(sum /dev/pve/vm-100-disk-0) clone=$(sum /dev/pve/vm-101-disk-0)
echo "volume before $before, after $after; clone $clone"
[ "$before" = "$clone" ] || fail "the clone is not what the volume was"
[ "$before" != "$after" ] || fail "the volume did not change"
echo "the clone is the volume as it was on Monday"
lvs_says

say "what would be done, before it is done"
run thinvol snapshot --dry-run pve/vm-100-disk-0@tuesday pve/vm-101-disk-0@tuesday

say "lvm2 works in between, and each takes the other's volumes as its own"
run lvcreate -qq -V 64M -T pve/data -n vm-102-disk-0
run thinvol snapshot pve/vm-102-disk-0@monday
run lvremove -qq -y pve/vm-101-disk-0
run thinvol list pve/data --tree
lvs_says

say "a template, and a thousand clones of it in one command: one transaction of two metadata commits"
run thinvol alloc pve/data 9000 vm-9000-disk-0 256M
run thinvol template pve/vm-9000-disk-0
seqno=$(vgs --noheadings -o vg_seqno pve)
begin=$(date +%s%N)
printf '$ %s\n' "thinvol clone --inactive pve/base-9000-disk-0 1001-2000"
thinvol clone --inactive pve/base-9000-disk-0 1001-2000 >/tmp/clones 2>/dev/null
echo "$(grep -c '^successfully created' /tmp/clones) clones, $(($(vgs --noheadings -o vg_seqno pve) - seqno)) commits, $((($(date +%s%N) - begin) / 1000000)) ms"
[ "$(lvs --noheadings -o lv_name -S origin=base-9000-disk-0 pve | wc -l)" = 1000 ] || fail "lvm2 does not see a thousand clones"
vgck pve

say "many requests, some of them wrong: every wrong line is reported and nothing is changed; --keep-going carries out the others"
cat >/tmp/requests <<'REQUESTS'
{"request": "create", "pool": "pve/data", "name": "vm-300-disk-0", "size": "1G", "activate": false}
{"request": "resize", "volume": "pve/vm-999-disk-0", "size": "+8G"}
{"request": "clone", "source": "pve/base-9000-disk-0", "name": "vm-1001-disk-0"}
REQUESTS
run cat /tmp/requests
run thinvol batch /tmp/requests && fail "a batch with wrong lines was carried out"
run thinvol batch --keep-going /tmp/requests && fail "wrong lines were not told"
lvs --noheadings -o lv_name pve/vm-300-disk-0 >/dev/null

say "everything goes again"
# shellcheck disable=SC2046
thinvol free $(seq -f pve/vm-%g-disk-0 1001 2000) pve/base-9000-disk-0 pve/vm-300-disk-0 >/dev/null
run thinvol delete-snapshot pve/vm-100-disk-0@monday pve/vm-102-disk-0@monday
run thinvol free pve/vm-100-disk-0 pve/vm-102-disk-0
run thinvol recover pve
lvs_says
run vgchange -qq -an pve
run lvchange -qq --yes -ay pve/data_tmeta
run thin_check -q /dev/pve/data_tmeta
echo "thin_check has no complaint"
run lvchange -qq -an pve/data_tmeta
run vgchange -qq -ay pve

say "medians of 5, in this (emulated) machine: only the ratios mean something"
printf '%-34s %10s %10s\n' "" lvm2 thinvol
row() { printf '%-34s %7s ms %7s ms\n' "$1" "$2" "$3"; }
row "create a volume, active" "$(median 'lvcreate -qq -V 1G -T pve/data -n l@n@')" "$(median 'thinvol alloc pve/data 200 vm-200-disk-@n@ 1G')"
row "snapshot it" "$(median 'lvcreate -qq -y -s -n ls@n@ pve/l1')" "$(median 'thinvol snapshot pve/vm-200-disk-1@s@n@')"
row "remove a snapshot" "$(median 'lvremove -qq -y pve/ls@n@')" "$(median 'thinvol delete-snapshot pve/vm-200-disk-1@s@n@')"
row "remove a volume" "$(median 'lvremove -qq -y pve/l@n@')" "$(median 'thinvol free pve/vm-200-disk-@n@')"
