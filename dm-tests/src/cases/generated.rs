//! Volume groups made of random changes by our writer, read by lvm2's reader: both must see the same volumes.

use anyhow::{Context, Result, ensure};
use base::ids::{LvName, LvmUuid, ThinId, TransactionId, VgName};
use base::units::Extents;
use lvm2::format::edit::{Edit, MetadataHeader, NewThin};
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Lv, Vg};
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use serde_json::Value;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};

use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[Case {
    name: "generated::groups_read_by_lvm2",
    tier: Tier::Full,
    limit_s: 400,
    run: |ctx| groups_read_by_lvm2(ctx, 0x9e37_79b9_7f4a_7c15, 5),
}];

/// Those that take longer.
pub const LONG: &[Case] = &[Case {
    name: "generated::many_groups_read_by_lvm2",
    tier: Tier::Full,
    limit_s: 900,
    run: |ctx| groups_read_by_lvm2(ctx, 0xd1b5_4a32_d192_ed03, 40),
}];

/// The most changes in one commit.
const EDITS: u64 = 12;

/// That many commits, drawn from a seed.
fn groups_read_by_lvm2(ctx: &Ctx, seed: u64, rounds: u64) -> Result<()> {
    let vg = ctx.volume_group(&[256 << 20, 64 << 20], 512)?;
    ctx.ok(&format!("lvcreate -y --type thin-pool -L 64M -n data {vg}"))?;
    ctx.ok(&format!("lvcreate -V 8M -T {vg}/data -n seed"))?;
    ctx.lvm(&format!("vgchange -an {vg}"))?;
    let disks = ctx.lvm(&format!("pvs --noheadings -o pv_name -S vg_name={vg}"))?;
    let mut random = Random(seed);
    for round in 0..rounds {
        let devices = disks.split_whitespace().map(|disk| -> Result<Box<dyn BlockDev>> {
            Ok(Box::new(DirectFile::open(disk.as_ref(), Access::ReadWrite)?))
        });
        let mut store = VgStore::open(devices.collect::<Result<_>>()?, &VgRef::Name(VgName::new(vg)?))?;
        let mut metadata = Metadata::parse(store.text())?;
        let edits = random_edits(&metadata.vg, round, &mut random)?;
        println!("round {round}: {edits:?}");
        metadata = metadata.apply(&edits, &metadata_header(round))?;
        store.commit(&metadata.to_disk())?;
        drop(store);
        ctx.oracle(vg)?;
        same(ctx, &metadata.vg)?;
        // lvm2 writes it out in its own way; reading that must give the same again.
        ctx.lvm(&format!("vgchange --addtag round{round} {vg}"))?;
        let file = ctx.dir().join("oracle.vg");
        ctx.lvm(&format!("vgcfgbackup -f {} {vg}", file.display()))?;
        let again = Metadata::parse(&std::fs::read(&file)?)?;
        ensure!(sorted(&again.vg) == sorted(&metadata.vg), "lvm2 wrote something else: {:#?}", again.vg);
    }
    Ok(())
}

fn sorted(vg: &Vg) -> Vec<Lv> {
    let mut lvs: Vec<Lv> = vg.lvs.iter().cloned().collect();
    lvs.sort_by(|a, b| a.name.cmp(&b.name));
    lvs
}

fn metadata_header(round: u64) -> MetadataHeader {
    MetadataHeader {
        description: format!("Write from test {round}."),
        host: "generated".into(),
        time: 1_700_000_000 + round,
        ..MetadataHeader::default()
    }
}

/// A small generator with a fixed seed: a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Changes of different volumes, each possible by itself and all of them together.
fn random_edits(vg: &Vg, round: u64, random: &mut Random) -> Result<Vec<Edit>> {
    let pool = LvName::new("data")?;
    let mut edits = Vec::new();
    let mut untouched: Vec<&Lv> = vg.thins_of(&pool).map(|(lv, _)| lv).collect();
    let mut next_id = vg.thins_of(&pool).map(|(_, thin)| thin.device_id.get()).max().unwrap_or(0) + 1;
    for number in 0..=random.below(EDITS) {
        let picked = u64::try_from(untouched.len())?;
        if picked == 0 || random.below(3) == 0 {
            let origin = vg.lvs.iter().find(|lv| lv.name.as_str() == "seed").filter(|_| random.below(2) == 0);
            edits.push(Edit::AddThin(NewThin {
                name: LvName::new(&format!("g-{round}.{number}+x"))?,
                id: LvmUuid::from_random(std::array::from_fn(|_| random.below(256).try_into().unwrap_or(0))),
                read_only: random.below(2) == 0,
                flags: ["ACTIVATION_SKIP", "NOAUTOACTIVATE"].map(str::to_owned)
                    [..usize::try_from(random.below(3))?]
                    .to_vec(),
                tags: vec![format!("thinvol.of=g{number}"), "a/b:c&d#e!f".into()],
                creation_time: 1_700_000_000 + number,
                creation_host: "generated".into(),
                extents: Extents::new(1 + random.below(1000)),
                pool: pool.clone(),
                transaction_id: TransactionId(1),
                device_id: ThinId::new(u64::from(next_id))?,
                origin: origin.map(|lv| lv.name.clone()),
                external_origin: None,
            }));
            next_id += 1 + u32::try_from(random.below(2000))?;
            continue;
        }
        let lv = untouched.swap_remove(usize::try_from(random.below(picked))?);
        let name = lv.name.clone();
        edits.push(match random.below(6) {
            _ if name.as_str() == "seed" => Edit::AddTag { lv: name, tag: format!("t{round}") },
            0 => Edit::RemoveLv(name),
            1 => Edit::RenameLv { from: name, to: LvName::new(&format!("r-{round}.{number}"))? },
            2 => Edit::SetLvWritable { lv: name, on: random.below(2) == 0 },
            3 => Edit::SetThinExtents { lv: name, count: Extents::new(1 + random.below(5000)) },
            4 => Edit::SetLvFlag { lv: name, flag: "ACTIVATION_SKIP".into(), on: random.below(2) == 0 },
            _ => Edit::AddTag { lv: name, tag: format!("t{round}-{number}") },
        });
    }
    Ok(edits)
}

/// lvm2's report of every volume against our model.
fn same(ctx: &Ctx, vg: &Vg) -> Result<()> {
    let fields = "lv_name,lv_uuid,lv_size,lv_tags,thin_id,pool_lv,origin,lv_attr,lv_skip_activation";
    let line = format!("lvs -a --reportformat json --units s --nosuffix -o {fields} {}", vg.name);
    let report: Value = serde_json::from_str(&ctx.lvm(&line)?)?;
    let rows = report["report"][0]["lv"].as_array().context("no rows")?;
    ensure!(rows.len() == vg.lvs.len(), "lvm2 sees {} volumes, we {}", rows.len(), vg.lvs.len());
    for lv in &vg.lvs {
        let shown = |row: &&Value| row["lv_uuid"].as_str() == Some(lv.id.to_string().as_str());
        let row = rows.iter().find(shown).with_context(|| format!("lvm2 does not see {}", lv.name))?;
        let thin = lv.thin();
        let mut tags = lv.tags.clone();
        tags.sort();
        let mut seen: Vec<&str> = row["lv_tags"].as_str().unwrap_or_default().split(',').collect();
        seen.retain(|tag| !tag.is_empty());
        seen.sort_unstable();
        ensure!(tags == seen, "tags of {}: {row}", lv.name);
        let sectors =
            lv.extents().and_then(|extents| extents.to_sectors(vg.extent_size)).context("a size")?;
        let expected = [
            ("lv_name", if lv.is_visible() { lv.name.to_string() } else { format!("[{}]", lv.name) }),
            ("lv_size", sectors.to_string()),
            ("thin_id", thin.map(|thin| thin.device_id.to_string()).unwrap_or_default()),
            ("pool_lv", thin.map(|thin| thin.pool.to_string()).unwrap_or_default()),
            ("origin", thin.and_then(|thin| thin.origin.as_ref()).map(LvName::to_string).unwrap_or_default()),
            (
                "lv_skip_activation",
                if lv.has_flag("ACTIVATION_SKIP") { "skip activation" } else { "" }.into(),
            ),
        ];
        for (field, value) in expected {
            ensure!(
                row[field].as_str() == Some(value.as_str()),
                "{field} of {} is not '{value}': {row}",
                lv.name
            );
        }
        // The second letter is w or r by the metadata; `lv_permissions` asks the kernel.
        let writable = row["lv_attr"].as_str().and_then(|attr| attr.chars().nth(1)) == Some('w');
        ensure!(writable == lv.is_writable() || thin.is_none(), "permission of {}: {row}", lv.name);
    }
    Ok(())
}
