//! Runs cases on the kernel of this host. lvm2 gets a separate configuration in which it sees only loop devices.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use vm_harness::child;
use vm_harness::score::Score;

use crate::ctx::HOST_VARIABLE;
use crate::registry;

/// Environment of every case process; the harness of a guest sets none of it.
fn environment(folder: &Path) -> Result<Vec<(&'static str, String)>> {
    let lvm = folder.join("lvm");
    std::fs::create_dir_all(&lvm)?;
    let conf = "devices { global_filter = [ \"a|^/dev/loop[0-9]+$|\", \"r|.*|\" ] use_devicesfile = 0 }\n";
    std::fs::write(lvm.join("lvm.conf"), conf)?;
    Ok(vec![(HOST_VARIABLE, folder.display().to_string()), ("LVM_SYSTEM_DIR", lvm.display().to_string())])
}

/// Starts itself again with that environment if it does not have it yet; then runs the named cases and prints the
/// score.
pub fn run(folder: &Path, names: &[String]) -> Result<ExitCode> {
    if std::env::var_os(HOST_VARIABLE).is_none() {
        let status = std::process::Command::new(std::env::current_exe()?)
            .arg("host")
            .arg(folder)
            .args(names)
            .envs(environment(folder)?)
            .status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut score = Score::default();
    for name in names {
        let Some(case) = registry::find(name) else { bail!("no case {name}") };
        let result =
            child::run_case(&std::env::current_exe()?, &registry::info(&case), &folder.join("case"))?;
        score.add(&result);
        if !result.clean {
            println!("the host could not be cleaned up; stopping here");
            break;
        }
    }
    println!("{}", score.line());
    Ok(if score.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
