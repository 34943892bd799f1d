//! The tests of Proxmox VE's plugins, which are Perl and need no machine.

use std::process::Command;

use anyhow::Result;

use crate::progress::step;
use crate::workspace::Workspace;

/// Runs them under taint checks, as Proxmox VE's daemons run. Returns their closing lines.
pub fn run(workspace: &Workspace) -> Result<String> {
    step(workspace, "prove -T", |log| {
        let mut prove = Command::new("prove");
        prove.current_dir(&workspace.root);
        prove.args([
            "-T",
            "-I",
            "dm-tests/proxmox/lib",
            "-I",
            "packaging/proxmox/perl5",
            "dm-tests/proxmox/t",
        ]);
        log.run(&mut prove)?;
        Ok(closing_lines(&String::from_utf8_lossy(&std::fs::read(log.path())?)))
    })
}

/// What `prove` says of each file, and of all.
fn closing_lines(log: &str) -> String {
    let wanted = |line: &&str| {
        line.starts_with("dm-tests/proxmox/t/")
            || line.starts_with("All tests ")
            || line.starts_with("Files=")
            || line.starts_with("Result: ")
    };
    log.lines().filter(wanted).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::closing_lines;

    #[test]
    fn closing_lines_are_those_of_prove() {
        let closing = "dm-tests/proxmox/t/a.t .. ok\nAll tests successful.\nFiles=1, Tests=2\nResult: PASS";
        assert_eq!(closing_lines(&format!("thinvol: x\n{closing}\n")), closing);
    }
}
