//! lvm2's commands, killed before each call by which they change something. Whatever is left, thinvol finishes or
//! clears it, serves what was there, changes the pool, and lvm2 finds nothing to say against any of it.

mod calls;
mod judge;
mod machine;
mod rows;
mod transcript;

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::case::Skip;
use crate::ctx::Ctx;
use calls::Call;
use machine::Machine;
use rows::Row;
use transcript::Transcript;

/// The names of all rows of the table.
pub fn rows() -> impl Iterator<Item = &'static str> {
    rows::names()
}

/// At how many calls of a row the long cases kill, the first and the last among them; at all if it is not set.
const SAMPLES: &str = "THINVOL_KILLS";

/// Kills the row's command before each of its calls, and judges what each leaves; also what the whole command leaves.
///
/// # Errors
/// If a state is not as it has to be. All are judged before, and all that failed are told.
pub fn at_every_call(ctx: &Ctx, row: &str) -> Result<()> {
    let samples = std::env::var(SAMPLES).ok().and_then(|text| text.parse().ok());
    let samples = samples.unwrap_or(usize::MAX);
    let (row, mut machine) = start(ctx, row)?;
    let calls = whole(ctx, &mut machine, row)?;
    ensure!(!calls.is_empty(), "{} changes nothing", row.command);
    println!("{}: {} calls change something", row.command, calls.len());
    let mut failed = Vec::new();
    let chosen = spread(calls.len(), samples);
    for (number, call) in calls.iter().enumerate().filter(|(number, _)| chosen.contains(number)) {
        let state = format!("{} before {}/{} {call}", row.name, number + 1, calls.len());
        let started = Instant::now();
        let mut said = Transcript::new(ctx);
        // A mark of thinvol's, that its last change was complete, says nothing of lvm2's.
        let is_marked = number % 2 == 0;
        let result = at(&mut said, &mut machine, row, call, is_marked);
        match result {
            Ok(()) => println!("{state}: held ({} ms)", started.elapsed().as_millis()),
            Err(error) => {
                println!("{state}: {error:#}\n{said}");
                lvm2_alone(ctx, &mut machine, row, call)?;
                failed.push(format!("{state}: {error:#}"));
            }
        }
    }
    ensure!(failed.is_empty(), "{} of {} states:\n{}", failed.len(), chosen.len(), failed.join("\n"));
    machine.remove()
}

/// Kills the row's command before its first call of that sort (`wait`, `resume`), and judges what that leaves.
///
/// # Errors
/// If the state is not as it has to be, or there is no such call.
pub fn at_first(ctx: &Ctx, row: &str, sort: &str) -> Result<()> {
    let (row, mut machine) = start(ctx, row)?;
    let mut said = Transcript::new(ctx);
    machine.start(&mut said, row)?;
    let calls = calls::of(&mut said, &machine.line(row.command)).with_context(|| said.to_string())?;
    let call = calls.iter().find(|call| call.is(sort)).with_context(|| format!("no {sort} in {calls:?}"))?;
    let mut said = Transcript::new(ctx);
    let judged = at(&mut said, &mut machine, row, call, false);
    judged.with_context(|| format!("{} before {call}\n{said}", row.name))?;
    machine.remove()
}

fn start<'a>(ctx: &'a Ctx, row: &str) -> Result<(&'static Row, Machine<'a>)> {
    if ctx.on_host() {
        return Err(Skip("it stops every volume group of the machine".into()).into());
    }
    let row = rows::find(row).with_context(|| format!("no row {row}"))?;
    Ok((row, Machine::build(ctx, row)?))
}

/// So many numbers below `all`, evenly spread, the first and the last among them.
fn spread(all: usize, wanted: usize) -> BTreeSet<usize> {
    let (last, gaps) = (all.saturating_sub(1), wanted.saturating_sub(1).max(1));
    if wanted >= all { (0..all).collect() } else { (0..wanted).map(|number| number * last / gaps).collect() }
}

/// Runs the whole command, whose calls it returns; what it leaves must hold as well.
fn whole(ctx: &Ctx, machine: &mut Machine, row: &Row) -> Result<Vec<Call>> {
    let mut said = Transcript::new(ctx);
    machine.start(&mut said, row)?;
    let calls = calls::of(&mut said, &machine.line(row.command));
    let judged = calls.and_then(|calls| {
        machine.prepare_to_judge(&mut said, row)?;
        judge::judge(&mut said, machine, row)?;
        Ok(calls)
    });
    judged.with_context(|| format!("{} that nobody killed\n{said}", row.command))
}

fn at(said: &mut Transcript, machine: &mut Machine, row: &Row, call: &Call, is_marked: bool) -> Result<()> {
    machine.start(said, row)?;
    if is_marked {
        said.ok("thinvol recover")?;
    }
    calls::kill_at(said, &machine.line(row.command), call)?;
    machine.prepare_to_judge(said, row)?;
    judge::judge(said, machine, row)
}

/// What lvm2 makes of the same state, for whoever reads of the failure.
fn lvm2_alone(ctx: &Ctx, machine: &mut Machine, row: &Row, call: &Call) -> Result<()> {
    let mut said = Transcript::new(ctx);
    machine.start(&mut said, row)?;
    calls::kill_at(&mut said, &machine.line(row.command), call)?;
    machine.prepare_to_judge(&mut said, row)?;
    let mut said = Transcript::new(ctx);
    for line in
        ["dmsetup info -c", "dmsetup table", "vgchange -ay", "lvs -a -o+thin_id,transaction_id,devices"]
    {
        said.run(line)?;
    }
    for pool in judge::pools(&mut said)? {
        said.run(&format!("lvcreate -qq -V 4M -T {pool} -n after"))?;
    }
    said.run("vgchange -an")?;
    println!("lvm2 alone:\n{said}");
    Ok(())
}
