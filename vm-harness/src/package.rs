//! Debian packages of the program and of Proxmox VE's plugins, made by debhelper from `packaging/`, and what lintian
//! says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::progress::{Log, step};
use crate::workspace::Workspace;

/// The tree that debhelper works in, with what is made before.
struct Tree {
    folder: PathBuf,
}

/// Makes the packages with this program; returns their files.
pub fn build(workspace: &Workspace, program: &Path) -> Result<Vec<PathBuf>> {
    let above = workspace.target.join("vm/packages");
    step(workspace, "make the packages", |log| {
        fs::remove_dir_all(&above).ok();
        let tree = Tree { folder: above.join("tree") };
        tree.fill(workspace, program)?;
        let mut make = Command::new("dpkg-buildpackage");
        make.current_dir(&tree.folder).args(["--build=binary", "--no-sign"]);
        log.run(&mut make)
    })?;
    let entries = fs::read_dir(&above)?.collect::<Result<Vec<_>, _>>()?;
    let mut packages: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    packages.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    packages.sort();
    if packages.len() != 2 {
        bail!("{} packages were made instead of two", packages.len());
    }
    Ok(packages)
}

/// What lintian has to say of them, where it is installed; anything that is not overridden is an error.
pub fn lint(workspace: &Workspace, packages: &[PathBuf]) -> Result<()> {
    if Command::new("lintian").arg("--version").output().is_err() {
        println!("SKIPPED: lintian is not installed");
        return Ok(());
    }
    step(workspace, "lintian", |log: &Log| {
        let mut lintian = Command::new("lintian");
        // As root it says that it should not be; that is no finding.
        lintian.args(["--fail-on", "error,warning", "--allow-root", "--tag-display-limit", "0"]);
        log.run(lintian.args(packages))
    })
}

impl Tree {
    fn fill(&self, workspace: &Workspace, program: &Path) -> Result<()> {
        let root = &workspace.root;
        fs::create_dir_all(self.folder.join("completions"))?;
        copy(program, &self.folder.join("thinvol"))?;
        for (shell, name) in [("bash", "thinvol"), ("zsh", "_thinvol"), ("fish", "thinvol.fish")] {
            let made = Command::new(program).args(["completions", shell]).output()?;
            if !made.status.success() {
                bail!("thinvol completions {shell}: {}", made.status);
            }
            fs::write(self.folder.join("completions").join(name), made.stdout)?;
        }
        for name in ["LICENSE-APACHE", "LICENSE-MIT", "NOTICE", "README.md"] {
            copy(&root.join(name), &self.folder.join(name))?;
        }
        for (from, to) in [
            ("packaging/debian", "debian"),
            ("packaging/proxmox/perl5", "perl5"),
            ("docs/man", "man"),
            ("docs", "docs"),
        ] {
            let done =
                Command::new("cp").arg("-a").arg(root.join(from)).arg(self.folder.join(to)).status()?;
            if !done.success() {
                bail!("cannot copy {from}");
            }
        }
        copy(&root.join("packaging/proxmox/proxmox.conf"), &self.folder.join("proxmox.conf"))?;
        // A unit says where the program is; a package has it elsewhere.
        for (name, to) in [
            ("thinvol-recover.service", "debian/thinvol.thinvol-recover.service"),
            ("thinvol-iscsi.service", "debian/thinvol.thinvol-iscsi.service"),
            ("thinvol-login@.service", "debian/thinvol.thinvol-login@.service"),
            ("thinvol-before-activation.conf", "thinvol-before-activation.conf"),
        ] {
            let unit = fs::read_to_string(root.join("docs").join(name))?;
            let there = unit.replace("/usr/local/sbin/thinvol", "/usr/sbin/thinvol");
            let there: String = there
                .lines()
                .filter(|line| !line.contains("/etc/systemd/system"))
                .map(|line| format!("{line}\n"))
                .collect();
            fs::write(self.folder.join(to), there)?;
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display())).map(drop)
}
