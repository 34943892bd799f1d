//! Fetches packages through a private apt: the machine's own settings, its sources with the wanted release in them, but
//! an empty list of installed packages and folders of our own, so that neither root nor a change to the machine is
//! needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::progress::Log;
use crate::suite::Suite;

/// The names of the guest's package files today; they contain the versions.
pub fn current(suite: Suite, folder: &Path, log: &Log) -> Result<Vec<String>> {
    let sources = prepare(suite, folder, log)?;
    let output =
        install(suite, folder, &sources).arg("--print-uris").output().context("cannot start apt-get")?;
    if !output.status.success() {
        bail!("apt-get --print-uris: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    files(&String::from_utf8_lossy(&output.stdout))
}

/// Downloads the guest's packages into `folder`; returns the files.
pub fn download(suite: Suite, folder: &Path, log: &Log) -> Result<Vec<PathBuf>> {
    let sources = prepare(suite, folder, log)?;
    log.run(install(suite, folder, &sources).args(["--yes", "--download-only"]))?;
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

/// Makes the folders of a private apt and fetches the package lists; returns the folder of the sources.
fn prepare(suite: Suite, folder: &Path, log: &Log) -> Result<PathBuf> {
    for sub in ["lists/partial", "archives/partial"] {
        std::fs::create_dir_all(folder.join(sub))?;
    }
    std::fs::write(folder.join("status"), "")?;
    let sources = suite.write_sources(folder)?;
    log.run(apt_get(folder, &sources).args(["--error-on=any", "update"]))?;
    Ok(sources)
}

fn install(suite: Suite, folder: &Path, sources: &Path) -> Command {
    let mut command = apt_get(folder, sources);
    command.args(["--no-install-recommends", "install"]).args(packages::WANTED).args(suite.own_packages());
    command
}

/// The names in the output of `--print-uris`: the address in quotes, the name, the size, the checksum.
fn files(text: &str) -> Result<Vec<String>> {
    let lines = text.lines().filter(|line| line.starts_with('\''));
    let mut names: Vec<String> =
        lines.filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("apt-get names no package of the guest");
    }
    names.sort();
    Ok(names)
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
    use super::{files, package_name};
    use std::path::Path;

    #[test]
    fn the_name_ends_at_the_first_underscore() {
        let file = Path::new("/x/libc6_2.36-9+deb12u14_amd64.deb");
        assert_eq!(package_name(file).unwrap(), "libc6");
    }

    #[test]
    fn files_are_named_as_in_the_archive() {
        let text = "Reading package lists...\n\
                    'http://a/l/lvm2_2.03.16-2_amd64.deb' lvm2_2.03.16-2_amd64.deb 1 SHA256:0\n\
                    'http://a/d/dmsetup_2%3a1.02.185-2_amd64.deb' dmsetup_2%3a1.02.185-2_amd64.deb 2 SHA256:1\n";
        assert_eq!(files(text).unwrap(), ["dmsetup_2%3a1.02.185-2_amd64.deb", "lvm2_2.03.16-2_amd64.deb"]);
        assert!(files("Reading package lists...\n").is_err());
    }
}
