//! Checks of every state that a killed command leaves.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::machine::{Kept, Machine, content};
use super::rows::Row;
use super::transcript::Transcript;

/// A volume as lvm2 lists it now.
struct Now {
    uuid: String,
    name: String,
    vg: String,
    /// As the snapshot of a pending merge is.
    is_hidden: bool,
    /// Its pool's `vg/lv`, if it is thin.
    pool: Option<String>,
}

/// Recovers, activates, looks, changes and stops by thinvol, and asks lvm2 after each.
///
/// # Errors
/// The first thing that is not as it has to be.
pub fn judge(said: &mut Transcript, machine: &mut Machine, row: &Row) -> Result<()> {
    said.ok("thinvol recover").context("recover")?;
    finish_group(said, machine).context("groups that are neither one nor two")?;
    finish_move(said).context("a move that is under way")?;
    let groups = groups(said)?;
    let all = groups.join(" ");
    if let Some((origin, _)) = row.merged {
        finish_merge(said, origin).context("a merge that waits")?;
    }
    said.ok(&format!("thinvol activate {all}")).context("activate")?;
    at_rest(said)?;
    agreed(said, &groups).context("lvm2 after activation")?;
    let served = served(said, machine, row, "thinvol activate").context("served by thinvol")?;
    let pools = pools(said)?;
    change(said, machine, &pools).context("changed by thinvol")?;
    at_rest(said)?;
    agreed(said, &groups).context("lvm2 after changes")?;
    if !pools.is_empty() {
        let create =
            |(number, pool): (usize, &String)| format!("lvcreate -qq -V 4M -T {pool} -n after{number}");
        let remove = pools.iter().enumerate().map(|(number, pool)| {
            format!("lvremove -qq --yes {}/after{number}", pool.split('/').next().unwrap_or_default())
        });
        let lines: Vec<String> = pools.iter().enumerate().map(create).chain(remove).collect();
        said.lvm(&lines).context("lvm2 changes")?;
    }
    said.ok(&format!("thinvol deactivate {all}")).context("deactivate")?;
    let left = said.ok("dmsetup ls")?;
    ensure!(left.contains("No devices"), "said to be deactivated, and there is {left}");
    said.lvm(&["vgchange -qq -ay".into()]).context("lvm2 activates")?;
    let by_lvm2 = self::served(said, machine, row, "lvchange -qq -ay -K").context("served by lvm2")?;
    let other: Vec<&String> = served.keys().filter(|path| served.get(*path) != by_lvm2.get(*path)).collect();
    ensure!(other.is_empty() && served.len() == by_lvm2.len(), "thinvol and lvm2 serve different {other:?}");
    for pool in &pools {
        same_ids(said, pool)?;
    }
    said.lvm(&["vgchange -qq -an".into()]).context("lvm2 stops")?;
    machine.is_idle();
    Ok(())
}

/// A merge that waits is left to lvm2, which finishes it as the refusal says.
fn finish_merge(said: &mut Transcript, origin: &str) -> Result<()> {
    let attributes = said.ok("lvs -a --noheadings -o lv_attr pve")?;
    if !attributes.split_whitespace().any(|word| word.starts_with(['O', 'S'])) {
        return Ok(());
    }
    let ran = said.run(&format!("thinvol activate pve/{origin}"))?;
    let is_said = ran.status == 7 && ran.stderr.contains("is being merged into");
    ensure!(is_said, "not refused, but ended with {}: {}", ran.status, ran.stderr.trim());
    // lvm2's own 'lvchange -an' fails where the origin's device has no table yet.
    said.ok(&format!("thinvol deactivate pve/{origin}"))?;
    said.ok(&format!("lvchange -qq -ay pve/{origin}")).map(drop)
}

/// A group that was being split or merged is left to lvm2, which ends that as docs/lvm2-access.md says: a disk that two
/// groups claim keeps both out of use, and a new group is exported up to its last commit.
fn finish_group(said: &mut Transcript, machine: &Machine) -> Result<()> {
    let ran = said.run("thinvol recover")?;
    if ran.stderr.contains("belongs to volume group") {
        let ran = said.run("thinvol activate pve")?;
        ensure!(ran.status == 7, "a group is activated of which another has a disk");
        let line = "vgreduce -y --removemissing --force --config 'devices/filter=[\"r|{2}|\"]' pve";
        said.ok(&machine.line(line))?;
    }
    let exported = said.ok("vgs --noheadings -o vg_name -S vg_exported=1")?;
    for group in exported.split_whitespace() {
        let ran = said.run(&format!("thinvol activate {group}"))?;
        ensure!(
            ran.status == 7 && ran.stderr.contains(&format!("vgimport {group}")),
            "{}",
            ran.stderr.trim()
        );
        said.lvm(&[format!("vgimport -qq {group}")])?;
        said.ok("thinvol recover")?;
    }
    Ok(())
}

/// A move of extents is left to lvm2: what is under way with a volume is not thinvol's to start.
fn finish_move(said: &mut Transcript) -> Result<()> {
    let list = said.run("lvs -a --noheadings -o lv_name")?;
    if list.stdout.contains("[pvmove") {
        said.run("thinvol activate pve")?;
        at_rest(said)?;
        let ran = said.run("thinvol deactivate pve")?;
        let left = said.ok("dmsetup ls")?;
        let is_said = ran.status == 5 && ran.stderr.contains("stay");
        ensure!(left.contains("No devices") || is_said, "{}: there is {left}", ran.stderr.trim());
        at_rest(said)?;
        said.ok("pvmove -qq --config global/use_lvmpolld=0 --abort")?;
        said.ok("thinvol recover")?;
    }
    Ok(())
}

fn groups(said: &mut Transcript) -> Result<Vec<String>> {
    let list = said.run("vgs --noheadings -o vg_name")?;
    let mut groups: Vec<String> = list.stdout.split_whitespace().map(str::to_owned).collect();
    groups.sort();
    groups.dedup();
    ensure!(!groups.is_empty(), "no volume group");
    Ok(groups)
}

/// The thin pools of all groups: `vg/pool`.
pub fn pools(said: &mut Transcript) -> Result<Vec<String>> {
    let list = said.run("lvs --noheadings --separator / -o vg_name,lv_name -S segtype=thin-pool")?;
    Ok(list.stdout.split_whitespace().map(str::to_owned).collect())
}

/// Nothing is suspended, and no table waits that the next resume would put in place.
fn at_rest(said: &mut Transcript) -> Result<()> {
    let list = said.ok("dmsetup info -c --noheadings --separator , -o name,suspended,tables_loaded")?;
    let restless = |line: &&str| line.contains("Suspended") || line.contains("Inactive");
    let left: Vec<&str> = list.lines().filter(restless).collect();
    ensure!(left.is_empty(), "left suspended or waiting: {left:?}");
    Ok(())
}

/// lvm2 has no complaint about any group.
fn agreed(said: &mut Transcript, groups: &[String]) -> Result<()> {
    let mut lines: Vec<String> = groups.iter().map(|vg| format!("vgck {vg}")).collect();
    lines.extend(["lvs -a -o all", "vgs -o all", "pvs -a -o all"].map(str::to_owned));
    said.lvm(&lines).map(drop)
}

fn now(said: &mut Transcript) -> Result<Vec<Now>> {
    let list = said.lvm(&["lvs -a --noheadings --separator , -o lv_uuid,lv_name,vg_name,pool_lv \
         -S segtype!=thin-pool"
        .into()])?;
    let mut all = Vec::new();
    for line in list.lines() {
        let words: Vec<&str> = line.trim().split(',').collect();
        let [uuid, name, vg, pool] = words.as_slice() else { continue };
        all.push(Now {
            uuid: (*uuid).to_owned(),
            name: name.trim_matches(['[', ']']).to_owned(),
            is_hidden: name.starts_with('['),
            vg: (*vg).to_owned(),
            pool: (!pool.is_empty()).then(|| format!("{vg}/{pool}")),
        });
    }
    Ok(all)
}

impl Now {
    fn path(&self) -> String {
        format!("{}/{}", self.vg, self.name)
    }

    fn is(&self, kept: &Kept) -> bool {
        self.uuid == kept.uuid || self.name == kept.name
    }

    fn was_there(&self, machine: &Machine) -> bool {
        machine.kept.iter().any(|kept| self.is(kept))
    }
}

/// The volumes that were there before are there, each with its content. Returns what they hold, by path.
fn served(
    said: &mut Transcript,
    machine: &Machine,
    row: &Row,
    activate: &str,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut all = now(said)?;
    all.retain(|volume| volume.was_there(machine));
    let paths: Vec<String> = all.iter().filter(|volume| !volume.is_hidden).map(Now::path).collect();
    if !paths.is_empty() {
        said.ok(&format!("{activate} {}", paths.join(" ")))?;
    }
    let mut holds = BTreeMap::new();
    for path in paths {
        holds.insert(path.clone(), content(&path)?);
    }
    let named = |name: &str| machine.kept.iter().find(|kept| kept.name == name);
    let merged = row.merged.filter(|(origin, snapshot)| {
        let snapshot = named(snapshot).map_or(&[][..], |kept| &kept.content);
        all.iter().any(|volume| {
            volume.name == *origin && holds.get(&volume.path()).is_some_and(|now| now == snapshot)
        })
    });
    for kept in &machine.kept {
        let is_merged = merged.is_some_and(|(_, snapshot)| snapshot == kept.name);
        let found: Vec<&Now> = all.iter().filter(|volume| volume.is(kept)).collect();
        let may_go = is_merged || row.may_go.contains(&kept.name.as_str());
        ensure!(may_go || !found.is_empty(), "{} is gone", kept.name);
        let is_origin = merged.is_some_and(|(origin, _)| origin == kept.name);
        for volume in found.into_iter().filter(|volume| !is_origin && !volume.is_hidden) {
            let path = volume.path();
            let same = holds.get(&path).is_some_and(|now| now.starts_with(&kept.content));
            ensure!(same, "{path} is shorter than it was, or holds something else");
        }
    }
    Ok(holds)
}

/// In each pool: a volume, a snapshot of one that was there, and both go again; so does what the killed command made.
fn change(said: &mut Transcript, machine: &Machine, pools: &[String]) -> Result<()> {
    let all = now(said)?;
    let (mut requests, mut free, mut pairs) = (String::new(), Vec::new(), Vec::new());
    for (number, pool) in pools.iter().enumerate() {
        let vg = pool.split('/').next().unwrap_or_default();
        requests += &format!(
            "{{\"request\":\"create\",\"pool\":\"{pool}\",\"name\":\"vm-100-disk-9{number}\",\"size\":\"4M\"}}\n"
        );
        free.push(format!("{vg}/vm-100-disk-9{number}"));
        let mut inside = all.iter().filter(|volume| volume.pool.as_ref() == Some(pool));
        free.extend(inside.clone().filter(|volume| !volume.was_there(machine)).map(Now::path));
        let is_origin = |volume: &&Now| volume.name.starts_with("vm-100-disk-") && volume.was_there(machine);
        if let Some(origin) = inside.find(is_origin) {
            requests += &format!("{{\"request\":\"snapshot\",\"snapshot\":\"{}@t\"}}\n", origin.path());
            let snapshot = format!("{vg}/snap_{}_t", origin.name);
            pairs.push((origin.path(), snapshot.clone()));
            free.push(snapshot);
        }
    }
    if pools.is_empty() {
        return Ok(());
    }
    let file = said.ctx().dir().join("batch");
    std::fs::write(&file, requests)?;
    said.ok(&format!("thinvol batch {}", file.display()))?;
    said.ok(&format!("thinvol activate {}", free.join(" ")))?;
    for (origin, snapshot) in pairs {
        ensure!(content(&origin)? == content(&snapshot)?, "{snapshot} is not what {origin} is");
    }
    said.ok(&format!("thinvol free {}", free.join(" "))).map(drop)
}

/// The pool holds exactly the devices that the text knows.
fn same_ids(said: &mut Transcript, pool: &str) -> Result<()> {
    let (vg, name) = pool.split_once('/').context("vg/pool")?;
    let text = said.lvm(&[format!("lvs -a --noheadings -o thin_id -S pool_lv={name} {vg}")])?;
    let mut known: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    known.sort_unstable();
    let dm = format!("{vg}-{}", name.replace('-', "--"));
    let layered = format!("{dm}-tpool");
    let is_layered = std::path::Path::new("/dev/mapper").join(&layered).exists();
    let device = if is_layered { &layered } else { &dm };
    said.ok(&format!("dmsetup message {device} 0 reserve_metadata_snap"))?;
    let dump = said.ok(&format!("thin_dump -m /dev/mapper/{dm}_tmeta"));
    said.ok(&format!("dmsetup message {device} 0 release_metadata_snap"))?;
    let dump = dump?;
    let ids = dump.split("dev_id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut there: Vec<u64> = ids.map(str::parse).collect::<Result<_, _>>()?;
    there.sort_unstable();
    ensure!(known == there, "{pool}: the text knows {known:?}, the pool holds {there:?}");
    Ok(())
}
