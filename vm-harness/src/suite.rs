//! The release of Debian that the guest is made of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where apt keeps the machine's own sources.
const APT_FOLDER: &str = "/etc/apt";

/// A release of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// Debian 12: lvm2 2.03.16, Linux 6.1. Proxmox VE 8 stands on it.
    Bookworm,
    /// Debian 13: lvm2 2.03.31, Linux 6.12. Proxmox VE 9 stands on it.
    Trixie,
}

impl Suite {
    /// Its name in the archive.
    pub fn codename(self) -> &'static str {
        match self {
            Suite::Bookworm => "bookworm",
            Suite::Trixie => "trixie",
        }
    }

    /// Packages of the guest that not every release has.
    pub fn own_packages(self) -> &'static [&'static str] {
        match self {
            Suite::Bookworm => &[],
            Suite::Trixie => &["vdo"],
        }
    }

    /// Modules of the guest that not every release's kernel has.
    pub fn own_modules(self) -> &'static [&'static str] {
        match self {
            Suite::Bookworm => &[],
            Suite::Trixie => &["dm-vdo"],
        }
    }

    /// Writes the machine's own sources of Debian, with this release in place of the machine's, into `folder`. Returns
    /// the folder for apt's `Dir::Etc::sourceparts`.
    pub fn write_sources(self, folder: &Path) -> Result<PathBuf> {
        let own = codename(&fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?)?;
        let parts = folder.join("sources");
        fs::create_dir_all(&parts)?;
        let mut found = 0;
        for file in source_files(Path::new(APT_FOLDER))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let is_list = file.extension().is_some_and(|extension| extension == "list");
            let kept = if is_list { of_list(&text, &own, self) } else { of_stanzas(&text, &own, self) };
            if !kept.is_empty() {
                let name = file.file_name().context("a file has a name")?;
                fs::write(parts.join(name), kept)?;
                found += 1;
            }
        }
        if found == 0 {
            bail!("no source of Debian {own} in {APT_FOLDER}: the guest's packages have no source");
        }
        Ok(parts)
    }
}

fn codename(os_release: &str) -> Result<String> {
    let name = os_release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name
        .context("/etc/os-release has no VERSION_CODENAME: this is not Debian")?
        .trim_matches('"')
        .to_owned())
}

fn source_files(apt: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        [apt.join("sources.list")].into_iter().filter(|file| file.is_file()).collect();
    for entry in fs::read_dir(apt.join("sources.list.d")).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "list" || extension == "sources") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `bookworm`, `bookworm-updates` and `bookworm-security` of one release, named for another.
fn renamed(suite: &str, from: &str, to: Suite) -> Option<String> {
    let rest = suite.strip_prefix(from)?;
    matches!(rest, "" | "-updates" | "-security").then(|| format!("{}{rest}", to.codename()))
}

/// Source: sources.list(5), the one-line format: `deb [options] uri suite component…`.
fn of_list(text: &str, from: &str, to: Suite) -> String {
    let rename = |line: &str| {
        let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let uri = words.iter().position(|word| word.contains("://"))?;
        let suite = words.get_mut(uri + 1)?;
        *suite = renamed(suite, from, to)?;
        let is_main = words.iter().skip(uri + 2).any(|component| component == "main");
        (words.first()? == "deb" && is_main).then(|| words.join(" ") + "\n")
    };
    text.lines().filter_map(rename).collect()
}

/// Source: sources.list(5), the deb822 format: stanzas of fields, with an empty line between two.
fn of_stanzas(text: &str, from: &str, to: Suite) -> String {
    let rename = |stanza: &str| {
        let mut has_suite = false;
        let mut lines = Vec::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            let Some(suites) = line.strip_prefix("Suites:") else {
                lines.push(line.to_owned());
                continue;
            };
            let suites: Vec<String> =
                suites.split_whitespace().filter_map(|suite| renamed(suite, from, to)).collect();
            has_suite |= !suites.is_empty();
            lines.push(format!("Suites: {}", suites.join(" ")));
        }
        let is_main = lines.iter().any(|line| {
            line.strip_prefix("Components:")
                .is_some_and(|rest| rest.split_whitespace().any(|word| word == "main"))
        });
        (has_suite && is_main).then(|| lines.join("\n") + "\n\n")
    };
    text.split("\n\n").filter_map(rename).collect()
}

#[cfg(test)]
mod tests {
    use super::{Suite, codename, of_list, of_stanzas};

    #[test]
    fn one_line_sources_are_named_for_the_other_release() {
        let text = "# deb http://a/debian bookworm main\n\
                    deb [signed-by=/k.gpg] http://a/debian bookworm main contrib\n\
                    deb http://a/debian-security bookworm-security main\n\
                    deb http://b/other stable main\ndeb-src http://a/debian bookworm main\n\
                    deb http://b/tool tool-bookworm main\n";
        assert_eq!(
            of_list(text, "bookworm", Suite::Trixie),
            "deb [signed-by=/k.gpg] http://a/debian trixie main contrib\n\
             deb http://a/debian-security trixie-security main\n"
        );
    }

    #[test]
    fn stanzas_are_named_for_the_other_release_and_foreign_ones_left_out() {
        let text = "Types: deb\n# http://a/b\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\n\
                    Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://b/node\nSuites: nodistro\n\
                    Components: main\n";
        assert_eq!(
            of_stanzas(text, "bookworm", Suite::Trixie),
            "Types: deb\nURIs: http://a/debian\nSuites: trixie trixie-updates\nComponents: main\n\
             Signed-By: /k.gpg\n\n"
        );
    }

    #[test]
    fn the_own_release_is_read_with_and_without_quotes() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").unwrap(), "bookworm");
        assert_eq!(codename("VERSION_CODENAME=\"trixie\"\n").unwrap(), "trixie");
        assert!(codename("ID=other\n").is_err());
    }
}
