//! Logins and logouts that are killed, at each of their steps.

use anyhow::{Result, ensure};

use super::iscsi_sessions::{IQN, PATIENT, PORTAL, class, nothing_left};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file: each is dozens of runs.
pub const LONG: &[Case] = &[
    Case { name: "iscsi_killed::login", tier: Tier::Full, limit_s: 900, run: login },
    Case { name: "iscsi_killed::logout", tier: Tier::Full, limit_s: 600, run: logout },
];

/// Runs thinvol, and kills it before its `number`-th call of `call`. Says whether it came that far.
fn killed(ctx: &Ctx, call: &str, number: usize, arguments: &str) -> Result<bool> {
    let inject = format!("inject={call}:signal=SIGKILL:when={number}");
    let line = format!("strace -f -qq -o /dev/null -e trace={call} -e {inject} thinvol {arguments}");
    let ran = ctx.sh(&line)?;
    // strace ends by the signal that ended what it traced.
    Ok(ran.status == -1 || ran.status == 128 + 9)
}

/// Each request to the kernel is a sendto, each step of the registry a rename or an unlink.
fn login(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 8 << 20, 0x91)?)?;
    let login = format!("iscsi login {PATIENT} --portal {PORTAL} --target {IQN}");
    // Of the many parameters, a few stand for all.
    let requests = [2, 3, 4, 5, 12, 20, 31, 32];
    let points = requests.map(|number| ("sendto", number)).into_iter().chain([
        ("rename", 1),
        ("rename", 2),
        ("unlink", 1),
        ("rename", 3),
        ("rename", 4),
    ]);
    let mut reached = 0;
    for (call, number) in points {
        if killed(ctx, call, number, &login)? {
            reached += 1;
        }
        println!("killed before {call} {number}: {:?}", class("iscsi_session"));
        // The next login clears that away, and works.
        ctx.thinvol_ok(&login)?;
        ensure!(class("iscsi_session").len() == 1, "{:?}", class("iscsi_session"));
        ctx.iscsi_logout()?;
        nothing_left()?;
    }
    ensure!(reached >= 10, "only {reached} of the points were reached");
    // Without another login, it is cleared away on request.
    killed(ctx, "sendto", 4, &login)?;
    ensure!(class("iscsi_session").len() == 1, "nothing was left to be cleared away");
    ctx.thinvol_ok("iscsi sessions --clean")?;
    nothing_left()
}

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
