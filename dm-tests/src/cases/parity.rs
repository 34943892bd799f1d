//! The same life led twice: in one volume group by the lvm2 commands that Proxmox VE's lvmthin plugin runs, in its twin
//! by thinvol. After each operation lvm2 must see the same in both.

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::parity::operations::{BASES, Ends, Op, REFUSALS};
use crate::parity::twins::Twins;

/// The cases of this file; hundreds of lvm2's commands each.
pub const LONG: &[Case] = &[
    Case { name: "parity::templates", tier: Tier::Full, limit_s: 600, run: |ctx| live(ctx, BASES) },
    Case { name: "parity::refusals", tier: Tier::Full, limit_s: 600, run: |ctx| live(ctx, REFUSALS) },
];

/// Does each operation on both sides and compares.
fn live(ctx: &Ctx, operations: &[Op]) -> Result<()> {
    let twins = Twins::new(ctx)?;
    ensure!(!operations.is_empty(), "no operations");
    for operation in operations {
        println!("# {}", operation.name);
        compare(&twins, operation).with_context(|| operation.name)?;
    }
    twins.agreed()
}

fn compare(twins: &Twins<'_>, operation: &Op) -> Result<()> {
    let before = twins.thinvols()?;
    let theirs = twins.as_proxmox_does(operation.proxmox)?;
    let ours = twins.as_thinvol_does(operation.thinvol)?;
    let done = operation.ends == Ends::Done;
    ensure!(theirs == done, "Proxmox VE's commands: success is {theirs}");
    ensure!(ours == done, "thinvol: success is {ours}");
    let after = twins.thinvols()?;
    if !ours {
        ensure!(before == after, "thinvol refused and changed\n{before:#?}\nto\n{after:#?}");
    }
    let wanted = twins.proxmoxs()?;
    ensure!(wanted == after, "Proxmox VE's side:\n{wanted:#?}\nthinvol's side:\n{after:#?}");
    twins.same_data()
}
