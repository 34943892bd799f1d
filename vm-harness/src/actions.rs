//! What each verb of the command line does.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::accel::{self, Accel};
use crate::args::Action;
use crate::cases::{self, Wish};
use crate::cuts;
use crate::guest::{self, Setup};
use crate::image::Image;
use crate::payload::{Payload, Profile};
use crate::tier::Pool;
use crate::workspace::Workspace;
use crate::{checks, on_host, script};

/// A demo that takes longer than this hangs.
const STORY_LIMIT_S: u64 = 1200;

/// The same for a bench: with thousands of volumes lvm2 takes a minute for each command under emulation.
const BENCH_LIMIT_S: u64 = 4 * 3600;

/// Does it; an unsuccessful test or program is an exit code, not an error.
pub fn run(action: Action) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match action {
        Action::Demo => {
            let (setup, accel) = prepare(&workspace, Profile::Release, 1)?;
            exit_code(script::run(&workspace, &setup, accel, &["/src/vm-harness/demo.sh"], STORY_LIMIT_S)?)
        }
        Action::Bench { arguments } => {
            let (setup, accel) = prepare(&workspace, Profile::Release, 1)?;
            let mut argv = vec!["dm-tests", "bench"];
            argv.extend(arguments.iter().map(String::as_str));
            exit_code(script::run(&workspace, &setup, accel, &argv, BENCH_LIMIT_S)?)
        }
        Action::Cuts { cuts } => {
            let (setup, accel) = prepare(&workspace, Profile::Guest, 1)?;
            cuts::run(&workspace, &setup, accel, cuts)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Shell => {
            let (setup, accel) = prepare(&workspace, Profile::Guest, 1)?;
            guest::interactive(&workspace, &setup, accel)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Exec { limit, pool, script, words } => {
            let (setup, accel) = prepare(&workspace, Profile::Guest, 1)?;
            let line = command_line(&workspace, pool, script.as_deref(), &words)?;
            exit_code(script::run(&workspace, &setup, accel, &["bash", "-c", &line], limit)?)
        }
        Action::Test { host, jobs, long, filters } => {
            test(&workspace, jobs, Wish { filters: &filters, long, host })
        }
    }
}

/// What `jobs` guests at the same time are made from.
fn prepare(workspace: &Workspace, profile: Profile, jobs: usize) -> Result<(Setup, Accel)> {
    let image = Image::get(workspace)?;
    let payload = Payload::build(workspace, profile)?;
    let setup = Setup { processors: (processors() / jobs).max(1), image, payload };
    let accel = accel::choose(workspace, &setup)?;
    Ok((setup, accel))
}

fn test(workspace: &Workspace, jobs: Option<NonZeroUsize>, wish: Wish<'_>) -> Result<ExitCode> {
    let started = Instant::now();
    if wish.host {
        on_host::refuse()?;
    }
    let skipped = if wish.filters.is_empty() { checks::run(workspace)? } else { None };
    if wish.host {
        let payload = Payload::build(workspace, Profile::Guest)?;
        let cases = cases::list(&payload, wish)?;
        on_host::run(workspace, &payload, &cases)?;
    }
    let jobs = jobs.map_or_else(default_jobs, NonZeroUsize::get);
    let (setup, accel) = prepare(workspace, Profile::Guest, jobs)?;
    let cases = cases::list(&setup.payload, wish)?;
    let score = Pool { workspace, setup: &setup, accel, jobs }.run(&cases)?;
    if wish.long && wish.filters.is_empty() {
        cuts::run(workspace, &setup, accel, cuts::MANY)?;
    }
    eprintln!("all of it took {} s", started.elapsed().as_secs());
    skipped.iter().for_each(|what| println!("{what}"));
    println!("{}", score.line());
    Ok(if score.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// More than two guests at once have not been found to help.
fn default_jobs() -> usize {
    processors().min(2)
}

/// Processors of the host.
fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// The bash command line of `exec`. Scripts are addressed by their place in the source tree, which the guest
/// sees.
fn command_line(
    workspace: &Workspace,
    pool: bool,
    script: Option<&Path>,
    words: &[String],
) -> Result<String> {
    let mut line = String::new();
    if pool {
        line.push_str("/payload/pool && ");
    }
    let Some(script) = script else {
        return Ok(line + &words.join(" "));
    };
    let path = script.canonicalize().with_context(|| format!("cannot find {}", script.display()))?;
    let inside = path.strip_prefix(workspace.root.canonicalize()?).with_context(|| {
        format!("{} is not inside the source tree, the guest cannot see it", path.display())
    })?;
    line.push_str(&format!("bash {}", quoted(&format!("/src/{}", inside.display()))));
    for word in words {
        line.push(' ');
        line.push_str(&quoted(word));
    }
    Ok(line)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn exit_code(code: i32) -> Result<ExitCode> {
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}
