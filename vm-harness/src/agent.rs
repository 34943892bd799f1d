//! The agent inside the virtual machine: takes orders from a virtio serial port and reports on it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::protocol::{Order, PORT_NAME, Report};
use crate::{child, stream};
use anyhow::{Context, Result, bail};

/// The program with the cases.
const CASES: &str = "dm-tests";

/// Where the files of cases are: in memory.
const FOLDER: &str = "/tmp/case";

/// Serves until the other end closes.
pub fn serve() -> Result<()> {
    let port = find_port()?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&port)
        .with_context(|| format!("cannot open {}", port.display()))?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    send(&mut file, &Report::Ready { kernel })?;
    let mut orders = BufReader::new(file.try_clone()?);
    let mut line = String::new();
    while orders.read_line(&mut line)? > 0 {
        let order = serde_json::from_str(&line).with_context(|| format!("not an order: {line}"))?;
        line.clear();
        match order {
            Order::Case(case) => {
                let result = child::run_case(Path::new(CASES), &case, Path::new(FOLDER))?;
                send(&mut file, &Report::Case(result))?;
            }
            Order::Exec { argv, limit_s } => stream::run(&argv, limit_s, |report| send(&mut file, &report))?,
        }
    }
    Ok(())
}

/// The device node of the port with our name; its number depends on the other virtio devices.
fn find_port() -> Result<PathBuf> {
    let ports = Path::new("/sys/class/virtio-ports");
    for entry in std::fs::read_dir(ports).context("the guest has no virtio serial ports")? {
        let entry = entry?;
        if std::fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT_NAME) {
            return Ok(Path::new("/dev").join(entry.file_name()));
        }
    }
    bail!("no virtio serial port is called {PORT_NAME}")
}

fn send(port: &mut File, report: &Report) -> Result<()> {
    let line = serde_json::to_string(report)? + "\n";
    port.write_all(line.as_bytes()).context("the harness does not listen any more")
}
