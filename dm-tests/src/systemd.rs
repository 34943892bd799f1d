//! systemd as the first process of its own namespaces: it starts units as on a host, while the machine itself runs
//! without systemd. Its programs are in a separate folder that only these namespaces see.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::ctx::Ctx;

/// How long systemd may take to answer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Targets that our units name. It gets only these units, so that nothing else of a host is started.
const TARGETS: [&str; 8] = [
    "sysinit.target",
    "basic.target",
    "shutdown.target",
    "network.target",
    "local-fs.target",
    "multi-user.target",
    "remote-fs-pre.target",
    "cases.target",
];

/// Prepares the namespaces for systemd: its programs, a process table, separate folders, and the control groups. `/run`
/// is that of the machine, with LVM's locks and udev's records.
const NAMESPACES: &str = "set -e; \
    mount -t overlay overlay -o lowerdir=/opt/systemd/usr:/usr /usr; \
    mount -t proc proc /proc; \
    mount --bind /run /run; mkdir -p /run/systemd; mount -t tmpfs tmpfs /run/systemd; \
    mkdir -p /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; \
    export container=cases SYSTEMD_UNIT_PATH=$1; \
    exec /usr/lib/systemd/systemd --system --unit=cases.target --log-target=console --show-status=false";

/// A running systemd with the project's units; it is stopped when this is dropped.
pub struct Systemd<'a> {
    ctx: &'a Ctx,
    /// The names of its units.
    units: Vec<&'a str>,
    child: Child,
    /// The process id of systemd outside of its namespaces.
    pid: String,
}

impl<'a> Systemd<'a> {
    /// Starts it with these units, `thinvol-<name>.service`, and waits until it answers.
    ///
    /// # Errors
    /// If it does not.
    pub fn start(ctx: &'a Ctx, units: &[(&'a str, &str)]) -> Result<Self> {
        let folder = ctx.dir().join("units");
        fs::create_dir_all(&folder)?;
        for target in TARGETS {
            fs::write(folder.join(target), format!("[Unit]\nDescription={target}\n"))?;
        }
        for (name, text) in units {
            fs::write(folder.join(format!("thinvol-{name}.service")), text)?;
            let more = folder.join(format!("thinvol-{name}.service.d"));
            fs::create_dir_all(&more)?;
            let log = ctx.dir().join(format!("{name}.log"));
            fs::write(&log, "")?;
            fs::write(more.join("log.conf"), format!("[Service]\nStandardError=append:{}\n", log.display()))?;
        }
        // The place that the units name.
        ctx.shell("mkdir -p /usr/local/sbin; ln -sf ../bin/thinvol /usr/local/sbin/thinvol")?;
        let said = fs::File::create(ctx.dir().join("systemd.log"))?;
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "slave", "--pid", "--cgroup", "--fork", "--kill-child"])
            .args(["sh", "-c", NAMESPACES, "sh"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("cannot start unshare")?;
        let names = units.iter().map(|(name, _)| *name).collect();
        let mut this = Self { ctx, units: names, child, pid: String::new() };
        let deadline = Instant::now() + START_LIMIT;
        loop {
            this.pid = ctx.sh("pgrep -x systemd")?.stdout.trim().to_owned();
            if !this.pid.is_empty() && this.ask("list-units")?.status == 0 {
                return Ok(this);
            }
            ensure!(Instant::now() < deadline, "systemd does not answer: {}", this.said()?);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs systemctl with these words, which must succeed.
    ///
    /// # Errors
    /// The output of systemd and of the units.
    pub fn ctl(&self, words: &str) -> Result<String> {
        let ran = self.ask(words)?;
        if ran.status == 0 {
            return Ok(ran.stdout);
        }
        let unit = words.split(' ').next_back().unwrap_or_default();
        let shown = self.ask(&format!("status --no-pager {unit}"))?.stdout;
        bail!("systemctl {words}: {}\n{shown}\n{}\n{}", ran.stderr, self.logs()?, self.said()?)
    }

    /// `/proc/<pid>/status` of a unit's main process, which must have a filter of system calls.
    ///
    /// # Errors
    /// If there is none, or no filter.
    pub fn status_of(&self, name: &str) -> Result<String> {
        let shown = self.ctl(&format!("show --property=MainPID --value thinvol-{name}.service"))?;
        let status = self.inside(&format!("cat /proc/{}/status", shown.trim()))?.stdout;
        ensure!(status.lines().any(|line| line == "Seccomp:\t2"), "no filter in {status}");
        Ok(status)
    }

    /// What the units' programs wrote to standard error.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn logs(&self) -> Result<String> {
        self.units.iter().map(|name| Ok(fs::read_to_string(self.file(&format!("{name}.log")))?)).collect()
    }

    fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(self.file("systemd.log"))?)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.ctx.dir().join(name)
    }

    fn ask(&self, words: &str) -> Result<crate::ctx::Ran> {
        self.inside(&format!("systemctl {words}"))
    }

    fn inside(&self, line: &str) -> Result<crate::ctx::Ran> {
        self.ctx.sh(&format!("nsenter --target {} --mount --pid {line}", self.pid))
    }
}

impl Drop for Systemd<'_> {
    fn drop(&mut self) {
        // What it has started goes with the first process of its namespace.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
