//! thinvol and lvm2 at work in one volume group at the same time.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const LONG: &[Case] =
    &[Case { name: "together::with_lvm2_at_once", tier: Tier::Full, limit_s: 600, run: with_lvm2_at_once }];

/// Rounds of each side.
const ROUNDS: usize = 6;

/// Two thinvols and one lvm2 create and remove for a while. Every success is real, and nobody is locked out.
fn with_lvm2_at_once(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    let ours = |who: usize| {
        format!(
            "for i in $(seq {ROUNDS}); do thinvol alloc {vg}/data 10{who} vm-10{who}-k$i 4M && \
             thinvol snapshot {vg}/vm-10{who}-k$i@s && thinvol alloc {vg}/data 10{who} vm-10{who}-g$i 4M && \
             thinvol free {vg}/vm-10{who}-g$i || exit 1; done"
        )
    };
    let lvm2 = format!(
        "for i in $(seq {ROUNDS}); do lvcreate -V 4M -T {vg}/data -n l$i && lvcreate -V 4M -T {vg}/data -n g$i && \
         lvremove -y {vg}/g$i || exit 1; done"
    );
    let mut children = Vec::new();
    for line in [ours(1), ours(2), lvm2] {
        children.push(Command::new("sh").arg("-c").arg(line).stdin(Stdio::null()).spawn()?);
    }
    for child in &mut children {
        ensure!(child.wait()?.success(), "a side failed");
    }
    let names = ctx.lvm(&format!("lvs --noheadings -o lv_name {vg}"))?;
    let names: Vec<&str> = names.split_whitespace().collect();
    for round in 1..=ROUNDS {
        for kept in [format!("vm-101-k{round}"), format!("snap_vm-102-k{round}_s"), format!("l{round}")] {
            ensure!(names.contains(&kept.as_str()), "{kept} is lost");
        }
        for gone in [format!("vm-101-g{round}"), format!("g{round}")] {
            ensure!(!names.contains(&gone.as_str()), "{gone} is still there");
        }
    }
    ctx.oracle(vg)?;
    ctx.ok("udevadm settle")?;
    ctx.reactivate(vg)?;
    ensure!(ctx.change(&format!("recover {vg}"))?.contains("nothing to recover"));
    Ok(())
}
