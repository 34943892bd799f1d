//! Measures iSCSI sessions beside iscsiadm and iscsid in one boot, without and with network delay: medians of wall
//! time, and, by packet capture, the time from the target's SYN-ACK to the first Login PDU.

mod capture;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::measure::median;
use crate::ctx::Ctx;
use crate::ctx::lio::LioTarget;
use capture::Capture;

/// Runs of each command; those of both sides alternate.
const RUNS: usize = 3;

/// Targets of the rows about many, each with one LUN.
const TARGETS: u64 = 16;

/// Round trips that the network is given besides its own, in milliseconds.
const DELAYS_MS: [u32; 2] = [0, 10];

const PORTAL: &str = "127.0.0.1:3260";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// How long a target is away where a connection is dropped.
const AWAY: Duration = Duration::from_millis(500);

/// One kind of work as both do it, and what comes after it: its end, if that has a name of its own in the table.
struct Work {
    name: String,
    end: Option<String>,
    iscsiadm: [String; 2],
    thinvol: [String; 2],
}

/// Runs the bench in this machine.
pub fn run() -> Result<()> {
    let ctx = Ctx::new(Path::new("/tmp/bench-iscsi"))?;
    let mut targets = Vec::new();
    for number in 0..TARGETS {
        let store = ctx.backstore(&format!("t{number}"), 4 << 20, 0x200 + number)?;
        let target = ctx.target(&iqn(number), &[PORTAL])?;
        target.add_lun(0, &store)?;
        targets.push(target);
    }
    let _iscsid = ctx.iscsid()?;
    quiet(&format!("iscsiadm -m discovery -t sendtargets -p {PORTAL}"))?;
    let _supervisor = supervisor()?;
    let first = targets.first().context("there are targets")?;
    for delay in DELAYS_MS {
        // Each packet is held back for half a round trip.
        quiet(&format!("tc qdisc replace dev lo root netem delay {}us", delay * 500))?;
        println!(
            "\n{:44} {:>9} {:>9} {:>7}",
            format!("medians of {RUNS}, round trip of {delay} ms and more"),
            "iscsiadm",
            "thinvol",
            "ratio"
        );
        for work in works() {
            let mut pairs = [Vec::new(), Vec::new()];
            for _ in 0..RUNS {
                let theirs = [quiet(&work.iscsiadm[0])?, quiet(&work.iscsiadm[1])?];
                let ours = [quiet(&work.thinvol[0])?, quiet(&work.thinvol[1])?];
                for (pairs, pair) in pairs.iter_mut().zip(theirs.into_iter().zip(ours)) {
                    pairs.push(pair);
                }
            }
            let [work_itself, its_end] = &pairs;
            show(&work.name, work_itself);
            if let Some(end) = &work.end {
                show(end, its_end);
            }
        }
        drops(first)?;
    }
    quiet("tc qdisc delete dev lo root")?;
    quiet("iscsiadm -m node -o delete").map(drop)
}

/// The rows about one session: how soon it logs in once it is connected, and how soon it is back after a drop.
fn drops(target: &LioTarget) -> Result<()> {
    let (mut until_login, mut until_back) = (Vec::new(), Vec::new());
    let one = |login: &str, logout: &str| -> Result<(Duration, Duration)> {
        let capture = Capture::start()?;
        quiet(login)?;
        let sent = capture.syn_ack_to_login()?;
        let back = reconnection(target)?;
        quiet(logout)?;
        Ok((sent, back))
    };
    for _ in 0..RUNS {
        let theirs = one(&theirs("--login"), &theirs("--logout"))?;
        let ours = one(&ours("login"), &ours("logout"))?;
        until_login.push((theirs.0, ours.0));
        until_back.push((theirs.1, ours.1));
    }
    show("from SYN-ACK to the first Login PDU", &until_login);
    show("back after a drop of half a second", &until_back);
    Ok(())
}

fn iqn(number: u64) -> String {
    format!("iqn.2025-01.test:t{number}")
}

fn theirs(operation: &str) -> String {
    let settle = if operation == "--login" { " && udevadm settle" } else { "" };
    format!("iscsiadm -m node -T {} -p {PORTAL} {operation}{settle}", iqn(0))
}

fn ours(verb: &str) -> String {
    let portal = if verb == "login" { format!(" --portal {PORTAL}") } else { String::new() };
    format!("thinvol iscsi {verb} --timeout {} --target {}{portal}", PATIENCE.as_secs(), iqn(0))
}

fn works() -> Vec<Work> {
    let patience = PATIENCE.as_secs();
    let all: String = (0..TARGETS).map(|number| format!(" --target {}", iqn(number))).collect();
    let login_all = format!("thinvol iscsi login --timeout {patience} --portal {PORTAL}{all}");
    let logout_all = format!("thinvol iscsi logout --timeout {patience} --all");
    let pair = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
    vec![
        Work {
            name: format!("discovery, {TARGETS} targets"),
            end: None,
            iscsiadm: [format!("iscsiadm -m discovery -t sendtargets -p {PORTAL}"), "true".into()],
            thinvol: [format!("thinvol iscsi discover {PORTAL}"), "true".into()],
        },
        Work {
            name: "login until the device is ready".into(),
            end: Some("logout".into()),
            iscsiadm: [theirs("--login"), theirs("--logout")],
            thinvol: [ours("login"), ours("logout")],
        },
        Work {
            name: format!("login of {TARGETS} targets in one command"),
            end: Some(format!("logout of {TARGETS} targets")),
            iscsiadm: pair("iscsiadm -m node --login && udevadm settle", "iscsiadm -m node --logout"),
            thinvol: [login_all, logout_all],
        },
    ]
}

/// Lets a target drop its connections for a while, and waits from its return until the session works again.
fn reconnection(target: &LioTarget) -> Result<Duration> {
    target.enable(false)?;
    wait_for("FAILED")?;
    std::thread::sleep(AWAY);
    target.enable(true)?;
    let started = Instant::now();
    wait_for("LOGGED_IN")?;
    Ok(started.elapsed())
}

/// Waits until the one session there is has this state.
fn wait_for(state: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let sessions = fs::read_dir("/sys/class/iscsi_session")?.flatten();
        let states: Vec<String> = sessions
            .filter_map(|session| fs::read_to_string(session.path().join("state")).ok())
            .map(|text| text.trim().to_owned())
            .collect();
        if states == [state] {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the session is {states:?}, not {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A supervisor beside the bench; it ends with this.
struct Supervisor(Child);

fn supervisor() -> Result<Supervisor> {
    let silent = || Stdio::null();
    let child = Command::new("thinvol")
        .args(["iscsi", "supervise"])
        .stdin(silent())
        .stdout(silent())
        .stderr(silent())
        .spawn()
        .context("cannot start the supervisor")?;
    Ok(Supervisor(child))
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a line that must succeed; returns how long it took.
fn quiet(line: &str) -> Result<Duration> {
    let started = Instant::now();
    let output = Command::new("bash").args(["-c", line]).stdin(Stdio::null()).output()?;
    let took = started.elapsed();
    ensure!(output.status.success(), "`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(took)
}

/// Prints the medians of pairs, theirs before ours.
fn show(name: &str, pairs: &[(Duration, Duration)]) {
    let side = |side: fn(&(Duration, Duration)) -> Duration| median(pairs.iter().map(side).collect());
    let (theirs, ours) = (side(|pair| pair.0).as_millis(), side(|pair| pair.1).as_millis());
    // Tenths without floating point: the numbers are small.
    let ratio = theirs.saturating_mul(10) / ours.max(1);
    println!("{name:44} {theirs:>6} ms {ours:>6} ms {:>5}.{}", ratio / 10, ratio % 10);
}
