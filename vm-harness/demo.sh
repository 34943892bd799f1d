#!/bin/bash
# The story that `./vm-harness/run demo` tells; runs in the full machine as root. Its output is what a newcomer sees.
set -eu

# Shows a command, then runs it.
say() { printf '\n%s\n' "# $*"; }
run() {
    printf '$ %s\n' "$*"
    "$@"
}

say "lvm2 makes a volume group and a thin pool on a loop device, by the commands users know"
run truncate -s 2G /tmp/disk
disk=$(losetup --find --show /tmp/disk)
run vgcreate pve "$disk"
run lvcreate -L 1G -n data pve
run lvconvert --yes --type thin-pool pve/data
run lvs -a pve
