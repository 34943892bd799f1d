//! What each verb of the command line does.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use vm_harness::protocol::CaseInfo;
use vm_harness::score::Score;

use crate::accel::Accel;
use crate::args::{Action, Args};
use crate::cases::{self, CaseSelection};
use crate::cuts::{self, Unflushed};
use crate::guest::{self, Setup};
use crate::image::Image;
use crate::kvm;
use crate::payload::{Contents, Payload};
use crate::progress::step;
use crate::rotation::Record;
use crate::script::Script;
use crate::suite::Suite;
use crate::tier::Pool;
use crate::workspace::Workspace;
use crate::{boots, checks, on_host, other_release, package as packages, script, transcript};

/// Time limit of the demo, in seconds: if it takes longer, it hangs.
const DEMO: Script<'static> = Script { argv: &["/src/vm-harness/demo.sh"], limit_s: 1200 };

/// Time limit of the packages being installed, upgraded, removed and purged.
const LIFE_OF_PACKAGES: Script<'static> =
    Script { argv: &["/src/dm-tests/proxmox/packages.sh"], limit_s: 600 };

/// The same for a bench: with thousands of volumes lvm2 takes a minute for each command under emulation.
const BENCH_LIMIT_S: u64 = 4 * 3600;

/// The release on which each run tries a sample of the cases.
const OTHER_RELEASE: Suite = Suite::Trixie;

/// The word for the bench that counts instructions; it needs a machine with such a clock.
const COUNTING: &str = "instructions";

/// Carries out a verb; a failed test or program is an exit code, not an error.
pub fn run(Args { suite, action }: Args) -> Result<ExitCode> {
    let workspace = Workspace::find(suite)?;
    match action {
        Action::Demo => {
            let (setup, accel) = prepare(&workspace, Contents::Program, 1)?;
            run_script(&workspace, &setup, accel, DEMO)
        }
        Action::Bench { arguments } => {
            let is_counting = arguments.first().is_some_and(|first| first == COUNTING);
            let (setup, accel) = if is_counting {
                (gather(&workspace, Contents::Bench, 1)?, Accel::Counting)
            } else {
                prepare(&workspace, Contents::Bench, 1)?
            };
            let mut argv = vec!["dm-tests", "bench"];
            argv.extend(arguments.iter().map(String::as_str));
            run_script(&workspace, &setup, accel, Script { argv: &argv, limit_s: BENCH_LIMIT_S })
        }
        Action::Cuts { cuts, kept, seed } => {
            let (setup, accel) = prepare(&workspace, Contents::Cases, 1)?;
            let unflushed =
                if kept { Unflushed::Kept } else { Unflushed::Drawn(seed.unwrap_or_else(cuts::seed)) };
            cuts::run(&workspace, &setup, accel, (cuts, unflushed))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Boots => {
            boot(&workspace)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Package { quick } => package(&workspace, quick),
        Action::Shell => {
            let (setup, accel) = prepare(&workspace, Contents::Program, 1)?;
            guest::interactive(&workspace, &setup, accel)?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Exec { limit, pool, cases, script, words } => {
            let contents = if cases { Contents::Cases } else { Contents::Program };
            let (setup, accel) = prepare(&workspace, contents, 1)?;
            let line = command_line(&workspace, pool, script.as_deref(), &words)?;
            run_script(&workspace, &setup, accel, Script { argv: &["bash", "-c", &line], limit_s: limit })
        }
        Action::Test { host, jobs, long, turn, filters } => {
            test(&workspace, jobs, turn, CaseSelection { filters: &filters, long, host })
        }
    }
}

/// The parts that up to `jobs` guests at the same time are started from.
fn prepare(workspace: &Workspace, contents: Contents, jobs: usize) -> Result<(Setup, Accel)> {
    let setup = gather(workspace, contents, (processors() / jobs).max(1))?;
    let accel = kvm::choose(workspace, &setup)?;
    Ok((setup, accel))
}

/// Image and payload of guests. The image mostly waits for downloads, so both are built at the same time.
fn gather(workspace: &Workspace, contents: Contents, processors: usize) -> Result<Setup> {
    let (image, payload) = std::thread::scope(|scope| {
        let image = scope.spawn(|| Image::get(workspace));
        let payload = Payload::build(workspace, contents);
        (image.join().unwrap_or_else(|_| Err(anyhow!("a thread of the harness panicked"))), payload)
    });
    Ok(Setup { processors, image: image?, payload: payload? })
}

fn test(
    workspace: &Workspace,
    jobs: Option<NonZeroUsize>,
    turn: bool,
    wish: CaseSelection<'_>,
) -> Result<ExitCode> {
    let started = Instant::now();
    if wish.host {
        on_host::refuse()?;
    }
    let skipped = if wish.filters.is_empty() { checks::run(workspace)? } else { None };
    if wish.host {
        let payload = Payload::build(workspace, Contents::Cases)?;
        let cases = cases::list(&payload, wish, |_| Vec::new())?;
        on_host::run(workspace, &payload, &cases)?;
    }
    let jobs = jobs.map_or_else(default_jobs, NonZeroUsize::get);
    let (setup, accel) = prepare(workspace, Contents::Cases, jobs)?;
    let mut record = Record::read(workspace);
    let mut all_cases = Vec::new();
    let cases = cases::list(&setup.payload, wish, |all| {
        all_cases = all.to_vec();
        if turn { record.share(all, &workspace.root) } else { Vec::new() }
    })?;
    let (mut score, results) = Pool { workspace, setup: &setup, accel, jobs }.run(&cases)?;
    record.keep(&cases, &results)?;
    if wish.filters.is_empty() && workspace.suite != OTHER_RELEASE {
        score.merge(on_the_other_release(workspace, wish, &all_cases, jobs)?);
    }
    if wish.long && wish.filters.is_empty() {
        for unflushed in [Unflushed::Drawn(cuts::seed()), Unflushed::Kept] {
            cuts::run(workspace, &setup, accel, (cuts::MANY / 2, unflushed))?;
        }
    }
    if wish.filters.is_empty() {
        demo_of_what_ships(workspace)?;
        packages_of_what_ships(workspace)?;
    }
    if turn || wish.long {
        record.lines(&all_cases).iter().for_each(|line| println!("{line}"));
    }
    eprintln!("all of it took {} s", started.elapsed().as_secs());
    skipped.iter().for_each(|what| println!("{what}"));
    println!("{}", score.line());
    Ok(if score.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a sample of the cases on the other release.
fn on_the_other_release(
    workspace: &Workspace,
    wish: CaseSelection<'_>,
    all: &[CaseInfo],
    jobs: usize,
) -> Result<Score> {
    let workspace = &workspace.of(OTHER_RELEASE);
    let cases = other_release::cases(all, wish)?;
    let (setup, accel) = prepare(workspace, Contents::Cases, jobs)?;
    println!("on Debian {}:", OTHER_RELEASE.codename());
    let (score, _) = Pool { workspace, setup: &setup, accel, jobs }.run(&cases)?;
    Ok(score)
}

/// Runs the demo with the program as it is shipped, and compares its output with the README: the cases run a program
/// that is quick to build.
fn demo_of_what_ships(workspace: &Workspace) -> Result<()> {
    let (setup, accel) = prepare(workspace, Contents::Shipped, 1)?;
    step(workspace, "demo with the program as it is shipped", |log| {
        let mut printed = Vec::new();
        let code = script::run(workspace, &setup, accel, DEMO, &mut printed)?;
        log.file()?.write_all(&printed)?;
        match code {
            0 => {
                let readme = std::fs::read_to_string(workspace.root.join("README.md"))?;
                transcript::check(&readme, &String::from_utf8_lossy(&printed))
            }
            code => bail!("the demo ended with status {code}"),
        }
    })
}

/// Installs, upgrades, removes and purges the packages of the program as it is shipped, on both releases.
fn packages_of_what_ships(workspace: &Workspace) -> Result<()> {
    let payload = Payload::build(workspace, Contents::Shipped)?;
    let made = packages::build(workspace, &payload.program())?;
    packages::lint(workspace, &made)?;
    for suite in [Suite::Bookworm, OTHER_RELEASE] {
        let workspace = &workspace.of(suite);
        let (mut setup, accel) = prepare(workspace, Contents::Shipped, 1)?;
        setup.payload.add(made.clone());
        step(workspace, &format!("the life of the packages on Debian {}", suite.codename()), |log| {
            let mut printed = Vec::new();
            let code = script::run(workspace, &setup, accel, LIFE_OF_PACKAGES, &mut printed)?;
            log.file()?.write_all(&printed)?;
            if code == 0 { Ok(()) } else { bail!("it ended with status {code}") }
        })?;
    }
    Ok(())
}

/// Boots with the package of the program that is quick to build.
fn boot(workspace: &Workspace) -> Result<()> {
    let (mut setup, accel) = prepare(workspace, Contents::Cases, 1)?;
    setup.payload.add(packages::build(workspace, &setup.payload.program())?);
    boots::run(workspace, &setup, accel)
}

/// Builds the packages; installs, upgrades, removes and purges them in a guest.
fn package(workspace: &Workspace, quick: bool) -> Result<ExitCode> {
    let contents = if quick { Contents::Program } else { Contents::Shipped };
    let (mut setup, accel) = prepare(workspace, contents, 1)?;
    let made = packages::build(workspace, &setup.payload.program())?;
    packages::lint(workspace, &made)?;
    made.iter().for_each(|file| println!("{}", file.display()));
    setup.payload.add(made);
    run_script(workspace, &setup, accel, LIFE_OF_PACKAGES)
}

fn run_script(workspace: &Workspace, setup: &Setup, accel: Accel, script: Script<'_>) -> Result<ExitCode> {
    let code = script::run(workspace, setup, accel, script, &mut std::io::stdout())?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
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
