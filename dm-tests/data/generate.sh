#!/bin/bash
# Makes volume groups of every kind with stock lvm2 and saves what it wrote: archives, backups, and both ends of each PV.
# Runs in the full machine; README.md beside it says how. Everything goes to /out/lvm2/<scenario>/.
out=/out/lvm2
rm -rf "$out"
mkdir -p "$out"
failures=0

# A step that fails is reported: the scenario then shows less than it was meant to.
t() {
    if ! "$@" >/tmp/step.out 2>&1 </dev/null; then
        echo "FAILED in $scenario: $*"
        grep -v '^ *WARNING' /tmp/step.out | tail -n 2
        failures=$((failures + 1))
    fi
    # A new VG is activated by a udev rule, some time after the step: let that end before the next one.
    case $1 in vgcreate | vgextend | vgimport | vgmerge | pvchange) sleep 1 && udevadm settle ;; esac
}

# begin NAME COUNT [SECTOR] [MiB]: COUNT fresh disks, $pv1 $pv2 ...
begin() {
    scenario=$1 count=$2 sector=${3:-512} size=${4:-96}
    echo "scenario $scenario ($SECONDS s)"
    mkdir -p "/tmp/gen" "$out/$scenario"
    rm -f /etc/lvm/archive/* /etc/lvm/backup/*
    for ((i = 1; i <= count; i++)); do
        truncate -s "${size}M" "/tmp/gen/pv$i"
        declare -g "pv$i=$(losetup --find --show --sector-size "$sector" "/tmp/gen/pv$i")"
    done
}

finish() {
    udevadm settle
    vgchange -an >/dev/null 2>&1
    udevadm settle
    dmsetup remove_all --retry >/dev/null 2>&1
    mkdir -p "$out/$scenario/archive" "$out/$scenario/backup"
    cp /etc/lvm/archive/* "$out/$scenario/archive/" 2>/dev/null
    cp /etc/lvm/backup/* "$out/$scenario/backup/" 2>/dev/null
    for ((i = 1; i <= count; i++)); do
        head -c 1179648 "/tmp/gen/pv$i" >"$out/$scenario/pv$i.head"
        tail -c 1179648 "/tmp/gen/pv$i" >"$out/$scenario/pv$i.tail"
        echo "$size $sector" >"$out/$scenario/pv$i.size"
    done
    losetup -D
    udevadm settle
    rm -f /run/lvm/pvs_online/* /run/lvm/vgs_online/*
    [ -z "$(losetup -nl)" ] || echo "after $scenario still attached: $(losetup -nl)"
    rm -rf /tmp/gen
    # Folders that lvm2 and udev left because they raced for them.
    rmdir /dev/vg /dev/pve 2>/dev/null
}

# pool VG [lvcreate options]: the thin pool VG/data, zeroing off unless asked for.
pool() {
    local vg=$1
    shift
    t lvcreate -y --type thin-pool -L 32M --poolmetadatasize 4M "$@" -n data "$vg"
}

linear() {
    begin linear 1
    t vgcreate vg "$pv1"
    t lvcreate -y -L 8M -n a vg
    t lvcreate -y -l 3 -n b vg
    t lvcreate -y -L 4M -n ro -pr --addtag one --addtag two/three=4 vg
    t lvcreate -y -an -L 4M -n off vg
    t lvcreate -y -L 4M -n minor -My --major 253 --minor 77 vg
    t lvcreate -y -L 4M -n ahead -r 256 vg
    t lvcreate -y -L 4M -n contiguous --alloc contiguous vg
    t lvcreate -y -L 4M -n noauto --setautoactivation n vg
    t lvcreate -y -L 4M -n skip -ky vg
    t lvextend -L +8M vg/a
    t lvreduce -y -f -l -1 vg/b
    t lvextend -l +2 vg/b
    t lvchange --addtag late --deltag one vg/ro
    t lvchange -prw vg/ro
    t lvrename vg b b.2+x
    t lvrename vg/off vg/on-off_1
    t lvremove -y vg/a
    t vgchange --addtag vgtag --addtag 'x!y&z#1' vg
    t vgchange -l 40 -p 7 vg
    t vgchange --alloc cling vg
    t pvchange --addtag disk "$pv1"
    t vgrename vg vg-with.long+name_0123456789
    t lvremove -y vg-with.long+name_0123456789
    finish
}

stripes() {
    begin stripes 3
    t vgcreate -s 1M vg "$pv1" "$pv2"
    t lvcreate -y -i 2 -I 64k -L 8M -n s2 vg
    t vgextend vg "$pv3"
    t lvcreate -y -i 3 -I 4k -L 9M -n s3 vg
    t lvextend -i 1 -L +2M vg/s2
    t lvextend -i 3 -L +3M vg/s2
    t lvcreate -y -L 6M -n here vg "$pv3:10-20"
    t lvextend -L +10M vg/here "$pv2:40-60"
    t lvcreate -y -l 100%PVS -n rest vg "$pv3"
    t lvremove -y vg/rest
    t pvmove -n here "$pv3" "$pv1"
    t pvchange -x n "$pv3"
    t pvchange -x y "$pv3"
    t vgchange -an vg
    t pvchange -u "$pv2"
    t vgchange -u vg
    t lvremove -y vg/s3
    t vgchange -ay vg
    t pvmove --alloc anywhere "$pv3"
    t vgchange -an vg
    t vgsplit vg vg2 "$pv3"
    t lvcreate -y -L 4M -n moved vg2
    t vgchange -an vg2
    t vgmerge vg vg2
    t vgreduce vg "$pv3"
    t lvremove -y vg/moved
    finish
}

extent_sizes() {
    begin extents 3
    t pvcreate --dataalignment 1536k --bootloaderareasize 2M "$pv1"
    t vgcreate -s 384k vg384 "$pv1"
    t lvcreate -y -L 3M -n a vg384
    t vgcreate -s 128k --dataalignmentoffset 7s vgsmall "$pv2"
    t lvcreate -y -L 1M -n a vgsmall
    t vgchange -an vgsmall
    t vgchange -s 64k vgsmall
    t vgcreate -s 32M vgbig "$pv3"
    t lvcreate -y -L 32M -n a vgbig
    finish
}

thin_kinds() {
    begin thin 2 512 200
    t vgcreate pve "$pv1" "$pv2"
    t lvcreate -y -L 40M -n data pve
    t lvconvert -y --type thin-pool pve/data
    t lvcreate -y -V 64M -T pve/data -n vm-100-disk-0
    t lvcreate -y -V 1G -T pve/data -n vm-101-disk-0 --addtag pve-vm-101
    t lvcreate -y -s -n snap_vm-100-disk-0_one pve/vm-100-disk-0
    t lvcreate -y -s -n snap_vm-100-disk-0_two -pr pve/vm-100-disk-0
    t lvcreate -y -s -n snapsnap pve/snap_vm-100-disk-0_one
    t lvcreate -y -s -kn -n active pve/vm-100-disk-0
    t lvchange -ay -K pve/snap_vm-100-disk-0_one
    t lvchange -pr pve/vm-101-disk-0
    t lvchange -kn pve/snapsnap
    t lvchange --setautoactivation n pve/snapsnap
    t lvextend -L 2G pve/vm-101-disk-0
    t lvrename pve vm-101-disk-0 vm-102-disk-0
    t lvextend -L +8M pve/data
    t lvextend --poolmetadata +4M pve/data
    t lvchange --discards nopassdown pve/data
    t lvchange -an pve/vm-100-disk-0 pve/vm-102-disk-0 pve/active pve/snap_vm-100-disk-0_one
    t lvchange -an pve/data
    t lvchange --discards ignore pve/data
    t lvchange -Zn pve/data
    t lvchange --errorwhenfull y pve/data
    t lvchange --addtag pool pve/data
    t lvrename pve/data pve/data2
    t lvchange -ay pve/vm-100-disk-0
    t lvremove -y pve/snapsnap
    t lvremove -y pve/vm-100-disk-0
    t lvremove -y pve/active pve/vm-102-disk-0
    t lvcreate -y -V 8M -T pve/data2 -n reuses_ids
    t lvremove -y pve/data2
    finish
}

thin_pools() {
    begin thinpools 2 512 300
    t vgcreate vg "$pv1" "$pv2"
    pool vg -c 64k
    t lvcreate -y --type thin-pool -L 16M -c 1M --poolmetadatasize 2M --discards nopassdown -n one vg
    t lvcreate -y --type thin-pool -L 16M -c 192k --poolmetadatasize 2M --discards ignore -Zn -n two vg
    t lvcreate -y --type thin-pool -L 16M --poolmetadataspare n -n three vg
    t lvcreate -y --type thin-pool -i 2 -I 64k -L 16M --poolmetadatasize 2M -n striped vg
    t lvcreate -y -L 16M -n d vg "$pv1"
    t lvcreate -y -L 4M -n m vg "$pv2"
    t lvconvert -y --type thin-pool --poolmetadata vg/m -c 128k vg/d
    t lvcreate -y -V 8M -T vg/d -n in_d
    t lvcreate -y -V 8M -T vg/one -n in_one
    t lvcreate -y -L 4M -n fresh vg
    t lvchange -an vg/in_d
    t lvchange -an vg/d
    t lvconvert -y --swapmetadata --poolmetadata vg/fresh vg/d
    t lvconvert -y --swapmetadata --poolmetadata vg/fresh vg/d
    t lvchange -an vg/in_one
    t lvchange -an vg/one
    t lvconvert -y --repair vg/one
    t lvchange --metadataprofile thin-performance vg/two
    t lvremove -y vg/two
    t lvconvert -y --type raid1 -m1 vg/data_tmeta
    t lvremove -y vg/three
    finish
}

thin_external() {
    begin thinexternal 1 512 200
    t vgcreate vg "$pv1"
    pool vg
    t lvcreate -y -L 8M -n base vg
    t lvchange -an vg/base
    t lvchange -pr vg/base
    t lvcreate -y -s --thinpool vg/data -n clone1 vg/base
    t lvcreate -y -s --thinpool vg/data -n clone2 vg/base
    t lvcreate -y -L 8M -n live vg
    t lvconvert -y --thin --thinpool vg/data --originname live_origin vg/live
    t lvcreate -y -s -n snap vg/live
    t lvcreate -y --type thin-pool -L 16M --poolmetadatasize 2M -n other vg
    t lvchange -an vg/snap
    t lvchange -pr vg/snap
    t lvcreate -y -s --thinpool vg/other -n crosspool vg/snap
    t lvremove -y vg/clone1
    finish
}

thin_merge() {
    begin thinmerge 1 512 200
    t vgcreate vg "$pv1"
    pool vg
    t lvcreate -y -V 16M -T vg/data -n v
    t lvcreate -y -s -n s vg/v
    t lvcreate -y -s -n s2 vg/v
    sleep 1000 </dev/vg/v &
    holder=$!
    # The origin is open: the merge is only noted, and happens at the next activation.
    t lvconvert -y --merge vg/s
    kill $holder
    wait $holder 2>/dev/null
    t lvchange -an vg/v
    t lvchange -ay vg/v
    t lvchange -an vg/v
    t lvcreate -y -s -n s3 vg/v
    t lvconvert -y --merge vg/s3
    t lvchange -ay vg/v
    finish
}

thin_many() {
    begin thinmany 1 4096 300
    t vgcreate pve "$pv1"
    pool pve
    for n in 1 2 3 4 5 6 7 8; do
        t lvcreate -y -V ${n}G -T pve/data -n vm-$((100 + n))-disk-0
        t lvcreate -y -s -n snap_vm-$((100 + n))-disk-0_s pve/vm-$((100 + n))-disk-0
    done
    for n in 2 4 6; do t lvremove -y pve/vm-$((100 + n))-disk-0; done
    t lvremove -y pve/snap_vm-101-disk-0_s pve/snap_vm-103-disk-0_s
    finish
}

sectors_4k() {
    begin sectors4k 3 4096
    t vgcreate vg "$pv1" "$pv2"
    t lvcreate -y -L 8M -n a vg
    t lvcreate -y -i 2 -L 8M -n s vg
    t vgextend vg "$pv3"
    t lvcreate -y --type thin-pool -L 8M -n pool vg
    t lvcreate -y -V 4M -T vg/pool -n v
    t lvextend -L +4M vg/a
    finish
}

metadata_copies() {
    begin mdacopies 3
    t pvcreate --pvmetadatacopies 0 "$pv1"
    t pvcreate --pvmetadatacopies 2 "$pv2"
    t pvcreate --metadataignore y "$pv3"
    t vgcreate vg "$pv1" "$pv2" "$pv3"
    t lvcreate -y -L 8M -n a vg
    t pvchange --metadataignore n "$pv3"
    t lvcreate -y -L 8M -n b vg
    t vgchange --vgmetadatacopies 1 vg
    t lvcreate -y -L 8M -n c vg
    t vgchange --vgmetadatacopies all vg
    t lvrename vg c d
    t vgchange --vgmetadatacopies unmanaged vg
    t lvremove -y vg/d
    finish
}

small_ring() {
    begin smallring 2
    t pvcreate --metadatasize 32k "$pv1"
    t pvcreate --metadatasize 64k --pvmetadatacopies 2 "$pv2"
    t vgcreate vg "$pv1" "$pv2"
    # Enough commits that the ring of each PV has gone round.
    for n in 1 2 3 4 5 6 7 8; do t lvcreate -y -an -Zn -l 1 -n volume$n vg; done
    for n in 1 2 3 4 5 6 7 8 9; do t vgchange --addtag tag$n vg; done
    finish
}

raids() {
    begin raid 5 512 128
    t vgcreate vg "$pv1" "$pv2" "$pv3" "$pv4" "$pv5"
    t lvcreate -y --type raid1 -m1 -L 4M -n r1 vg
    t lvcreate -y --type raid1 -m2 --nosync -L 4M -n r1three vg
    t lvcreate -y --type raid0 -i 2 -L 8M -n r0 vg
    t lvcreate -y --type raid0_meta -i 2 -L 8M -n r0m vg
    t lvcreate -y --type raid5 -i 2 -L 8M -n r5 vg
    t lvcreate -y --type raid6 -i 3 -L 12M -n r6 vg
    t lvcreate -y --type raid10 -i 2 -m1 -L 8M -n r10 vg
    t lvchange --writemostly "$pv2" vg/r1
    t lvchange --writebehind 100 vg/r1
    t lvconvert -y -m2 vg/r1
    t lvconvert -y -m1 vg/r1
    t lvconvert -y --splitmirrors 1 --trackchanges vg/r1
    t lvremove -y vg/r10
    t lvchange --minrecoveryrate 100 --maxrecoveryrate 1000 vg/r5
    t lvcreate -y -L 4M -n plain vg
    t lvconvert -y --type raid1 -m1 vg/plain
    t lvcreate -y --type raid1 -m1 --raidintegrity y -L 4M -n integ vg
    t lvextend -L +4M vg/r6
    t lvremove -y vg/r0 vg/r0m
    finish
}

mirrors() {
    begin mirror 4 512 64
    t vgcreate vg "$pv1" "$pv2" "$pv3" "$pv4"
    t lvcreate -y --type mirror -m1 --mirrorlog core -L 4M -n core vg
    t lvcreate -y --type mirror -m1 --mirrorlog disk -L 4M -n disk vg
    t lvcreate -y --type mirror -m2 --nosync --mirrorlog disk -L 4M -n three vg
    t lvconvert -y -m0 vg/core
    t lvconvert -y --type mirror -m1 --mirrorlog core vg/core
    t lvconvert -y --type raid1 vg/disk
    t lvremove -y vg/three
    finish
}

caches() {
    begin cache 2 512 200
    t vgcreate vg "$pv1" "$pv2"
    t lvcreate -y -L 32M -n main vg "$pv1"
    t lvcreate -y --type cache-pool -L 16M --poolmetadatasize 8M --cachemode writethrough -n fast vg "$pv2"
    t lvconvert -y --type cache --cachepool vg/fast vg/main
    t lvchange --cachesettings 'migration_threshold=4096' vg/main
    t lvchange --cachemode writeback vg/main
    t lvconvert -y --splitcache vg/main
    t lvconvert -y --type cache --cachepool vg/fast --cachemode passthrough vg/main
    t lvconvert -y --uncache vg/main
    t lvcreate -y -L 16M -n vol vg "$pv2"
    t lvconvert -y --type cache --cachevol vg/vol vg/main
    t lvconvert -y --splitcache vg/main
    t lvchange -an vg/main
    t lvconvert -y --type writecache --cachevol vg/vol vg/main
    t lvchange -ay vg/main
    t lvcreate -y --type thin-pool -L 16M --poolmetadatasize 2M -n pool vg
    t lvcreate -y -L 16M -n vol2 vg "$pv2"
    t lvconvert -y --type cache --cachevol vg/vol2 vg/pool
    t lvcreate -y -V 8M -T vg/pool -n thin
    finish
}

old_snapshots() {
    begin cow 1
    t vgcreate vg "$pv1"
    t lvcreate -y -L 8M -n origin vg
    t lvcreate -y -s -L 4M -n snap1 vg/origin
    t lvcreate -y -s -L 4M -c 16k -pr -n snap2 vg/origin
    t lvcreate -y -s -L 4M --virtualsize 1G -n sparse vg
    t lvextend -L +4M vg/snap1
    sleep 1000 </dev/vg/origin &
    holder=$!
    t lvconvert -y --merge vg/snap1
    kill $holder
    wait $holder 2>/dev/null
    t lvremove -y vg/snap2
    t lvcreate -y --type zero -L 4M -n zero vg
    t lvcreate -y --type error -L 4M -n error vg
    t lvextend -L +4M --type error vg/zero
    finish
}

foreign() {
    begin foreign 3
    t vgcreate exported "$pv1"
    t lvcreate -y -L 4M -n a exported
    t vgchange -an exported
    t vgexport exported
    t vgimport exported
    t vgexport exported
    t vgcreate --systemid another-host foreign "$pv2"
    t vgcreate mine "$pv3"
    t lvcreate -y -L 4M -n a mine
    t vgchange -an mine
    t vgchange -y --systemid yet.another-host mine
    finish
}

missing_disk() {
    begin missing 3
    t vgcreate vg "$pv1" "$pv2" "$pv3"
    t lvcreate -y -L 8M -n stays vg "$pv1"
    t lvcreate -y -L 8M -n lost vg "$pv2"
    t lvcreate -y --type raid1 -m1 -L 4M -n half vg "$pv2" "$pv3"
    t vgchange -an vg
    losetup -d "$pv2"
    udevadm settle
    t vgchange -ay --activationmode partial vg
    t lvconvert -y --repair vg/half
    t vgreduce --removemissing --mirrorsonly --force vg
    t vgchange -an vg
    t vgreduce --removemissing --force vg
    finish
}

quoting() {
    begin quoting 1
    t vgcreate -y --addtag 'a=b' --addtag 'c:d' VG.1 "$pv1"
    # The command line ends up in `description`, quotes and backslashes escaped.
    t lvcreate -y -L 4M -n 'x' --config 'global { notify_dbus=0 } log { prefix="\"  \\ " }' VG.1
    t lvcreate -y -L 4M -n '_underscore' --addtag 'k=v/w' VG.1
    t lvcreate -y -L 4M -n 'a--b' VG.1
    t lvcreate -y -L 4M -n "$(printf 'n%.0s' {1..100})" VG.1
    t vgchange --addtag "$(printf 't%.0s' {1..500})" VG.1
    t vgchange --metadataprofile thin-generic VG.1
    t vgchange --setautoactivation n VG.1
    t pvresize --yes --setphysicalvolumesize 64M "$pv1"
    t pvresize "$pv1"
    finish
}

vgcfgrestores() {
    begin restore 2
    t vgcreate vg "$pv1" "$pv2"
    t lvcreate -y -an -L 4M -n a vg
    t vgcfgbackup -f /tmp/before.vg vg
    t lvcreate -y -an -L 4M -n b vg
    t vgcfgrestore --yes -f /tmp/before.vg vg
    t lvcreate -y -an -L 4M -n c vg
    finish
}

for part in ${*:-linear stripes extent_sizes thin_kinds thin_pools thin_external thin_merge thin_many sectors_4k \
    metadata_copies small_ring raids mirrors caches old_snapshots foreign missing_disk quoting vgcfgrestores}; do
    $part
done
echo "all scenarios done in $SECONDS s, $failures steps failed"
