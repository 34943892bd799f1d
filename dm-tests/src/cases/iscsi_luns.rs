//! LUNs that come, grow, go, and come back as others.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::iscsi_sessions::{IQN, PATIENT, PORTAL, nothing_left, text, verified_io};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "iscsi_luns::new_resized_and_removed", tier: Tier::Full, limit_s: 300, run: changes },
    Case {
        name: "iscsi_luns::a_reused_number_is_not_the_old_disk",
        tier: Tier::Full,
        limit_s: 300,
        run: reused,
    },
    Case { name: "iscsi_luns::only_what_was_asked_for", tier: Tier::Full, limit_s: 240, run: only },
];

/// Those that run when they are named.
pub const LONG: &[Case] =
    &[Case { name: "iscsi_luns::a_record_of_the_old_disk", tier: Tier::Full, limit_s: 240, run: record }];

impl Ctx {
    /// Looks for changes; returns those of the one session there is.
    fn iscsi_rescan(&self) -> Result<Vec<Value>> {
        let answer: Value =
            serde_json::from_str(&self.thinvol_ok(&format!("iscsi rescan --json {PATIENT}"))?)?;
        Ok(answer["sessions"][0]["changes"].as_array().context("changes")?.clone())
    }
}

fn changes(ctx: &Ctx) -> Result<()> {
    let disk = ctx.disk(64 << 20)?;
    let growing = ctx.block_backstore("grows", disk.device(), 0xc1)?;
    let second = ctx.backstore("second", 16 << 20, 0xc2)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &growing)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    let first = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    ensure!(ctx.iscsi_rescan()?.is_empty(), "nothing has changed");

    target.add_lun(5, &second)?;
    let found = ctx.iscsi_rescan()?;
    ensure!(found.len() == 1 && found[0]["change"] == "added" && found[0]["lun"] == 5, "{found:?}");

    fs::OpenOptions::new().write(true).open(disk.file())?.set_len(96 << 20)?;
    ctx.ok(&format!("losetup -c {}", disk.name()))?;
    let found = ctx.iscsi_rescan()?;
    ensure!(found.len() == 1 && found[0]["change"] == "resized" && found[0]["to"] == 96 << 20, "{found:?}");
    ensure!(ctx.ok(&format!("blockdev --getsize64 {first}"))?.trim() == (96_u64 << 20).to_string());

    target.remove_lun(5)?;
    let found = ctx.iscsi_rescan()?;
    ensure!(found.len() == 1 && found[0]["change"] == "removed" && found[0]["lun"] == 5, "{found:?}");
    verified_io(ctx, &first)?;

    // A LUN that goes while it is in use is told of, and nothing is torn from under its user.
    let second = ctx.backstore("third", 16 << 20, 0xc3)?;
    target.add_lun(6, &second)?;
    ctx.iscsi_rescan()?;
    let shown: Value = serde_json::from_str(&ctx.thinvol_ok("iscsi sessions --json")?)?;
    let used = fs::File::open(text(&shown, "/sessions/0/luns/1/device")?)?;
    target.remove_lun(6)?;
    let found = ctx.iscsi_rescan()?;
    ensure!(found.len() == 1 && found[0]["change"] == "gone_in_use" && found[0]["lun"] == 6, "{found:?}");
    ensure!(found[0]["holders"].to_string().contains(&std::process::id().to_string()), "{found:?}");
    drop(used);
    ensure!(ctx.iscsi_rescan()?[0]["change"] == "removed");
    ctx.iscsi_logout()?;
    nothing_left()
}

/// The number of a LUN is given to another disk, behind the initiator's back.
fn reused(ctx: &Ctx) -> Result<()> {
    let old = ctx.backstore("old", 32 << 20, 0xd1)?;
    let new = ctx.backstore("new", 32 << 20, 0xd2)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(1, &old)?;
    let login = format!("--portal {PORTAL} --target {IQN} --lun 1");
    let answer = ctx.iscsi_login(&format!("{login} --wwid {}", old.wwid))?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();

    // While the old one is in use, the new one is refused, and who uses it is told.
    let used = fs::File::open(&disk)?;
    target.remove_lun(1)?;
    target.add_lun(1, &new)?;
    let ran = ctx.thinvol(&format!("iscsi login {PATIENT} {login} --wwid {}", old.wwid))?;
    ensure!(ran.status == 4, "{ran:?}");
    for word in [&new.wwid, &old.wwid, &std::process::id().to_string()] {
        ensure!(ran.stderr.contains(word), "{word} is not said: {}", ran.stderr);
    }
    drop(used);
    // Not in use, it goes; and what is there now is not what was asked for.
    let ran = ctx.thinvol(&format!("iscsi login {PATIENT} {login} --wwid {}", old.wwid))?;
    ensure!(ran.status == 1 && ran.stderr.contains(&new.wwid), "{ran:?}");
    let shown: Value = serde_json::from_str(&ctx.thinvol_ok("iscsi sessions --json")?)?;
    ensure!(
        shown["sessions"][0]["luns"].as_array().is_some_and(Vec::is_empty),
        "the wrong disk stays: {shown}"
    );
    // Asked for as what it is, it is attached.
    let answer = ctx.iscsi_login(&format!("{login} --wwid {}", new.wwid))?;
    ensure!(text(&answer, "/sessions/0/luns/0/wwid")? == new.wwid, "{answer}");
    verified_io(ctx, text(&answer, "/sessions/0/luns/0/device")?)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// The new disk has the device number of the old one, and udev has not come to it: what udev says of the old disk is
/// not taken for the new one's.
fn record(ctx: &Ctx) -> Result<()> {
    let (old, new) = (ctx.backstore("old", 16 << 20, 0xd3)?, ctx.backstore("new", 16 << 20, 0xd4)?);
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("other", 16 << 20, 0xd5)?)?;
    target.add_lun(1, &old)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN}"))?;
    let before = text(&answer, "/sessions/0/luns/1/device")?.to_owned();
    ctx.ok("udevadm control --stop-exec-queue")?;
    target.remove_lun(1)?;
    target.add_lun(1, &new)?;
    let early = ctx.thinvol("iscsi rescan --json --timeout 15");
    ctx.ok("udevadm control --start-exec-queue")?;
    let early = early?;
    ensure!(early.status == 5 && early.stderr.contains("udev's work on"), "{early:?}");
    ensure!(!early.stdout.contains(old.wwid.trim_start_matches("naa.")), "the old disk's names: {early:?}");
    ctx.ok("udevadm settle")?;
    ctx.iscsi_rescan()?;
    let shown: Value = serde_json::from_str(&ctx.thinvol_ok("iscsi sessions --json")?)?;
    let lun = &shown["sessions"][0]["luns"][1];
    ensure!(lun["device"] == before.as_str(), "the number was not used again: {shown}");
    ensure!(lun.to_string().contains(new.wwid.trim_start_matches("naa.")), "{shown}");
    ctx.iscsi_logout()?;
    nothing_left()
}

fn only(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    for number in 0..3 {
        target.add_lun(number, &ctx.backstore(&format!("l{number}"), 8 << 20, 0xe0 + u64::from(number))?)?;
    }
    let login = format!("--portal {PORTAL} --target {IQN}");
    let count = |answer: &Value| answer["sessions"][0]["luns"].as_array().map_or(0, Vec::len);
    let answer = ctx.iscsi_login(&format!("{login} --no-scan"))?;
    ensure!(count(&answer) == 0 && ctx.iscsi_rescan()?.is_empty(), "{answer}");
    let answer = ctx.iscsi_login(&format!("{login} --lun 1"))?;
    ensure!(count(&answer) == 1 && answer["sessions"][0]["luns"][0]["lun"] == 1, "{answer}");
    ensure!(ctx.iscsi_rescan()?.is_empty(), "LUNs that nobody asked for were attached");
    let answer = ctx.iscsi_login(&login)?;
    ensure!(count(&answer) == 3, "{answer}");
    ctx.iscsi_logout()?;
    nothing_left()
}
