//! Requests about pools themselves, in words.

use base::units::Sectors;
use lvm2::format::model::Discards;
use thin::internals::pool_rules::{Rule, RuleChange, RuleKind};
use thin::internals::request::{GrowPool, NewPool, RemovePool, RepairPool, Request, SetPool, Space};

use super::{MIB, name, number};
use crate::world::World;
use crate::world::machine::{self, disk_number};
use crate::world::place::metadata_place;

/// `grow-pool data data=+40M metadata=8M on=1`, `set-pool data zero=off full=error discards=nopassdown overcommit=1.5`,
/// `create-pool new data=8M chunk=1M stripes=2 inactive`, `remove-pool data with-volumes`, `check-pool data clear`,
/// `repair-pool data force`.
pub(super) fn request(words: &[&str]) -> Result<Request, String> {
    let (verb, rest) = words.split_first().ok_or("which request?")?;
    let (pool, options) = rest.split_first().ok_or("of which pool?")?;
    let pool = name(pool)?;
    let option = |key: &str| {
        options.iter().find_map(|word| word.strip_prefix(key).and_then(|word| word.strip_prefix('=')))
    };
    let on_off = |key: &str| option(key).map(|word| word == "on" || word == "error");
    match *verb {
        "grow-pool" => Ok(Request::GrowPool(GrowPool {
            pool,
            data: option("data").map(space).transpose()?,
            metadata: option("metadata").map(space).transpose()?,
            on: option("on").map(disk).transpose()?.into_iter().collect(),
        })),
        "set-pool" => Ok(Request::SetPool(SetPool {
            pool,
            discards: option("discards").map(discards).transpose()?,
            zero: on_off("zero"),
            error_when_full: on_off("full"),
            rules: RuleKind::ALL
                .iter()
                .filter_map(|kind| Some(rule(*kind, option(kind.word())?)))
                .collect::<Result<_, _>>()?,
        })),
        "create-pool" => Ok(Request::CreatePool(NewPool {
            name: pool,
            data: option("data").map_or(Err("how large?".into()), space)?,
            metadata: option("metadata").map(sectors).transpose()?,
            chunk: option("chunk").map(sectors).transpose()?,
            stripes: option("stripes").map_or(Ok(1), number)?.try_into().unwrap_or(u32::MAX),
            stripe_size: None,
            discards: option("discards").map(discards).transpose()?,
            zero: on_off("zero"),
            error_when_full: on_off("full"),
            on: option("on").map(disk).transpose()?.into_iter().collect(),
            activate: !options.contains(&"inactive"),
        })),
        "check-pool" => Ok(Request::CheckPool { pool, clear_mark: options.contains(&"clear") }),
        "repair-pool" => Ok(Request::RepairPool(RepairPool {
            pool,
            force: options.contains(&"force"),
            on: option("on").map(disk).transpose()?.into_iter().collect(),
        })),
        "remove-pool" => {
            Ok(Request::RemovePool(RemovePool { pool, with_volumes: options.contains(&"with-volumes") }))
        }
        _ => Err(format!("{words:?} is no request")),
    }
}

fn sectors(word: &str) -> Result<Sectors, String> {
    Ok(Sectors::new(number(word.trim_end_matches('M'))? * MIB))
}

/// `40M`, `+40M`, `50%FREE`.
fn space(word: &str) -> Result<Space, String> {
    if let Some(percent) = word.strip_suffix("%FREE") {
        return Ok(Space::FreePercent(number(percent)?.try_into().unwrap_or(100)));
    }
    let size = sectors(word.trim_start_matches('+'))?;
    Ok(if word.starts_with('+') { Space::By(size) } else { Space::To(size) })
}

fn disk(word: &str) -> Result<base::ids::DevNo, String> {
    Ok(disk_number(number(word)?.try_into().unwrap_or(0)))
}

/// `1.5`, `none`; of a reserve, bytes.
fn rule(kind: RuleKind, word: &str) -> Result<RuleChange, String> {
    match word {
        "none" => Ok(RuleChange::Clear(kind)),
        word => Rule::parse(kind, word).map(RuleChange::Set).ok_or_else(|| format!("{word} is no rule")),
    }
}

fn discards(word: &str) -> Result<Discards, String> {
    Ok(match word {
        "ignore" => Discards::Ignore,
        "nopassdown" => Discards::NoPassdown,
        "passdown" => Discards::Passdown,
        _ => return Err(format!("{word} is nothing to do with discards")),
    })
}

/// `damage`: the first pool's metadata, where it lies now.
pub(super) fn damage(world: &World) -> Result<(), String> {
    let vg = world.metadata().vg;
    let (_, pool) = vg.pools().next().ok_or("no pool")?;
    let pvs = machine::pvs(world.machine.disks.len());
    let (disk, sector) = metadata_place(&vg, pool, &pvs).ok_or("the metadata is nowhere")?;
    world.machine.kernel.damage_metadata(disk, sector);
    Ok(())
}

/// `lose 2`: a thin device that a repair does not find.
pub(super) fn lose(world: &World, id: &str) -> Result<(), String> {
    let id = base::ids::ThinId::new(number(id)?).map_err(|error| error.to_string())?;
    world.machine.host.set(|host| host.repair_loses = Some(id));
    Ok(())
}
