//! The same life led twice: in one volume group by the lvm2 commands that Proxmox VE's lvmthin plugin runs, in its twin
//! by thinvol. After each operation lvm2 must see the same in both.

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::parity::operations::Op;
use crate::parity::operations::bases::BASES;
use crate::parity::operations::refusals::REFUSALS;
use crate::parity::operations::snapshots::{ROLLBACK, SNAPSHOTS};
use crate::parity::operations::volumes::CHANGES;
use crate::parity::twins::{Both, Origins, Twins};

/// The cases of this file that always run.
pub const CASES: &[Case] = &[Case {
    name: "parity::rollback",
    tier: Tier::Full,
    limit_s: 300,
    run: |ctx| live(ctx, ROLLBACK, Origins::Left),
}];

/// Those that take minutes.
pub const LONG: &[Case] = &[
    Case {
        name: "parity::volumes",
        tier: Tier::Full,
        limit_s: 900,
        run: |ctx| live(ctx, CHANGES, Origins::Compared),
    },
    Case {
        name: "parity::snapshots",
        tier: Tier::Full,
        limit_s: 900,
        run: |ctx| live(ctx, SNAPSHOTS, Origins::Compared),
    },
    Case {
        name: "parity::templates",
        tier: Tier::Full,
        limit_s: 900,
        run: |ctx| live(ctx, BASES, Origins::Compared),
    },
    Case {
        name: "parity::refusals",
        tier: Tier::Full,
        limit_s: 900,
        run: |ctx| live(ctx, REFUSALS, Origins::Compared),
    },
];

/// Does each operation on both sides and compares.
fn live(ctx: &Ctx, operations: &[Op], origins: Origins) -> Result<()> {
    let twins = Twins::new(ctx, origins)?;
    let mut seen = twins.seen()?;
    for operation in operations {
        println!("# {}", operation.name);
        seen = compare(&twins, operation, &seen).with_context(|| operation.name)?;
    }
    ensure!(!operations.is_empty(), "no operations");
    twins.agreed()
}

/// What lvm2 sees after one operation, the same on both sides.
fn compare(twins: &Twins<'_>, operation: &Op, before: &Both) -> Result<Both> {
    let theirs = twins.as_proxmox_does(operation.proxmox)?;
    let ours = twins.as_thinvol_does(operation.thinvol)?;
    ensure!(theirs == operation.ends.proxmox(), "Proxmox VE's commands: success is {theirs}");
    ensure!(ours.is_none() == operation.ends.thinvol(), "thinvol: {ours:?}");
    let after = twins.seen()?;
    if let Some(ran) = ours {
        let said = ran.stderr.trim();
        // Nothing changed, and why is said: refused, usage, not found, busy, unsupported.
        ensure!(matches!(ran.status, 1..=4 | 7) && said.starts_with("error: "), "thinvol refused by {ran:?}");
        let (before, after) = (&before.thinvol, &after.thinvol);
        ensure!(before == after, "thinvol refused and changed\n{before:#?}\nto\n{after:#?}");
    }
    let Both { proxmox, thinvol } = &after;
    ensure!(proxmox == thinvol, "Proxmox VE's side:\n{proxmox:#?}\nthinvol's side:\n{thinvol:#?}");
    twins.same_data(&after)?;
    Ok(after)
}
