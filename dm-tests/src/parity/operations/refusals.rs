//! Operations that must be refused.

use super::{Op, done, refused};

/// What both refuse, changing nothing. Where the plugin itself refuses, before lvm2 is asked, its side is `false`.
pub const REFUSALS: &[Op] = &[
    done(
        "two volumes, a snapshot, a base",
        &[
            "lvcreate -aly -V 8192k --name vm-400-disk-0 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/vm-400-disk-0",
            "lvcreate -n snap_vm-400-disk-0_s1 -pr -s {vg}/vm-400-disk-0",
            "lvcreate -an -V 8192k --name base-400-disk-1 --thinpool {vg}/data",
            "lvchange --setautoactivation n {vg}/base-400-disk-1",
            "lvchange -pr -ky {vg}/base-400-disk-1",
        ],
        &[
            "alloc twin 400 vm-400-disk-0 8M",
            "snapshot twin:vm-400-disk-0@s1",
            "alloc twin 400 vm-400-disk-1 8M",
            "template twin:vm-400-disk-1",
        ],
    ),
    refused(
        "alloc of a name that is taken",
        &["lvcreate -aly -V 8192k --name vm-400-disk-0 --thinpool {vg}/data"],
        &["alloc twin 400 vm-400-disk-0 8M"],
    ),
    refused("alloc under another guest's name", &["false"], &["alloc twin 400 vm-401-disk-0 8M"]),
    refused("alloc under a name that is not a guest's", &["false"], &["alloc twin 400 disk 8M"]),
    refused(
        "alloc of nothing",
        &["lvcreate -aly -V 0k --name vm-400-disk-9 --thinpool {vg}/data"],
        &["alloc twin 400 vm-400-disk-9 0"],
    ),
    refused("alloc of another format", &["false"], &["alloc twin 400 vm-400-disk-9 8M --format qcow2"]),
    refused(
        "snapshot of a name that is taken",
        &["lvcreate -n snap_vm-400-disk-0_s1 -pr -s {vg}/vm-400-disk-0"],
        &["snapshot twin:vm-400-disk-0@s1"],
    ),
    refused(
        "snapshot of nothing",
        &["lvcreate -n snap_vm-9-d_s -pr -s {vg}/vm-499-d"],
        &["snapshot twin:vm-499-d@s1"],
    ),
    refused(
        "delete of no snapshot",
        &["lvremove -f {vg}/snap_vm-400-disk-0_s9"],
        &["delete-snapshot twin:vm-400-disk-0@s9"],
    ),
    refused("rollback to no snapshot", &["false"], &["rollback twin:vm-400-disk-0@s9"]),
    refused("shrink", &["lvextend -L 4096k /dev/{vg}/vm-400-disk-0"], &["resize twin:vm-400-disk-0 4M"]),
    refused("resize of a snapshot", &["false"], &["resize twin:vm-400-disk-0@s1 16M"]),
    refused("resize of nothing", &["lvextend -L 8192k /dev/{vg}/vm-499-d"], &["resize twin:vm-499-d 8M"]),
    refused("template of a volume with snapshots", &["false"], &["template twin:vm-400-disk-0"]),
    refused("template of a template", &["false"], &["template twin:base-400-disk-1"]),
    refused(
        "rename to a name that is taken",
        &["lvrename {vg} vm-400-disk-0 base-400-disk-1"],
        &["rename twin:vm-400-disk-0 base-400-disk-1"],
    ),
    refused("activate nothing", &["lvchange -ay -K {vg}/vm-499-d"], &["activate twin:vm-499-d"]),
    refused(
        "free of a volume in use",
        &["(sleep 997 </dev/{vg}/vm-400-disk-0 >/dev/null 2>&1 &)", "lvremove -f {vg}/vm-400-disk-0"],
        &["!(sleep 997 </dev/{vg}/vm-400-disk-0 >/dev/null 2>&1 &)", "free twin:vm-400-disk-0"],
    ),
    refused(
        "rollback of a volume in use",
        &["lvremove -f {vg}/vm-400-disk-0"],
        &["rollback twin:vm-400-disk-0@s1"],
    ),
    refused(
        "deactivate a volume in use",
        &["lvchange -an {vg}/vm-400-disk-0"],
        &["deactivate twin:vm-400-disk-0"],
    ),
    done("its users go", &["pkill -f '^sleep 997$'; true"], &["!pkill -f '^sleep 997$'; true"]),
];
