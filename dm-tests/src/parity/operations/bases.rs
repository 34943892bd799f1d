//! Templates.

use super::{Op, done};

/// Templates and linked clones.
pub const BASES: &[Op] = &[
    done(
        "alloc and fill",
        &[
            "lvcreate -aly -V 8192k --name vm-300-disk-0 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-300-disk-0",
            "yes base | dd of=/dev/{vg}/vm-300-disk-0 bs=64k count=32 iflag=fullblock oflag=direct",
        ],
        &[
            "alloc twin 300 vm-300-disk-0 8M",
            "!yes base | dd of=/dev/{vg}/vm-300-disk-0 bs=64k count=32 iflag=fullblock oflag=direct",
        ],
    ),
    done(
        "template",
        &[
            "lvrename {vg} vm-300-disk-0 base-300-disk-0",
            "lvchange -pr -ky {vg}/base-300-disk-0",
            "lvchange -an {vg}/base-300-disk-0",
        ],
        &["template twin:vm-300-disk-0"],
    ),
    done(
        "linked clone",
        &[
            "lvcreate -n vm-301-disk-0 -prw -kn -s {vg}/base-300-disk-0",
            "lvchange --setautoactivation n {vg}/vm-301-disk-0",
        ],
        &["clone twin:base-300-disk-0 301"],
    ),
    done(
        "a second clone",
        &[
            "lvcreate -n vm-302-disk-0 -prw -kn -s {vg}/base-300-disk-0",
            "lvchange --setautoactivation n {vg}/vm-302-disk-0",
        ],
        &["clone twin:base-300-disk-0 302"],
    ),
    done("activate the base", &["lvchange -ay -K {vg}/base-300-disk-0"], &["activate twin:base-300-disk-0"]),
    done("deactivate the base", &["lvchange -an {vg}/base-300-disk-0"], &["deactivate twin:base-300-disk-0"]),
    done(
        "snapshot of a clone",
        &["lvcreate -n snap_vm-301-disk-0_ss -pr -s {vg}/vm-301-disk-0"],
        &["snapshot twin:vm-301-disk-0@ss"],
    ),
    done("free of a clone", &["lvremove -f {vg}/vm-302-disk-0"], &["free twin:vm-302-disk-0"]),
    // Proxmox VE frees it without a word.
    done(
        "free of a base with a clone",
        &["lvremove -f {vg}/base-300-disk-0"],
        &["free --force twin:base-300-disk-0"],
    ),
    done(
        "free of a clone with a snapshot",
        &["lvremove -f {vg}/snap_vm-301-disk-0_ss", "lvremove -f {vg}/vm-301-disk-0"],
        &["free twin:vm-301-disk-0"],
    ),
];
