//! `thinvol --version`.

use std::io::{self, Write};

use serde::Serialize;

use super::output::Answer;

/// What this binary is.
#[derive(Debug, Serialize)]
pub struct Version {
    name: &'static str,
    version: &'static str,
    udev: bool,
    target: String,
    lvm2_at_least: &'static str,
}

impl Version {
    /// The facts of this build.
    pub fn of_this_build() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            udev: cfg!(feature = "udev"),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            lvm2_at_least: "2.03.16",
        }
    }
}

impl Answer for Version {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{} {}", self.name, self.version)
    }
}
