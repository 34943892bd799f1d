//! Asynchronous Messages of a target, and the supervisor's reaction. The kernel's target sends none; a relay in front
//! of it does.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::iscsi_daemons::{Supervisor, local_port};
use super::iscsi_sessions::{IQN, PORTAL, nothing_left, text, verified_io, wait_for_state};
use crate::case::{Case, Tier};
use crate::ctx::Ctx;
use crate::ctx::relay::Relay;

/// The cases of this file.
pub const LONG: &[Case] = &[Case {
    name: "iscsi_asked::the_supervisor_does_what_targets_ask_for",
    tier: Tier::Full,
    limit_s: 300,
    run: asked,
}];

/// Where the relay listens.
const RELAYED: &str = "127.0.0.1:3270";

/// Its port.
const RELAYED_PORT: u16 = 3270;

/// REPORTED LUNS DATA HAS CHANGED, with its length before it. Source: SPC-4 section 4.5.3.
const LUNS_CHANGED: [u8; 20] = [0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3f, 0x0e, 0, 0, 0, 0];

/// How long the supervisor may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn asked(ctx: &Ctx) -> Result<()> {
    let store = ctx.backstore("a", 64 << 20, 0xe1)?;
    let target = ctx.target(IQN, &[PORTAL])?;
    target.add_lun(0, &store)?;
    let relay = Relay::start(RELAYED, PORTAL)?;
    let _supervisor = Supervisor::start(ctx)?;
    let answer = ctx.iscsi_login(&format!("--portal {RELAYED} --target {IQN}"))?;
    let disk = text(&answer, "/sessions/0/luns/0/device")?.to_owned();
    let mut port = local_port(ctx, RELAYED_PORT)?;

    // SCSI has news: a LUN that came appears by itself.
    let second = ctx.backstore("b", 16 << 20, 0xe2)?;
    target.add_lun(1, &second)?;
    relay.async_message(0, [0; 3], &LUNS_CHANGED)?;
    let by_id = format!("/dev/disk/by-id/scsi-3{}", second.wwid.trim_start_matches("naa."));
    wait(|| Ok(std::path::Path::new(&by_id).exists()))?;

    // It wants to be logged out of, or to negotiate anew: there is another connection, and the disk is the same.
    for event in [1, 4] {
        relay.async_message(event, [0, 0, 3], &[])?;
        let before = port.clone();
        wait(|| Ok(local_port(ctx, RELAYED_PORT).is_ok_and(|now| now != before)))?;
        wait_for_state("LOGGED_IN")?;
        port = local_port(ctx, RELAYED_PORT)?;
        verified_io(ctx, &disk)?;
        ensure!(target.sessions()?.len() == 1, "{:?}", target.sessions()?);
    }

    // Mere announcements, and unknown events, change nothing.
    for event in [2, 3, 250] {
        relay.async_message(event, [0, 2, 2], &[])?;
    }
    verified_io(ctx, &disk)?;
    ensure!(local_port(ctx, RELAYED_PORT)? == port, "the session was disturbed");

    // What was announced comes.
    relay.drop_connection();
    let before = port.clone();
    wait(|| Ok(local_port(ctx, RELAYED_PORT).is_ok_and(|now| now != before)))?;
    wait_for_state("LOGGED_IN")?;
    verified_io(ctx, &disk)?;
    ctx.iscsi_logout()?;
    print!("{}", std::fs::read_to_string(ctx.dir().join("supervisor.log"))?);
    nothing_left()
}

fn wait(is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "it does not come in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
