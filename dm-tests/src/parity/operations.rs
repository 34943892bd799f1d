//! The operations: Proxmox VE's lvm2 commands (pve-storage `PVE/Storage/LvmThinPlugin.pm`; the reading commands around
//! them left out) beside thinvol's. `{vg}` is the group; thinvol's side calls the storage `twin`.

pub mod bases;
pub mod refusals;
pub mod snapshots;
pub mod volumes;

/// How an operation ends on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Both do it.
    Done,
    /// Both refuse it.
    Refused,
    /// Proxmox VE refuses or fails; thinvol does it, or has nothing to do.
    OnlyThinvol,
}

impl Ends {
    /// Whether Proxmox VE's commands succeed.
    pub fn proxmox(self) -> bool {
        self == Self::Done
    }

    /// Whether thinvol succeeds.
    pub fn thinvol(self) -> bool {
        self != Self::Refused
    }
}

/// One operation on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    /// The actual one.
    pub name: &'static str,
    /// The commands that Proxmox VE runs.
    pub proxmox: &'static [&'static str],
    /// thinvol's arguments; a line with `!` in front is a shell's.
    pub thinvol: &'static [&'static str],
    /// How it ends.
    pub ends: Ends,
}

const fn done(name: &'static str, proxmox: &'static [&'static str], thinvol: &'static [&'static str]) -> Op {
    Op { name, proxmox, thinvol, ends: Ends::Done }
}

const fn refused(
    name: &'static str,
    proxmox: &'static [&'static str],
    thinvol: &'static [&'static str],
) -> Op {
    Op { name, proxmox, thinvol, ends: Ends::Refused }
}

const fn only_thinvol(
    name: &'static str,
    proxmox: &'static [&'static str],
    thinvol: &'static [&'static str],
) -> Op {
    Op { name, proxmox, thinvol, ends: Ends::OnlyThinvol }
}
