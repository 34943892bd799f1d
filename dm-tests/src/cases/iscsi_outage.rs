//! Connections that are lost while much else goes on.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::iscsi_daemons::Supervisor;
use super::iscsi_sessions::{IQN, PORTAL, nothing_left, text, verified_io, wait_for_state};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const LONG: &[Case] = &[
    Case {
        name: "iscsi_outage::looks_at_luns_keep_nothing_waiting",
        tier: Tier::Full,
        limit_s: 300,
        run: looks,
    },
    Case { name: "iscsi_outage::the_target_says_how_long", tier: Tier::Full, limit_s: 300, run: waits },
    Case { name: "iscsi_outage::secrets_are_kept_in_memory", tier: Tier::Full, limit_s: 300, run: secrets },
];

/// LUNs are looked at all the time, while the target goes and comes back: a look waits for the connection, and must not
/// keep it from being replaced before I/O fails.
fn looks(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 64 << 20, 0x95)?)?;
    target.add_lun(1, &ctx.backstore("b", 16 << 20, 0x96)?)?;
    target.parameter("DefaultTime2Wait", "0")?;
    let _supervisor = Supervisor::start(ctx)?;
    let answer = ctx.iscsi_login(&format!("--portal {PORTAL} --target {IQN} --replacement-timeout 15"))?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // One that is not done in time says so; it is the I/O that counts.
                    let _ = ctx.thinvol("iscsi rescan --timeout 60");
                }
            });
        }
        let io = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                verified_io(ctx, &disk)?;
            }
            anyhow::Ok(())
        });
        let outcome = (|| {
            for _ in 0..4 {
                std::thread::sleep(Duration::from_millis(700));
                target.enable(false)?;
                wait_for_state("FAILED")?;
                std::thread::sleep(Duration::from_millis(500));
                target.enable(true)?;
                let started = Instant::now();
                wait_for_state("LOGGED_IN")?;
                println!("connected again {:?} after the target was back", started.elapsed());
            }
            anyhow::Ok(())
        })();
        is_over.store(true, Ordering::Relaxed);
        let io = io.join().map_err(|_| anyhow::anyhow!("the I/O panicked"))?;
        outcome.and(io)
    })?;
    print!("{}", fs::read_to_string(ctx.dir().join("supervisor.log"))?);
    ctx.iscsi_logout()?;
    nothing_left()
}

/// Time2Wait as it was agreed on is obeyed, by the supervisor and by a login.
fn waits(ctx: &Ctx) -> Result<()> {
    const WAIT: Duration = Duration::from_secs(4);
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 64 << 20, 0x97)?)?;
    target.parameter("DefaultTime2Wait", &WAIT.as_secs().to_string())?;
    let login = format!("--portal {PORTAL} --target {IQN}");
    let answer = ctx.iscsi_login(&login)?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let lose = || {
        let lost = Instant::now();
        target.enable(false)?;
        wait_for_state("FAILED")?;
        target.enable(true)?;
        anyhow::Ok(lost)
    };
    let lost = lose()?;
    ctx.iscsi_login(&login)?;
    ensure!(lost.elapsed() >= WAIT, "a login came back after {:?}", lost.elapsed());
    let _supervisor = Supervisor::start(ctx)?;
    let lost = lose()?;
    wait_for_state("LOGGED_IN")?;
    ensure!(lost.elapsed() >= WAIT, "the supervisor came back after {:?}", lost.elapsed());
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    nothing_left()
}

/// The file with the secrets may be out of reach when they are needed; new ones are found when the old are refused.
fn secrets(ctx: &Ctx) -> Result<()> {
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &ctx.backstore("a", 64 << 20, 0x98)?)?;
    target.demand_chap(("user1", "secretsecret1"), None)?;
    let file = ctx.dir().join("chap");
    fs::write(&file, "user = user1\nsecret = secretsecret1\n")?;
    ctx.ok(&format!("chmod 600 {}", file.display()))?;
    let _supervisor = Supervisor::start(ctx)?;
    let login = format!("--portal {PORTAL} --target {IQN} --chap-file {}", file.display());
    let answer = ctx.iscsi_login(&login)?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    // The supervisor has had a look at it.
    std::thread::sleep(Duration::from_secs(5));
    fs::remove_file(&file)?;
    target.enable(false)?;
    wait_for_state("FAILED")?;
    target.enable(true)?;
    wait_for_state("LOGGED_IN")?;
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    nothing_left()
}
