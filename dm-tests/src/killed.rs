//! lvm2's commands, killed before each call by which they change something. thinvol must finish or clear what is left,
//! keep the data, and change the pool afterwards, without a complaint from lvm2.

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

/// At about how many calls of a row the long cases kill; at all if it is not set. And the number by which they choose
/// them: as many numbers in a row as the calls have between two that are chosen take all of them.
const SAMPLES: &str = "THINVOL_KILLS";
const TURN: &str = "THINVOL_KILLS_TURN";

/// Kills the row's command before each of its calls, and judges each state that is left, and that of the whole command.
///
/// # Errors
/// If a state is wrong. All states are judged first, and all failures are reported.
pub fn at_every_call(ctx: &Ctx, row: &str) -> Result<()> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (samples, turn) = (number(SAMPLES).unwrap_or(usize::MAX), number(TURN).unwrap_or(0));
    let (row, mut machine) = start(ctx, row)?;
    let calls = whole(ctx, &mut machine, row)?;
    ensure!(!calls.is_empty(), "{} changes nothing", row.command);
    println!("{}: {} calls change something", row.command, calls.len());
    let mut failed = Vec::new();
    let chosen = spread(calls.len(), samples, turn);
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

/// Kills the row's command before its first call of that kind (`wait`, `resume`), and judges the state that is left.
///
/// # Errors
/// If the state is wrong, or there is no such call.
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

/// At most so many numbers below `all`, evenly spread, others in each turn: as many turns as lie between two of them
/// take all.
fn spread(all: usize, wanted: usize, turn: usize) -> BTreeSet<usize> {
    let step = all.div_ceil(wanted.max(1)).max(1);
    (turn % step..all).step_by(step).collect()
}

/// Runs the whole command, judges the state that it leaves, and returns its calls.
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

/// What lvm2 does with the same state, to be printed with a failure.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::spread;

    #[test]
    fn turns_in_a_row_take_all_calls_and_each_takes_few() {
        for (all, wanted) in [(1_usize, 3), (3, 3), (7, 3), (65, 3), (10, 1)] {
            let turns = all.div_ceil(wanted);
            let of = |turn| spread(all, wanted, turn);
            assert!((0..turns).all(|turn| (1..=wanted).contains(&of(turn).len())), "{all} {wanted}");
            // Wherever one begins.
            let taken: BTreeSet<usize> = (5..5 + turns).flat_map(of).collect();
            assert_eq!(taken, (0..all).collect(), "{all} {wanted}");
        }
        assert_eq!(spread(4, usize::MAX, 9), (0..4).collect());
        assert!(spread(0, 3, 1).is_empty());
    }
}
