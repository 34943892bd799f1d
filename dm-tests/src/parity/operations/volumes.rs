//! Volumes alone.

use super::{Op, done, only_thinvol};

/// Volumes made, grown, renamed, activated, freed.
pub const CHANGES: &[Op] = &[
    done(
        "alloc with a name",
        &[
            "lvcreate -aly -V 8192k --name vm-100-disk-0 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-100-disk-0",
        ],
        &["alloc twin 100 vm-100-disk-0 8192"],
    ),
    done(
        "alloc of a size that is no whole number of extents",
        &[
            "lvcreate -aly -V 5000k --name vm-100-disk-1 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-100-disk-1",
        ],
        &["alloc twin 100 vm-100-disk-1 5000"],
    ),
    done(
        "alloc in MiB under the next free name",
        &[
            "lvcreate -aly -V 8192k --name vm-100-disk-2 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-100-disk-2",
        ],
        &["alloc twin 100 '' 8M"],
    ),
    done("free", &["lvremove -f {vg}/vm-100-disk-1"], &["free twin:vm-100-disk-1"]),
    done(
        "alloc fills the hole",
        &[
            "lvcreate -aly -V 65536k --name vm-100-disk-1 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-100-disk-1",
        ],
        &["alloc twin 100 '' 64M"],
    ),
    done(
        "alloc for another guest, with a name of its own",
        &[
            "lvcreate -aly -V 4096k --name vm-4711-cloudinit --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-4711-cloudinit",
        ],
        &["alloc twin 4711 vm-4711-cloudinit 4M"],
    ),
    done(
        "data is written",
        &["yes first | dd of=/dev/{vg}/vm-100-disk-0 bs=64k count=16 iflag=fullblock oflag=direct"],
        &["!yes first | dd of=/dev/{vg}/vm-100-disk-0 bs=64k count=16 iflag=fullblock oflag=direct"],
    ),
    done(
        "resize of an active volume",
        &["lvextend -L 16384k /dev/{vg}/vm-100-disk-0"],
        &["resize twin:vm-100-disk-0 16M"],
    ),
    done(
        "the new part is there",
        &["yes second | dd of=/dev/{vg}/vm-100-disk-0 bs=64k seek=200 count=8 iflag=fullblock oflag=direct"],
        &["!yes second | dd of=/dev/{vg}/vm-100-disk-0 bs=64k seek=200 count=8 iflag=fullblock oflag=direct"],
    ),
    done(
        "resize to no whole number of extents",
        &["lvextend -L 17000k /dev/{vg}/vm-100-disk-0"],
        &["resize twin:vm-100-disk-0 17000K"],
    ),
    only_thinvol(
        "resize to the size it has",
        &["lvextend -L 20480k /dev/{vg}/vm-100-disk-0"],
        &["resize twin:vm-100-disk-0 20480K"],
    ),
    done("deactivate", &["lvchange -an {vg}/vm-100-disk-2"], &["deactivate twin:vm-100-disk-2"]),
    done(
        "resize of an inactive volume",
        &["lvextend -L 12288k /dev/{vg}/vm-100-disk-2"],
        &["resize twin:vm-100-disk-2 +4M"],
    ),
    done("activate", &["lvchange -ay -K {vg}/vm-100-disk-2"], &["activate twin:vm-100-disk-2"]),
    done(
        "rename of an active volume",
        &["lvrename {vg} vm-100-disk-2 vm-100-moved"],
        &["rename twin:vm-100-disk-2 vm-100-moved"],
    ),
    done(
        "rename to another guest",
        &[
            "lvrename {vg} vm-100-moved vm-101-disk-0",
            "lvchange --addtag pve-vm-101 --deltag pve-vm-100 {vg}/vm-101-disk-0",
        ],
        &["rename twin:vm-100-moved vm-101-disk-0"],
    ),
    // Proxmox VE does so to deactivate a storage, whatever other pools the group has.
    done("deactivate the volume group", &["vgchange -aln {vg}"], &["deactivate {vg}"]),
    done("activate the storage's pool", &["lvchange -ay -K {vg}/data"], &["activate twin"]),
    done(
        "activate volumes again",
        &["lvchange -ay -K {vg}/vm-100-disk-0 {vg}/vm-101-disk-0"],
        &["activate twin:vm-100-disk-0 twin:vm-101-disk-0"],
    ),
    done("free of an inactive volume", &["lvremove -f {vg}/vm-100-disk-1"], &["free twin:vm-100-disk-1"]),
    done("free of what does not exist", &[], &["free twin:vm-100-disk-1"]),
    done("free of an active volume", &["lvremove -f {vg}/vm-101-disk-0"], &["free twin:vm-101-disk-0"]),
];
