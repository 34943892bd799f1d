//! Pools themselves: made, grown, changed and removed by thinvol as by lvm2, and while they are written to.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use base::ids::LvmUuid;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::Lv;
use serde_json::Value;

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "pools::are_those_of_lvm2", tier: Tier::Full, limit_s: 600, run: twins },
    Case { name: "pools::full_ones_grow_under_their_writers", tier: Tier::Full, limit_s: 240, run: full },
    Case { name: "pools::promise_what_they_may", tier: Tier::Full, limit_s: 240, run: promises },
    Case { name: "pools::are_shown_as_thin_ls_counts", tier: Tier::Full, limit_s: 240, run: shown },
    Case { name: "pools::of_their_own", tier: Tier::Full, limit_s: 240, run: own },
];

/// What lvm2 is told, and what thinvol is told, that must come to the same: in a group of disks of 256, 512 and 768 MiB
/// (`{1}` is the second). Each starts and ends with an empty group.
const ROWS: &[(&[&str], &[&str])] = &[
    (&["lvcreate -qq -y -T -L 100M {vg}/p"], &["create {vg}/p --size 100M"]),
    (&["lvcreate -qq -y -T -l 50%FREE {vg}/p"], &["create {vg}/p --size 50%FREE"]),
    (&["lvcreate -qq -y -T -L 600M {vg}/p"], &["create {vg}/p --size 600M"]),
    (&["lvcreate -qq -y -T -L 100M {vg}/p {1}"], &["create {vg}/p --size 100M --pv {1}"]),
    (
        &["lvcreate -qq -y -T -L 100M -i 2 -I 16k {vg}/p", "lvextend -qq -L +200M {vg}/p"],
        &["create {vg}/p --size 100M --stripes 2 --stripe-size 16K", "extend {vg}/p --size +200M"],
    ),
    (
        &["lvcreate -qq -y -T -L 100M -c 256k --poolmetadatasize 8M -Zn --discards nopassdown \
              --errorwhenfull y {vg}/p"],
        &["create {vg}/p --size 100M --chunk-size 256K --metadata-size 8M --no-zero --discards nopassdown \
           --when-full error"],
    ),
    (
        &["lvcreate -qq -y -T -L 100M {vg}/p", "lvextend -qq -L +400M {vg}/p"],
        &["create {vg}/p --size 100M", "extend {vg}/p --size 500M"],
    ),
    (
        &["lvcreate -qq -y -T -L 100M {vg}/p", "lvextend -qq --poolmetadatasize +8M {vg}/p"],
        &["create {vg}/p --size 100M", "extend {vg}/p --metadata-size 12M"],
    ),
    (
        &["lvcreate -qq -y -T -L 100M {vg}/p", "lvcreate -qq -y -T -L 60M --poolmetadatasize 12M {vg}/q"],
        &["create {vg}/p --size 100M", "create {vg}/q --size 60M --metadata-size 12M"],
    ),
    (
        &[
            "lvcreate -qq -y -T -L 100M {vg}/p",
            "lvchange -qq --zero n {vg}/p",
            "lvchange -qq --errorwhenfull y {vg}/p",
        ],
        &["create {vg}/p --size 100M", "set {vg}/p --zero off --when-full error"],
    ),
];

/// What lvm2 says that two pools made one after the other cannot share: identities, times, and who watches them.
const OWN_FIELDS: [&str; 13] = [
    "vg_seqno",
    "lv_uuid",
    "lv_time",
    "lv_kernel_minor",
    "data_lv_uuid",
    "metadata_lv_uuid",
    "pool_lv_uuid",
    "seg_monitor",
    "lv_host",
    "lv_parent",
    "lv_permissions",
    "lv_historical",
    "lv_time_removed",
];

/// What lvm2 says of all LVs, and what the text says.
#[derive(PartialEq)]
pub(super) struct Seen {
    /// Of each LV, its fields.
    pub fields: Vec<(String, BTreeMap<String, String>)>,
    lvs: Vec<Lv>,
    tables: String,
}

pub(super) fn seen(ctx: &Ctx, vg: &str) -> Result<Seen> {
    ctx.ok("udevadm settle")?;
    let said = ctx.lvm(&format!("lvs -a -o all --units b --reportformat json {vg}"))?;
    let said: Value = serde_json::from_str(&said)?;
    let rows = said["report"][0]["lv"].as_array().context("lvs names no LVs")?;
    let row = |row: &Value| {
        let fields = row.as_object().into_iter().flatten();
        let own = |(key, _): &(&String, &Value)| !OWN_FIELDS.contains(&key.as_str());
        let fields = fields.filter(own).map(|(key, value)| (key.clone(), value.to_string())).collect();
        (format!("{} {}", row["lv_name"], row["seg_start_pe"]), fields)
    };
    let mut fields: Vec<(String, BTreeMap<String, String>)> = rows.iter().map(row).collect();
    fields.sort();
    let copy = ctx.dir().join("seen.vg");
    ctx.lvm(&format!("vgcfgbackup -f {} {vg}", copy.display()))?;
    let metadata = Metadata::parse(&std::fs::read(copy)?)?;
    let mut lvs: Vec<Lv> = metadata.vg.lvs.iter().cloned().collect();
    for lv in &mut lvs {
        (lv.id, lv.creation_time) = (LvmUuid::from_random([0; 32]), None);
    }
    lvs.sort_by(|one, other| one.name.cmp(&other.name));
    // The numbers of the devices follow from the order in which they were made.
    let tables = ctx.shell(
        "for d in $(dmsetup ls | cut -f1 | sort); do echo $d: $(dmsetup table $d | sed 's/25[0-9]:[0-9]*/N/g'); done",
    )?;
    Ok(Seen { fields, lvs, tables })
}

/// What differs, in words.
pub(super) fn difference(lvm2: &Seen, ours: &Seen) -> String {
    let mut words = Vec::new();
    for ((key, theirs), (other, ours)) in lvm2.fields.iter().zip(&ours.fields) {
        if key != other {
            words.push(format!("lvm2 has {key}, thinvol {other}"));
        }
        let differs = theirs.iter().filter(|(field, value)| ours.get(*field) != Some(value));
        words.extend(
            differs.map(|(field, value)| format!("{key} {field}: {value}, not {:?}", ours.get(field))),
        );
    }
    if lvm2.lvs != ours.lvs {
        words.push(format!("the texts say {:?} and {:?}", lvm2.lvs, ours.lvs));
    }
    if lvm2.tables != ours.tables {
        words.push(format!("the tables are\n{}\nand\n{}", lvm2.tables, ours.tables));
    }
    words.join("\n")
}

fn twins(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20, 512 << 20, 768 << 20], 512)?;
    let pvs = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let second = pvs.split_whitespace().nth(1).context("there are three PVs")?;
    let line = |line: &str| line.replace("{vg}", vg).replace("{1}", second);
    for (theirs, ours) in ROWS {
        for command in *theirs {
            let ran = ctx.sh(&line(command))?;
            ensure!(ran.status == 0, "lvm2 does not: {command}");
        }
        let lvm2 = seen(ctx, vg)?;
        ctx.ok(&format!("lvremove -fqq {vg}"))?;
        for command in *ours {
            ctx.change(&line(&format!("pool {command}")))?;
        }
        let thinvol = seen(ctx, vg)?;
        ensure!(lvm2 == thinvol, "{ours:?}:\n{}", difference(&lvm2, &thinvol));
        ctx.agreed(vg)?;
        for pool in
            ["p", "q"].into_iter().filter(|pool| thinvol.lvs.iter().any(|lv| lv.name.as_str() == *pool))
        {
            ctx.change(&format!("pool remove {vg}/{pool}"))?;
        }
        let left = ctx.lvm(&format!("lvs -a --noheadings -o lv_name {vg}"))?;
        ensure!(left.trim().is_empty(), "{ours:?}: {left} is left");
        let devices = ctx.ok("dmsetup ls")?;
        ensure!(!devices.contains(vg), "{ours:?}: devices are left: {devices}");
    }
    Ok(())
}

/// A writer that waits since its pool is full goes on when the pool grows, and what it wrote is there; so it is with
/// metadata that grows while it writes.
fn full(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[512 << 20], 512)?;
    ctx.change(&format!("pool create {vg}/data --size 64M"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 128M"))?;
    let (device, dir) = (ctx.dev(vg, "vm-100-disk-0"), ctx.dir().display());
    ctx.shell(&format!(
        "head -c 96M /dev/urandom > {dir}/data; \
         (dd if={dir}/data of={} bs=1M oflag=direct conv=fsync 2> {dir}/dd; echo $? > {dir}/status) > /dev/null 2>&1 & \
         for i in $(seq 300); do dmsetup status {vg}-data-tpool | grep -q out_of_data_space && break; sleep 0.1; done; \
         dmsetup status {vg}-data-tpool | grep -q out_of_data_space",
        device.display()
    ))?;
    let plan = ctx.thinvol_ok(&format!("pool extend --dry-run {vg}/data --size +64M"))?;
    ensure!(plan.contains("reload") && plan.matches("commit metadata").count() == 1, "the plan is {plan}");
    ctx.change(&format!("pool extend {vg}/data --size +64M"))?;
    ctx.change(&format!("pool extend {vg}/data --metadata-size +4M"))?;
    ctx.shell(&format!(
        "for i in $(seq 300); do test -e {dir}/status && break; sleep 0.1; done; test \"$(cat {dir}/status)\" = 0; \
         cmp -n 100663296 {dir}/data {}",
        device.display()
    ))?;
    let status = ctx.ok(&format!("dmsetup status {vg}-data-tpool"))?;
    ensure!(status.contains("/2048 ") && status.contains("/2048 - rw"), "the pool says {status}");
    let again = ctx.change(&format!("pool extend {vg}/data --size 128M --metadata-size 8M"))?;
    ensure!(again.contains("has that size already"), "the same size again: {again}");
    ctx.agreed(vg)
}

/// What a pool's owner says of it is kept as tags that lvm2 shows and keeps, and holds before anything is done. A pool
/// that is full says so in words.
fn promises(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    ctx.change(&format!("pool create {vg}/data --size 64M"))?;
    ctx.change(&format!("pool set {vg}/data --overcommit 1.5 --reserve 16M --extend-at 75"))?;
    let tags = ctx.fact(&format!("{vg}/data"), "lv_tags")?;
    ensure!(
        tags == "thinvol.extend-at=75,thinvol.overcommit=1.50,thinvol.reserve=16777216",
        "tags are {tags}"
    );
    let table = ctx.ok(&format!("dmsetup table {vg}-data"))?;
    ensure!(table.trim().ends_with(" 128 256 0"), "a quarter of the chunks is left at the mark: {table}");
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 80M"))?;
    let alloc = format!("alloc {vg}/data 100 vm-100-disk-1 32M");
    let refused = ctx.thinvol(&alloc)?;
    ensure!(
        refused.status == 1
            && refused.stderr.contains("would have 112 MiB together; it promises at most 96 MiB"),
        "{refused:?}"
    );
    let grown = ctx.thinvol(&format!("resize {vg}/vm-100-disk-0 +32M"))?;
    ensure!(grown.status == 1 && grown.stderr.contains("--force"), "{grown:?}");
    let forced = ctx.thinvol(&format!("{alloc} --force"))?;
    ensure!(forced.status == 0 && forced.stderr.contains("warning: the volumes and snapshots"), "{forced:?}");
    let device = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/zero of={} bs=1M count=52 oflag=direct status=none", device.display()))?;
    ctx.change(&format!("pool set {vg}/data --overcommit none"))?;
    let reserved = ctx.thinvol(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ensure!(reserved.status == 1 && reserved.stderr.contains("reserve"), "{reserved:?}");
    ctx.shell(&format!(
        "(dd if=/dev/zero of={} bs=1M seek=52 count=20 oflag=direct > /dev/null 2>&1 &) ; \
         for i in $(seq 300); do dmsetup status {vg}-data-tpool | grep -q out_of_data_space && break; sleep 0.1; done",
        device.display()
    ))?;
    let status = ctx.thinvol(&format!("status {vg}/data -o condition --noheadings"))?;
    ensure!(status.stdout.trim() == "data_full_writes_wait", "{status:?}");
    ensure!(status.stderr.contains("writes that need some wait for it: "), "{status:?}");
    let info = ctx.thinvol(&format!("info {vg}/data"))?;
    ensure!(info.stdout.contains("way out") && info.stdout.contains("writes that wait go on"), "{info:?}");
    ctx.change(&format!("pool extend {vg}/data --size +64M"))?;
    let tags = ctx.fact(&format!("{vg}/data"), "lv_tags")?;
    ensure!(tags == "thinvol.extend-at=75,thinvol.reserve=16777216", "tags are {tags}");
    ctx.agreed(vg)
}

/// What is mapped, and what of it alone, is what `thin_ls` says of the same, while the pool runs and after it.
fn shown(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    ctx.change(&format!("pool create {vg}/data --size 128M"))?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 64M"))?;
    let device = ctx.dev(vg, "vm-100-disk-0");
    let write = |seek: u32, count: u32| {
        let device = device.display();
        ctx.ok(&format!(
            "dd if=/dev/urandom of={device} bs=64k seek={seek} count={count} oflag=direct status=none"
        ))
    };
    write(0, 300)?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@a"))?;
    write(100, 40)?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@b"))?;
    write(290, 60)?;
    ctx.change(&format!("deactivate {vg}/vm-100-disk-0@a"))?;
    let tools = ctx.shell(&format!(
        "dmsetup message {vg}-data-tpool 0 reserve_metadata_snap; \
         thin_ls -m --no-headers -o MAPPED_BLOCKS,EXCLUSIVE_BLOCKS /dev/mapper/{vg}-data_tmeta; \
         dmsetup message {vg}-data-tpool 0 release_metadata_snap"
    ))?;
    let mut tools: Vec<Vec<u64>> = tools
        .lines()
        .map(|line| line.split_whitespace().map(|word| Ok(word.parse::<u64>()? * 65536)).collect())
        .collect::<Result<_>>()?;
    tools.sort();
    let said = |ctx: &Ctx| -> Result<Vec<Vec<u64>>> {
        let shown = ctx.thinvol_json(&format!("pool show {vg}/data --exclusive"))?;
        let holders = shown["holders"].as_array().context("there are no holders")?;
        let number = |value: &serde_json::Value| value.as_u64().context("a number is missing");
        let holder = |it: &serde_json::Value| Ok(vec![number(&it["mapped"])?, number(&it["exclusive"])?]);
        let mut said: Vec<Vec<u64>> = holders.iter().map(holder).collect::<Result<_>>()?;
        said.sort();
        let used: u64 = shown["map"]
            .as_array()
            .context("there is no map")?
            .iter()
            .filter_map(|it| it["used"].as_u64())
            .sum();
        ensure!(Some(used * 65536) == shown["used"].as_u64(), "the map shows {used} chunks: {shown}");
        Ok(said)
    };
    ensure!(tools.len() == 3 && said(ctx)? == tools, "thin_ls says {tools:?}, thinvol {:?}", said(ctx)?);
    let text = ctx.thinvol_ok(&format!("pool show {vg}/data --exclusive"))?;
    for word in ["data_tdata", "data_tmeta", "_pmspare", "linear", "map"] {
        ensure!(text.contains(word), "{word} is missing: {text}");
    }
    let listed = ctx.thinvol_json(&format!("list {vg}/data --snapshots --exclusive"))?;
    let listed = listed["volumes"].as_array().context("there are no volumes")?.iter();
    let sums =
        listed.map(|it| [&it["mapped"], &it["exclusive"], &it["shared"]].map(|it| it.as_u64().unwrap_or(0)));
    let mut sums: Vec<Vec<u64>> = sums.map(|[mapped, alone, shared]| vec![mapped, alone, shared]).collect();
    sums.sort();
    let wanted: Vec<Vec<u64>> = tools.iter().map(|of| vec![of[0], of[1], of[0] - of[1]]).collect();
    ensure!(sums == wanted, "listed are {sums:?}, not {wanted:?}");
    let metrics = ctx.thinvol_ok("metrics --volumes")?;
    let used = format!("thinvol_pool_data_used_bytes{{pool=\"data\",storage=\"\",vg=\"{vg}\"}} ");
    let used = metrics.lines().find_map(|line| line.strip_prefix(&used)).context("no data is told")?;
    let chunks = ctx.ok(&format!("dmsetup status {vg}-data-tpool"))?;
    let chunks: u64 =
        chunks.split_whitespace().nth(5).and_then(|it| it.split('/').next()).unwrap_or("").parse()?;
    ensure!(used == (chunks * 65536).to_string(), "{used} bytes are taken, {chunks} chunks: {metrics}");
    let held = ctx.ok(&format!("dmsetup status {vg}-data-tpool"))?;
    ensure!(held.contains(" - rw "), "no metadata snapshot is left: {held}");
    ctx.change(&format!("deactivate {vg}/data"))?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    ensure!(said(ctx)? == tools, "of a stopped pool thinvol says {:?}", said(ctx)?);
    Ok(())
}

/// A pool that thinvol made serves both, is refused removal while it has volumes, and another one in its place knows
/// nothing of it.
fn own(ctx: &Ctx) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20], 512)?;
    let made = ctx.thinvol_json(&format!("pool create {vg}/data --size 100%FREE"))?;
    ensure!(made["transactions"][0]["commits"] == 1, "one commit makes a pool: {made}");
    ctx.oracle(vg)?;
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    let device = ctx.dev(vg, "vm-100-disk-0");
    ctx.ok(&format!("dd if=/dev/urandom of={} bs=1M count=4 conv=fsync status=none", device.display()))?;
    ctx.ok(&format!("lvcreate -qq -y -V 16M --thinpool {vg}/data -n theirs"))?;
    ctx.change(&format!("snapshot {vg}/vm-100-disk-0@s"))?;
    ctx.agreed(vg)?;
    let refused = ctx.thinvol(&format!("pool remove {vg}/data"))?;
    ensure!(refused.status == 1 && refused.stderr.contains("has volumes: "), "{}", refused.stderr);
    let held = ctx.sh(&format!("sleep 60 < {} > /dev/null 2>&1 & echo $!", device.display()))?;
    let busy = ctx.thinvol(&format!("pool remove {vg}/data --with-volumes"))?;
    ctx.ok(&format!("kill {}", held.stdout.trim()))?;
    ensure!(busy.status == 4, "{}", busy.stderr);
    ctx.oracle(vg)?;
    ctx.change(&format!("pool remove {vg}/data --with-volumes"))?;
    ctx.change(&format!("pool create {vg}/data --size 100%FREE"))?;
    let devices = ctx.fact(&format!("{vg}/data"), "thin_count,transaction_id")?;
    ensure!(devices == "0 0", "the new pool says {devices}");
    ctx.change(&format!("alloc {vg}/data 100 vm-100-disk-0 16M"))?;
    ctx.ok(&format!("cmp -n 16777216 {} /dev/zero", device.display()))?;
    ctx.agreed(vg)
}
