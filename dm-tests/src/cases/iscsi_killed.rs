//! Logouts that are killed, at each of their requests to the kernel.

use anyhow::{Result, ensure};

use super::iscsi_sessions::{IQN, PATIENT, PORTAL, class, nothing_left};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "iscsi_killed::logout", tier: Tier::Full, limit_s: 600, run: logout }];

/// Runs thinvol, and kills it before its `number`-th call of `call`. Says whether it came that far.
fn killed(ctx: &Ctx, call: &str, number: usize, arguments: &str) -> Result<bool> {
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let line = format!("strace -f -qq -o /dev/null -e trace={call} -e {inject} thinvol {arguments}");
    let ran = ctx.sh(&line)?;
    // strace ends by the signal that ended what it traced.
    Ok(ran.status == -1 || ran.status == 128 + 9)
}

/// Each request to the kernel is a sendto.
fn logout(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 8 << 20, 0x92)?)?;
    for number in 1..=5 {
        ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
        ctx.ok("udevadm settle")?;
        let came = killed(ctx, "sendto", number, &format!("iscsi logout --all {PATIENT}"))?;
        ensure!(came, "a logout has at least five requests");
        println!("killed before request {number}: {:?}", class("iscsi_session"));
        ctx.thinvol_ok("iscsi sessions --clean")?;
        nothing_left()?;
    }
    Ok(())
}
