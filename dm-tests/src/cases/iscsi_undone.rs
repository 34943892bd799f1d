//! What becomes of a session when a LUN of it cannot be had: others may be in use by then.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::iscsi_sessions::{IQN, PATIENT, PORTAL, class, nothing_left, text, verified_io};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::ctx::lio::Backstore;
use crate::ctx::relay::Relay;

/// The cases of this file.
pub const CASES: &[Case] = &[Case {
    name: "iscsi_undone::a_lun_without_a_disk_leaves_the_others",
    tier: Tier::Full,
    limit_s: 300,
    run: diskless,
}];

/// Those that wait for udev.
pub const LONG: &[Case] = &[Case {
    name: "iscsi_undone::what_is_used_keeps_its_session",
    tier: Tier::Full,
    limit_s: 300,
    run: used,
}];

/// Rules of udev for as long as this lives.
struct Rules(&'static str);

impl Rules {
    fn new(ctx: &Ctx, text: &str) -> Result<Self> {
        let this = Self("/run/udev/rules.d/99-thinvol-test.rules");
        fs::create_dir_all("/run/udev/rules.d")?;
        fs::write(this.0, text)?;
        ctx.ok("udevadm control --reload")?;
        Ok(this)
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
        let _ = std::process::Command::new("udevadm").args(["control", "--reload"]).status();
    }
}

fn serial(store: &Backstore) -> String {
    format!("3{}", store.wwid.trim_start_matches("naa."))
}

/// Two LUNs: a volume group on the first comes up as soon as its disk is there, udev never gets done with the second.
fn used(ctx: &Ctx) -> Result<()> {
    let (first, second) = (ctx.backstore("a", 64 << 20, 0x91)?, ctx.backstore("b", 16 << 20, 0x92)?);
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &first)?;
    let login = format!("--portal {PORTAL} --target {IQN}");
    let answer = ctx.iscsi_login(&login)?;
    ctx.ok(&format!("vgcreate --yes onlun {}", text(&answer, "/sessions/0/luns/0/device")?))?;
    ctx.ok("lvcreate --yes -L 32M -n data onlun")?;
    ctx.ok("vgchange -an onlun")?;
    ctx.iscsi_logout()?;
    target.add_lun(1, &second)?;

    let rule = |store: &Backstore, what: &str| {
        format!("ACTION==\"add\", KERNEL==\"sd*\", ENV{{ID_SERIAL}}==\"{}\", {what}\n", serial(store))
    };
    let slow = rule(&second, "PROGRAM=\"/bin/sleep 30\"");
    // Nobody uses anything: nothing stays, unless a disk is there.
    let rules = Rules::new(ctx, &(rule(&first, "PROGRAM=\"/bin/sleep 30\"") + &slow))?;
    let ran = ctx.thinvol(&format!("iscsi login --timeout 5 {login}"))?;
    ensure!(ran.status == 4 && ran.stderr.contains("udev"), "{ran:?}");
    nothing_left()?;
    drop(rules);
    ctx.ok("udevadm settle")?;

    let up = rule(&first, "RUN+=\"/sbin/vgchange -ay --noudevsync onlun\"");
    let rules = Rules::new(ctx, &(up + &slow))?;
    let ran = ctx.thinvol(&format!("iscsi login --json --timeout 15 {login}"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("LUN 1"), "{ran:?}");
    let answer: Value = serde_json::from_str(&ran.stdout)?;
    ensure!(answer["sessions"][0]["luns"][0]["lun"] == 0, "{answer}");
    ensure!(answer["sessions"][0]["missing"][0]["lun"] == 1, "{answer}");
    verified_io(ctx, "/dev/mapper/onlun-data")?;
    drop(rules);
    ctx.ok("udevadm settle --timeout=100")?;

    // The next login finds the session, and what was late is there.
    let answer = ctx.iscsi_login(&login)?;
    ensure!(text(&answer, "/sessions/0/outcome")? == "already_there", "{answer}");
    ensure!(answer["sessions"][0]["luns"].as_array().is_some_and(|luns| luns.len() == 2), "{answer}");
    ctx.ok("vgchange -an onlun")?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// A LUN that no driver takes, and one that says that it is not connected: they are told, and the others serve.
fn diskless(ctx: &Ctx) -> Result<()> {
    const RELAYED: &str = "127.0.0.1:3270";
    let (first, second) = (ctx.backstore("a", 64 << 20, 0x93)?, ctx.backstore("b", 16 << 20, 0x94)?);
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &first)?;
    target.add_lun(1, &second)?;
    let relay = Relay::start(RELAYED, PORTAL)?;
    let login = format!("--portal {RELAYED} --target {IQN}");
    let count = |answer: &Value| answer["sessions"][0]["luns"].as_array().map_or(0, Vec::len);
    let told = |answer: &Value, word: &str| {
        let warnings = answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let is_told = warnings.into_iter().any(|text| text.contains("LUN 1") && text.contains(word));
        ensure!(count(answer) == 1 && is_told, "{word:?} is not said: {answer}");
        Ok(())
    };
    relay.set_not_connected(Some(1));
    let answer = ctx.iscsi_login(&login)?;
    told(&answer, "not connected")?;
    verified_io(ctx, text(&answer, "/sessions/0/luns/0/device")?)?;
    // Asked for by its number, it is missing.
    let ran = ctx.thinvol(&format!("iscsi login {PATIENT} {login} --lun 0 --lun 1"))?;
    ensure!(ran.status == 5 && ran.stderr.contains("LUN 1"), "{ran:?}");
    // When it is connected again, a look finds it.
    relay.set_not_connected(None);
    let answer = ctx.iscsi_login(&login)?;
    ensure!(count(&answer) == 2, "{answer}");
    let address = text(&answer, "/sessions/0/luns/1/address")?.to_owned();

    fs::write("/sys/bus/scsi/drivers/sd/unbind", &address)?;
    told(&ctx.iscsi_login(&login)?, "no driver")?;
    ensure!(class("iscsi_session").len() == 1);
    fs::write("/sys/bus/scsi/drivers/sd/bind", &address)?;
    ensure!(count(&ctx.iscsi_login(&login)?) == 2, "{answer}");
    ctx.iscsi_logout()?;
    nothing_left()
}
