//! The test program: single cases, clean-up, bench. The harness calls it; people use `vm-harness/run`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use dm_tests::case::Skip;
use dm_tests::ctx::{Ctx, HOST_VARIABLE};
use dm_tests::leftovers::{self, Scope};
use dm_tests::{bench, boots, on_host, pack, power, registry};
use vm_harness::protocol::{SKIP_MARK, SKIP_STATUS};

fn main() -> ExitCode {
    // Where nothing can be linked to dynamically it is thinvol too, by that name, like a busybox.
    if std::env::args_os().next().is_some_and(|name| Path::new(&name).ends_with("thinvol")) {
        return cli::run::run(std::env::args_os(), None);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            if let Some(Skip(reason)) = error.downcast_ref() {
                println!("{SKIP_MARK}{reason}");
                return ExitCode::from(u8::try_from(SKIP_STATUS).unwrap_or(1));
            }
            println!("error: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<ExitCode> {
    let Some((verb, rest)) = arguments.split_first() else {
        bail!(
            "usage: dm-tests list | run CASE | clean | host FOLDER CASE... | bench [...] | boots PHASE | \
             power JOURNAL | pack FROM TO"
        );
    };
    match (verb.as_str(), rest) {
        ("list", []) => {
            let cases: Vec<_> = registry::all().iter().map(registry::info).collect();
            println!("{}", serde_json::to_string(&cases)?);
        }
        ("run", [name]) => {
            let case = registry::find(name).with_context(|| format!("no case {name}"))?;
            (case.run)(&Ctx::new(&case_folder()?)?)?;
        }
        ("clean", []) => clean()?,
        ("host", [folder, names @ ..]) => return on_host::run(Path::new(folder), names),
        ("bench", rest) => bench::run(rest)?,
        ("boots", [phase]) => boots::run(phase)?,
        ("power", [journal]) => power::run(Path::new(journal))?,
        ("pack", [from, to]) => pack::run(Path::new(from), Path::new(to))?,
        _ => bail!("dm-tests does not understand {arguments:?}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn case_folder() -> Result<PathBuf> {
    std::env::var_os("THINVOL_CASE_DIR").map(PathBuf::from).context("THINVOL_CASE_DIR is not set")
}

fn clean() -> Result<()> {
    let scope = match std::env::var_os(HOST_VARIABLE) {
        Some(folder) => Scope::Folder(PathBuf::from(folder)),
        None => Scope::Guest,
    };
    for fault in leftovers::faults(&scope)? {
        println!("{fault}");
    }
    leftovers::remove(&scope)
}
