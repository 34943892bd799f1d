//! open-iscsi's daemon, which runs only while a case needs it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Ctx;

/// Where iscsiadm reaches iscsid, as `/proc/net/unix` shows it.
const SOCKET: &str = "@ISCSIADM_ABSTRACT_NAMESPACE";

/// How long the daemon may take to listen.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running iscsid; it is stopped when this is dropped, and its sessions stay.
pub struct Iscsid(Child);

impl Ctx {
    /// Starts iscsid and waits until it listens.
    pub fn iscsid(&self) -> Result<Iscsid> {
        println!("$ iscsid -f &");
        // When it is stopped it stops its whole process group.
        let child = Command::new("iscsid")
            .arg("-f")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start iscsid")?;
        let mut daemon = Iscsid(child);
        let deadline = Instant::now() + START_LIMIT;
        while !listens()? {
            if let Some(status) = daemon.0.try_wait()? {
                bail!("iscsid ended at once: {status}");
            }
            if Instant::now() >= deadline {
                bail!("iscsid does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(daemon)
    }
}

fn listens() -> Result<bool> {
    Ok(std::fs::read_to_string("/proc/net/unix")?.lines().any(|line| line.ends_with(SOCKET)))
}

impl Iscsid {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Iscsid {
    fn drop(&mut self) {
        let Ok(pid) = i32::try_from(self.0.id()) else { return };
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
