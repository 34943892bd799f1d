//! A running guest: it is booted, gets orders, reports, and is stopped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use vm_harness::protocol::{Order, Report, Tier};

use crate::accel::Accel;
use crate::image::Image;
use crate::initramfs;
use crate::payload::Payload;
use crate::qemu::{Console, Disks, Machine};
use crate::workspace::{RunFolder, Workspace};

/// Boot takes 5 to 30 s under emulation; more when others use the machine.
const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// Time beyond the limit of an order in which the agent kills, cleans up and reports.
pub const GRACE: Duration = Duration::from_secs(60);

/// How often to check whether a machine has ended.
const END_LOOK: Duration = Duration::from_millis(100);

/// Image and binaries, the same for all guests of a run.
pub struct Setup {
    /// Virtual processors of each guest. If emulated ones share a processor of the host, they only wait for each other.
    pub processors: usize,
    /// Kernel and disk.
    pub image: Image,
    /// Binaries.
    pub payload: Payload,
}

/// Why the guest did not answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    /// It did not answer in time.
    Hung,
    /// It ended: kernel panic, power off.
    Died,
}

/// A guest that has booted.
pub struct Guest {
    qemu: Child,
    orders: ChildStdin,
    reports: Receiver<String>,
    console: PathBuf,
    _run: RunFolder,
}

impl Guest {
    /// Boots a guest and waits until its agent is ready.
    pub fn boot(workspace: &Workspace, setup: &Setup, tier: Tier, accel: Accel) -> Result<Self> {
        Self::boot_within(workspace, setup, tier, accel, BOOT_LIMIT)
    }

    /// The same with another time limit.
    pub fn boot_within(
        workspace: &Workspace,
        setup: &Setup,
        tier: Tier,
        accel: Accel,
        limit: Duration,
    ) -> Result<Self> {
        Self::start(workspace, setup, (tier, accel), Disks::default(), limit)
    }

    /// Boots a guest of the full tier with more disks, which it may write to.
    pub fn boot_with(workspace: &Workspace, setup: &Setup, accel: Accel, disks: Disks<'_>) -> Result<Self> {
        Self::start(workspace, setup, (Tier::Full, accel), disks, BOOT_LIMIT)
    }

    fn start(
        workspace: &Workspace,
        setup: &Setup,
        (tier, accel): (Tier, Accel),
        disks: Disks<'_>,
        limit: Duration,
    ) -> Result<Self> {
        let run = workspace.run_folder()?;
        let run_name = run.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let console = workspace.logs().join(format!("console-{}-{run_name}.log", tier.name()));
        let (payload, initramfs) = stage(workspace, setup, tier, &run)?;
        let machine = Machine {
            image: &setup.image,
            tier,
            accel,
            processors: setup.processors,
            initramfs: &initramfs,
            payload: &payload,
            source: &workspace.root,
            out: &workspace.shared_out(),
            disks,
            console: Console::File(&console),
        };
        let errors = fs::File::create(workspace.logs().join(format!("qemu-{run_name}.log")))?;
        let mut qemu = machine
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .context("cannot start qemu-system-x86_64")?;
        let orders = qemu.stdin.take().context("no pipe to QEMU")?;
        let reports = read_lines(qemu.stdout.take().context("no pipe from QEMU")?);
        let mut guest = Guest { qemu, orders, reports, console, _run: run };
        match guest.report(limit) {
            Ok(Report::Ready { .. }) => Ok(guest),
            Ok(other) => bail!("the guest's first words were {other:?}"),
            Err(silence) => {
                bail!("the guest did not boot ({silence:?}); its last words:\n{}", guest.last_words())
            }
        }
    }

    /// Sends an order.
    pub fn order(&mut self, order: &Order) -> Result<()> {
        let line = serde_json::to_string(order)? + "\n";
        self.orders.write_all(line.as_bytes()).context("the guest takes no more orders")
    }

    /// The next report; waits as long as an order with this limit may take, plus `grace`.
    pub fn report_within(&mut self, limit_s: u64, grace: Duration) -> Result<Report, Silence> {
        self.report(Duration::from_secs(limit_s) + grace)
    }

    /// The next report, if one comes in time.
    pub fn report(&mut self, limit: Duration) -> Result<Report, Silence> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.reports.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Err(Silence::Hung),
                Err(RecvTimeoutError::Disconnected) => return Err(Silence::Died),
            };
            // Anything else on this channel is QEMU's.
            if let Ok(report) = serde_json::from_str(&line) {
                return Ok(report);
            }
        }
    }

    /// Cuts the power. Returns output of the guest that was not read before.
    pub fn cut(mut self) -> String {
        // One that is dead already is as good.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        let mut printed = String::new();
        while let Ok(line) = self.reports.recv() {
            if let Ok(Report::Output { text }) = serde_json::from_str(&line) {
                printed.push_str(&text);
            }
        }
        printed
    }

    /// Waits until the machine has ended by itself, as after a reboot (QEMU is told to end then).
    ///
    /// # Errors
    /// If it has not by then.
    pub fn ended(mut self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.qemu.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(END_LOOK);
        }
        bail!("the machine does not end within {} s; its last words:\n{}", limit.as_secs(), self.last_words())
    }

    /// The end of the console.
    pub fn last_words(&self) -> String {
        let bytes = fs::read(&self.console).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n");
        format!("{tail}\n(the whole console: {})", self.console.display())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Nothing in the guest is worth a clean shutdown.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Boots a guest whose console is this terminal, and waits until it ends.
pub fn interactive(workspace: &Workspace, setup: &Setup, accel: Accel) -> Result<()> {
    let run = workspace.run_folder()?;
    let (payload, initramfs) = stage(workspace, setup, Tier::Full, &run)?;
    let machine = Machine {
        image: &setup.image,
        tier: Tier::Full,
        accel,
        processors: setup.processors,
        initramfs: &initramfs,
        payload: &payload,
        source: &workspace.root,
        out: &workspace.shared_out(),
        disks: Disks::default(),
        console: Console::Terminal,
    };
    let status = machine.command().status().context("cannot start qemu-system-x86_64")?;
    if !status.success() {
        bail!("QEMU ended with {status}");
    }
    Ok(())
}

fn stage(workspace: &Workspace, setup: &Setup, tier: Tier, run: &RunFolder) -> Result<(PathBuf, PathBuf)> {
    let payload = run.path().join("payload");
    fs::create_dir_all(&payload)?;
    setup.payload.stage(workspace, &payload)?;
    let initramfs: &Path = &run.path().join("initramfs");
    initramfs::write(workspace, &setup.image, tier, &setup.payload, initramfs)?;
    Ok((payload, initramfs.to_path_buf()))
}

fn read_lines(from: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}
