//! Cuts the power of a machine at work, boots it again on the same disk, and checks what was reported.
//!
//! The disk has a write cache, which a cut empties: what the guest has not flushed by then is there or not, sector by
//! sector.

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use vm_harness::lossy::LossyDisk;
use vm_harness::nbd::Server;
use vm_harness::power::{Journal, WORKING, reported};
use vm_harness::protocol::{Order, Report};

use crate::accel::Accel;
use crate::guest::{Guest, Setup, Silence};
use crate::qemu::Disks;
use crate::workspace::Workspace;

/// Number of cuts in a run of all checks with the long cases.
pub const MANY: u32 = 50;

/// Size of the disk that outlives the machine.
const DISK_BYTES: u64 = 1 << 30;

/// How long to wait for a moment at which something is not flushed.
const DIRTY_WAIT: Duration = Duration::from_secs(5);

/// How long checking may take before the work begins.
const CHECK_LIMIT_S: u64 = 600;

/// When the power is cut after the work has begun, in milliseconds: between the first number and the sum of both.
const SHORTEST_MS: u64 = 1500;
const SPREAD_MS: u64 = 12_000;

/// What happens to unflushed writes when the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unflushed {
    /// They are kept or lost, drawn from this seed.
    Drawn(u64),
    /// They are kept: the cache of the disk outlives the machine.
    Kept,
}

/// A seed from the clock.
pub fn seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Boots `cuts` + 1 times, so that the state after the last cut is checked, too.
///
/// # Errors
/// What was reported and is not true, or a machine that does not boot.
pub fn run(
    workspace: &Workspace,
    setup: &Setup,
    accel: Accel,
    (cuts, unflushed): (u32, Unflushed),
) -> Result<()> {
    let folder = workspace.run_folder()?;
    let open = || {
        fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(folder.path().join("disk"))
    };
    let disk = Arc::new(LossyDisk::new(open()?, DISK_BYTES)?);
    let server = Server::start(Arc::clone(&disk), &std::env::temp_dir().join(socket_name()))?;
    match unflushed {
        Unflushed::Drawn(seed) => eprintln!("  cuts take what is not flushed, drawn from --seed {seed}"),
        Unflushed::Kept => eprintln!("  cuts leave what is not flushed"),
    }
    let shared = format!("power-{}.json", std::process::id());
    let journal_file = workspace.shared_out().join(&shared);
    let mut journal = Journal::default();
    let mut reports = 0;
    for cut in 0..=cuts {
        journal.with_lvm2 = unflushed == Unflushed::Kept;
        fs::File::create(&journal_file)?.write_all(serde_json::to_string(&journal)?.as_bytes())?;
        let mut guest = {
            let disks = Disks { served: Some(server.path()), ..Disks::default() };
            Guest::boot_with(workspace, setup, accel, disks)?
        };
        let argv = ["dm-tests", "power", &format!("/out/{shared}")].map(str::to_owned).to_vec();
        guest.order(&Order::Exec { argv, limit_s: CHECK_LIMIT_S })?;
        let mut printed = work(&mut guest, cut, cut == cuts).with_context(|| format!("{unflushed:?}"))?;
        // The power goes here: nothing is synced, no process is told. Mostly all is flushed; a moment when something is
        // not tells more.
        let soon = Instant::now() + DIRTY_WAIT;
        while !disk.is_dirty() && Instant::now() < soon {
            std::thread::sleep(Duration::from_micros(200));
        }
        printed.push_str(&guest.cut());
        match unflushed {
            Unflushed::Drawn(seed) => {
                let left = disk.cut(seed.wrapping_add(u64::from(cut)))?;
                eprintln!(
                    "        of what was not flushed {} sectors are there, {} are not",
                    left.kept, left.lost
                );
            }
            Unflushed::Kept => disk.flush()?,
        }
        journal = reported(cut + 1, &printed);
        reports += journal.there.len() + journal.gone.len();
        if cut > 0 {
            eprintln!("  ok    checked after cut {cut} of {cuts}");
        }
    }
    fs::remove_file(&journal_file)?;
    println!("power cuts ({unflushed:?}): {cuts}, after which {reports} reported changes were so");
    Ok(())
}

/// A name that no other run has.
fn socket_name() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("thinvol-disk-{}-{number}", std::process::id())
}

/// The output of the guest until its power is cut; the last guest only checks.
fn work(guest: &mut Guest, cut: u32, is_last: bool) -> Result<String> {
    let mut printed = String::new();
    let mut end = Instant::now() + Duration::from_secs(CHECK_LIMIT_S);
    let mut working = false;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match guest.report(left) {
            Ok(Report::Output { text }) => printed.push_str(&text),
            Ok(Report::Exit { code }) => bail!("the work ended with status {code}:\n{printed}"),
            Ok(other) => bail!("the guest answered {other:?} to a program"),
            Err(Silence::Hung) if working => return Ok(printed),
            Err(silence) => bail!("{silence:?} before its time: {printed}\n{}", guest.last_words()),
        }
        if !working && printed.lines().any(|line| line == WORKING) {
            if is_last {
                return Ok(String::new());
            }
            working = true;
            // Different moments, the same ones each time.
            let delay = SHORTEST_MS + u64::from(cut).wrapping_mul(7919) % SPREAD_MS;
            end = Instant::now() + Duration::from_millis(delay);
        }
    }
}
