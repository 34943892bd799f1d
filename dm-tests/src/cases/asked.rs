//! Questions on a terminal before something is removed, and the effect of the answers.

use anyhow::{Result, bail, ensure};

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Ran, Storages};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "asked::before_volumes_go", tier: Tier::Full, limit_s: 300, run: before_volumes_go },
    Case { name: "asked::before_a_rollback", tier: Tier::Full, limit_s: 300, run: before_a_rollback },
];

/// The character for the end of input.
const END: &str = "\u{4}";

fn nobody_is_asked() -> Result<&'static str> {
    bail!("a question where everything was named")
}

fn is_refused(ran: &Ran) -> bool {
    ran.status == 1 && ran.stderr.contains("it is not confirmed; nothing was changed")
}

/// Snapshots that were not named are removed with their volume only after a yes, or with `--yes`.
fn before_volumes_go(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    let storages = Storages::new(ctx, "")?;
    storages.ok(&format!("add lvmthin st --vgname {vg} --thinpool data"))?;
    for name in ["a", "b", "c"] {
        ctx.change(&format!("alloc {vg}/data 100 vm-100-{name} 8M"))?;
        ctx.change(&format!("snapshot {vg}/vm-100-{name}@s"))?;
    }
    let all = ctx.fact(vg, "lv_name")?;
    let free = storages.line("free st:vm-100-a");
    for answer in ["n\n", "\n", "yess\n", END] {
        let asked = ctx.thinvol_on_terminal(&free, || Ok(answer))?;
        ensure!(is_refused(&asked), "{asked:?}");
        let question = "these snapshots are removed with their volumes:\n  st:vm-100-a@s\nGo on? [y/N] ";
        ensure!(asked.stderr.contains(question), "{asked:?}");
        ensure!(ctx.fact(vg, "lv_name")? == all, "{answer:?} was taken for a yes");
    }
    // What comes while the question waits was not confirmed.
    let late = ctx.thinvol_on_terminal(&free, || {
        ctx.change(&format!("snapshot {vg}/vm-100-a@late"))?;
        Ok("y\n")
    })?;
    ensure!(late.status == 4 && late.stderr.contains("is new since you were asked"), "{late:?}");
    ctx.change(&format!("delete-snapshot {vg}/vm-100-a@late"))?;
    ensure!(ctx.fact(vg, "lv_name")? == all);
    let chosen = ctx.thinvol_on_terminal(&storages.line("free --vmid 100"), || Ok("n\n"))?;
    ensure!(is_refused(&chosen) && chosen.stderr.contains("  st:vm-100-b\n"), "{chosen:?}");

    let gone = ctx.thinvol_on_terminal(&free, || Ok("y\n"))?;
    ensure!(gone.status == 0 && gone.stdout.lines().count() == 2, "{gone:?}");
    ensure!(!ctx.fact(vg, "lv_name")?.contains("vm-100-a"));
    ctx.oracle(vg)?;
    for (arguments, count) in [
        (storages.line("free --yes st:vm-100-b"), 2),
        (storages.line("free --keep-snapshots st:vm-100-c"), 1),
        (format!("free {vg}/snap_vm-100-c_s"), 1),
    ] {
        let ran = ctx.thinvol_on_terminal(&arguments, nobody_is_asked)?;
        ensure!(ran.status == 0 && ran.stdout.lines().count() == count, "{ran:?}");
    }
    ensure!(ctx.fact(vg, "lv_name")? == "data", "{}", ctx.fact(vg, "lv_name")?);
    ctx.agreed(vg)
}

/// Data written since the newest snapshot is discarded only after a yes.
fn before_a_rollback(ctx: &Ctx) -> Result<()> {
    let vg = ctx.pool()?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-a 8M"))?;
    let device = ctx.dev(vg, "vm-100-a").display().to_string();
    let write = |text: &str| ctx.sh(&format!("printf {text} | dd of={device} conv=fsync status=none"));
    let read = || Ok::<_, anyhow::Error>(ctx.sh(&format!("head -c 5 {device}"))?.stdout);
    write("older")?;
    ctx.change(&format!("snapshot {vg}/vm-100-a@s"))?;
    write("newer")?;
    ctx.ok("udevadm settle")?;
    let rollback = format!("rollback {vg}/vm-100-a@s");
    let asked = ctx.thinvol_on_terminal(&rollback, || Ok("n\n"))?;
    ensure!(is_refused(&asked) && asked.stderr.contains("is given up\nGo on? [y/N] "), "{asked:?}");
    ensure!(read()? == "newer", "it was rolled back");
    let done = ctx.thinvol_on_terminal(&rollback, || Ok("yes\n"))?;
    ensure!(done.status == 0 && read()? == "older", "{done:?}");
    write("third")?;
    ctx.ok("udevadm settle")?;
    let done = ctx.thinvol_on_terminal(&format!("{rollback} -y"), nobody_is_asked)?;
    ensure!(done.status == 0 && read()? == "older", "{done:?}");
    ctx.agreed(vg)
}
