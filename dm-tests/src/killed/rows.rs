//! The commands: one row each.

/// A command of lvm2, with the state that it needs.
pub struct Row {
    /// Unique.
    pub name: &'static str,
    /// Made once, besides what every row has.
    pub build: &'static [&'static str],
    /// Run before each state.
    pub start: &'static [&'static str],
    /// The command that is killed.
    pub command: &'static str,
    /// What happens between its death and the recovery.
    pub after: &'static [&'static str],
    /// Volumes that the command is to remove.
    pub may_go: &'static [&'static str],
    /// A volume that may have taken the content of another, which then may be gone.
    pub merged: Option<(&'static str, &'static str)>,
}

const ACTIVE: &[&str] = &["vgchange -qq -ay pve"];

const ORIGIN: &str = "vm-100-disk-0";
const SNAPSHOT: &str = "snap_vm-100-disk-0_a";

/// What a row has that says nothing else.
const PLAIN: Row =
    Row { name: "", build: &[], start: ACTIVE, command: "", after: &[], may_go: &[], merged: None };

/// A row without anything special.
const fn plain(name: &'static str, command: &'static str) -> Row {
    Row { name, command, ..PLAIN }
}

const THICK: &[&str] = &[
    "lvcreate -qq --yes -Wn -L 4M -n thick pve {1}",
    "dd if=/dev/urandom of=/dev/pve/thick bs=64k count=64 oflag=direct",
    "lvchange -qq -an pve/thick",
];

/// Opens a volume as long as it is there.
const HOLD: &str = "dmsetup create holder --table '0 8 linear /dev/pve/vm-100-disk-0 0'";

const OTHER: &[&str] = &[
    "vgcreate -qq --yes -s 1m --setautoactivation n other {2}",
    "lvcreate -qq --yes -T other/two -L 16M --poolmetadatasize 2M --chunksize 64k",
    "lvcreate -qq -V 4M -T other/two -n vm-100-disk-2",
    "dd if=/dev/urandom of=/dev/other/vm-100-disk-2 bs=64k count=8 oflag=direct",
];

/// The table.
const ROWS: &[Row] = &[
    plain("create-pool", "lvcreate -qq --yes -T pve/new -L 8M --poolmetadatasize 2M"),
    plain("create-volume", "lvcreate -qq -V 4M -T pve/data -n made"),
    plain("create-snapshot", "lvcreate -qq -s -n made pve/vm-100-disk-0"),
    Row {
        name: "create-first-volume",
        build: &["lvcreate -qq --yes -T pve/new -L 8M --poolmetadatasize 2M"],
        command: "lvcreate -qq -V 4M -T pve/new -n made",
        ..PLAIN
    },
    Row {
        name: "create-on-external-origin",
        build: &[THICK[0], THICK[1], THICK[2], "lvchange -qq -pr pve/thick"],
        start: &["vgchange -qq -ay pve", "lvchange -qq -an pve/thick"],
        command: "lvcreate -qq -s --thinpool pve/data -n made pve/thick",
        ..PLAIN
    },
    plain("extend-volume", "lvextend -qq -L 8M pve/vm-100-disk-0"),
    plain("extend-pool", "lvextend -qq -L 32M pve/data"),
    plain("extend-pool-metadata", "lvextend -qq --poolmetadatasize +1M pve/data"),
    Row { may_go: &["vm-100-disk-1"], ..plain("remove-volume", "lvremove -qq --yes pve/vm-100-disk-1") },
    Row { may_go: &[ORIGIN], ..plain("remove-origin", "lvremove -qq --yes pve/vm-100-disk-0") },
    Row {
        may_go: &[ORIGIN, SNAPSHOT, "vm-100-disk-1"],
        ..plain("remove-pool", "lvremove -qq --yes pve/data")
    },
    plain("rename-volume", "lvrename -qq pve/vm-100-disk-1 pve/vm-100-disk-7"),
    plain("rename-pool", "lvrename -qq pve/data pve/moved"),
    plain("make-read-only", "lvchange -qq -pr pve/vm-100-disk-1"),
    plain("change-pool", "lvchange -qq --discards nopassdown pve/data"),
    plain("stop-group", "vgchange -qq -an pve"),
    Row { start: &[], ..plain("start-group", "vgchange -qq -ay pve") },
    Row {
        merged: Some((ORIGIN, SNAPSHOT)),
        ..plain("merge", "lvconvert -qq --merge pve/snap_vm-100-disk-0_a")
    },
    Row {
        name: "merge-in-use",
        start: &["vgchange -qq -ay pve", HOLD],
        command: "lvconvert -qq --merge pve/snap_vm-100-disk-0_a",
        after: &["udevadm settle", "dmsetup remove --retry holder"],
        merged: Some((ORIGIN, SNAPSHOT)),
        ..PLAIN
    },
    Row {
        name: "start-merge",
        start: &[
            "vgchange -qq -ay pve",
            HOLD,
            "udevadm settle",
            "lvconvert -qq --merge pve/snap_vm-100-disk-0_a",
            "dmsetup remove --retry holder",
            "lvchange -qq -an pve/vm-100-disk-0",
        ],
        command: "lvchange -qq -ay pve/vm-100-disk-0",
        merged: Some((ORIGIN, SNAPSHOT)),
        ..PLAIN
    },
    Row { start: &[], ..plain("repair-pool", "lvconvert -qq --yes --repair pve/data") },
    Row {
        name: "convert-to-pool",
        build: &["lvcreate -qq --yes -Wn -L 8M -n raw pve"],
        command: "lvconvert -qq --yes --type thin-pool --poolmetadatasize 2M pve/raw",
        may_go: &["raw"],
        ..PLAIN
    },
    Row {
        name: "convert-to-thin",
        build: THICK,
        command: "lvconvert -qq --yes --type thin --thinpool pve/data pve/thick",
        ..PLAIN
    },
    plain("rename-group", "vgrename -qq pve moved"),
    Row {
        name: "split-group",
        build: &[
            "vgextend -qq --yes pve {2}",
            "lvcreate -qq --yes -T pve/two -L 16M --poolmetadatasize 2M --chunksize 64k {2}",
            "lvcreate -qq -V 4M -T pve/two -n vm-100-disk-2",
            "dd if=/dev/urandom of=/dev/pve/vm-100-disk-2 bs=64k count=8 oflag=direct",
        ],
        start: &[],
        command: "vgsplit -qq pve other {2}",
        ..PLAIN
    },
    Row { name: "merge-groups", build: OTHER, command: "vgmerge -qq pve other", ..PLAIN },
    plain("reduce-group", "vgreduce -qq pve {1}"),
    // The daemon that polls would go on where the command was killed.
    plain("move-volumes", "pvmove -qq --config global/use_lvmpolld=0 -i1 {0} {1}"),
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}

/// The names of all rows.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}
