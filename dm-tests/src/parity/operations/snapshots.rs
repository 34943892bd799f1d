//! Volumes with their snapshots.

use super::{Op, done};

/// Snapshots, and freeing with them.
pub const SNAPSHOTS: &[Op] = &[
    done(
        "alloc and fill",
        &[
            "lvcreate -aly -V 8192k --name vm-200-d --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-200-d",
            "yes one | dd of=/dev/{vg}/vm-200-d bs=64k count=32 iflag=fullblock oflag=direct",
        ],
        &[
            "alloc twin 200 vm-200-d 8M",
            "!yes one | dd of=/dev/{vg}/vm-200-d bs=64k count=32 iflag=fullblock oflag=direct",
        ],
    ),
    done(
        "snapshot of an active volume",
        &["lvcreate -n snap_vm-200-d_one -pr -s {vg}/vm-200-d"],
        &["snapshot twin:vm-200-d@one"],
    ),
    done(
        "the volume goes on",
        &["yes two | dd of=/dev/{vg}/vm-200-d bs=64k seek=16 count=32 iflag=fullblock oflag=direct"],
        &["!yes two | dd of=/dev/{vg}/vm-200-d bs=64k seek=16 count=32 iflag=fullblock oflag=direct"],
    ),
    done("activate a snapshot", &["lvchange -ay -K {vg}/snap_vm-200-d_one"], &["activate twin:vm-200-d@one"]),
    done(
        "deactivate a snapshot",
        &["lvchange -an {vg}/snap_vm-200-d_one"],
        &["deactivate twin:vm-200-d@one"],
    ),
    done("deactivate the volume", &["lvchange -an {vg}/vm-200-d"], &["deactivate twin:vm-200-d"]),
    done(
        "snapshot of an inactive volume",
        &["lvcreate -n snap_vm-200-d_two -pr -s {vg}/vm-200-d"],
        &["snapshot twin:vm-200-d@two"],
    ),
    done("activate the volume", &["lvchange -ay -K {vg}/vm-200-d"], &["activate twin:vm-200-d"]),
    done(
        "clone of a snapshot",
        &[
            "lvcreate -n vm-201-disk-0 -prw -kn -s {vg}/snap_vm-200-d_one",
            "lvchange --setautoactivation n {vg}/vm-201-disk-0",
        ],
        &["clone twin:vm-200-d@one 201"],
    ),
    done(
        "a second volume whose name begins like the first's, with a snapshot",
        &[
            "lvcreate -aly -V 4096k --name vm-200-d_x --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-200-d_x",
            "lvcreate -n snap_vm-200-d_x_yy -pr -s {vg}/vm-200-d_x",
        ],
        &["alloc twin 200 vm-200-d_x 4M", "snapshot twin:vm-200-d_x@yy"],
    ),
    done(
        "delete a snapshot",
        &["lvremove -f {vg}/snap_vm-200-d_two"],
        &["delete-snapshot twin:vm-200-d@two"],
    ),
    // Proxmox VE would also remove snap_vm-200-d_x_yy here, which belongs to the other volume.
    done(
        "free with snapshots",
        &["lvremove -f {vg}/snap_vm-200-d_one", "lvremove -f {vg}/vm-200-d"],
        &["free twin:vm-200-d"],
    ),
    done(
        "free of the other volume",
        &["lvremove -f {vg}/snap_vm-200-d_x_yy", "lvremove -f {vg}/vm-200-d_x"],
        &["free twin:vm-200-d_x"],
    ),
    done("the clone stays, and goes", &["lvremove -f {vg}/vm-201-disk-0"], &["free twin:vm-201-disk-0"]),
];

/// Rollback. Proxmox VE makes another volume of that name, whose origin is the snapshot, and whose snapshots have lost
/// theirs; with thinvol it stays the volume it was. So lvm2's origins are not compared.
pub const ROLLBACK: &[Op] = &[
    done(
        "alloc, fill, snapshot, overwrite, snapshot again",
        &[
            "lvcreate -aly -V 8192k --name vm-200-d --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-200-d",
            "yes one | dd of=/dev/{vg}/vm-200-d bs=64k count=32 iflag=fullblock oflag=direct",
            "lvcreate -n snap_vm-200-d_one -pr -s {vg}/vm-200-d",
            "yes two | dd of=/dev/{vg}/vm-200-d bs=64k seek=16 count=32 iflag=fullblock oflag=direct",
            "lvcreate -n snap_vm-200-d_two -pr -s {vg}/vm-200-d",
        ],
        &[
            "alloc twin 200 vm-200-d 8M",
            "!yes one | dd of=/dev/{vg}/vm-200-d bs=64k count=32 iflag=fullblock oflag=direct",
            "snapshot twin:vm-200-d@one",
            "!yes two | dd of=/dev/{vg}/vm-200-d bs=64k seek=16 count=32 iflag=fullblock oflag=direct",
            "snapshot twin:vm-200-d@two",
        ],
    ),
    done(
        "rollback to the older snapshot",
        &[
            "lvremove -f {vg}/vm-200-d",
            "lvcreate -kn -n vm-200-d -s {vg}/snap_vm-200-d_one",
            "lvchange --setautoactivation n {vg}/vm-200-d",
            "lvchange -ay -K {vg}/vm-200-d",
        ],
        &["rollback twin:vm-200-d@one", "activate twin:vm-200-d"],
    ),
    done(
        "free with the older and the newer snapshot",
        &[
            "lvremove -f {vg}/snap_vm-200-d_one",
            "lvremove -f {vg}/snap_vm-200-d_two",
            "lvremove -f {vg}/vm-200-d",
        ],
        &["free twin:vm-200-d"],
    ),
];
