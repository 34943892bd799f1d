//! Fetches packages through a private apt: the machine's own settings, its sources with the wanted release in them, but
//! an empty list of installed packages and folders of our own, so that neither root nor a change to the machine is
//! needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages;
use crate::progress::Log;
use crate::suite::Suite;

/// Downloads the guest's packages into `folder`; returns the files.
pub fn download(suite: Suite, folder: &Path, log: &Log) -> Result<Vec<PathBuf>> {
    for sub in ["lists/partial", "archives/partial"] {
        std::fs::create_dir_all(folder.join(sub))?;
    }
    std::fs::write(folder.join("status"), "")?;
    let sources = suite.write_sources(folder)?;
    log.run(apt_get(folder, &sources).arg("update"))?;
    log.run(
        apt_get(folder, &sources)
            .args(["--yes", "--download-only", "--no-install-recommends", "install"])
            .args(packages::WANTED),
    )?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.join("archives"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The name of the package in a file that apt downloaded (`name_version_arch.deb`).
pub fn package_name(file: &Path) -> Result<&str> {
    file.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.split('_').next())
        .with_context(|| format!("{} is not named like a package", file.display()))
}

fn apt_get(folder: &Path, sources: &Path) -> Command {
    let mut command = Command::new("apt-get");
    let path = |name: &str| folder.join(name).display().to_string();
    for option in [
        format!("Dir::State={}", path("")),
        format!("Dir::State::status={}", path("status")),
        format!("Dir::State::lists={}", path("lists")),
        format!("Dir::Cache::archives={}", path("archives")),
        "Dir::Etc::sourcelist=/dev/null".into(),
        format!("Dir::Etc::sourceparts={}", sources.display()),
        // Index caches are not worth keeping for one run.
        "Dir::Cache::pkgcache=".into(),
        "Dir::Cache::srcpkgcache=".into(),
        // The `_apt` user cannot reach a private folder.
        format!("APT::Sandbox::User={}", std::env::var("USER").unwrap_or_else(|_| "root".into())),
        "APT::Get::Assume-Yes=true".into(),
        // Container images clean /var/cache/apt here; that is not ours to do.
        "APT::Update::Post-Invoke=true".into(),
        "Debug::NoLocking=true".into(),
    ] {
        command.args(["-o", &option]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    command
}

#[cfg(test)]
mod tests {
    use super::package_name;
    use std::path::Path;

    #[test]
    fn the_name_ends_at_the_first_underscore() {
        let file = Path::new("/x/libc6_2.36-9+deb12u14_amd64.deb");
        assert_eq!(package_name(file).unwrap(), "libc6");
    }
}
