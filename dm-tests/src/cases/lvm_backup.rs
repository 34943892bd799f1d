//! The copies of metadata that we keep are what lvm2 would have kept.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use base::ids::VgName;
use lvm2::format::edit::MetadataHeader;
use lvm2::format::metadata::Metadata;
use lvm2::host::backup::{Backups, Copied, description};
use lvm2::host::scan::Scanner;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::direct::Access;

use super::own_lvm::OwnLvm;
use crate::case::{Case, Tier};
use crate::ctx::Ctx;

/// The cases of this file.
pub const CASES: &[Case] = &[Case {
    name: "lvm_backup::lvm2_takes_our_copies",
    tier: Tier::Full,
    limit_s: 120,
    run: lvm2_takes_them,
}];

fn lvm2_takes_them(ctx: &Ctx) -> Result<()> {
    let lvm = OwnLvm::with_vg(ctx, "", 1)?;
    let vg = VgName::new(ctx.vg())?;
    lvm.ok(&format!("vgchange --addtag before {vg}"))?;
    let copies =
        |folder: &str| -> Result<usize> { Ok(std::fs::read_dir(lvm.system_dir().join(folder))?.count()) };
    for file in std::fs::read_dir(lvm.system_dir().join("backup"))? {
        std::fs::remove_file(file?.path())?;
    }
    let archives = copies("archive")?;

    let conf = lvm.conf()?;
    let scanner = Scanner::of_this_machine(conf.devices.clone());
    let found = scanner.find_vg(&vg)?;
    let store = VgStore::open(scanner.open(&found, Access::ReadOnly)?, &VgRef::Id(found.id))?;
    let metadata = Metadata::parse(store.text())?;
    let header = |after| MetadataHeader {
        description: description("thinvol test", after),
        host: "host".to_owned(),
        uname: "Linux host 6.1.0 #1 x86_64".to_owned(),
        time: 1_795_414_304,
        time_text: "Mon Nov 23 06:11:44 2026".to_owned(),
    };
    let text = |after| metadata.to_backup_file("thinvol test", &header(after));
    let backups = Backups::new(conf.backup.clone());
    let Copied::To(archived) = backups.archive(&vg, &text(false), SystemTime::now())? else {
        anyhow::bail!("no copy was wanted")
    };
    backups.backup(&vg, &text(true))?;

    let listed = lvm.ok(&format!("vgcfgrestore --list {vg}"))?;
    for expected in ["Created *before* executing 'thinvol test'", "Created *after* executing 'thinvol test'"]
    {
        ensure!(listed.contains(expected), "lvm2 does not list our copy: {expected}");
    }
    let name = archived.file_name().and_then(|name| name.to_str()).context("a name")?;
    ensure!(listed.contains(name), "lvm2 does not list {name}");
    let number =
        |name: &str| name.rsplit_once('_').and_then(|(_, rest)| rest.get(..5)?.parse::<usize>().ok());
    ensure!(number(name) == Some(archives), "lvm2 would have numbered it {archives}: {name}");

    // A backup that lvm2 takes for current is left as it is.
    lvm.silent(&format!("vgs {vg}"))?;
    ensure!(copies("archive")? == archives + 1, "lvm2 archived the group again");
    let kept = std::fs::read(lvm.system_dir().join("backup").join(vg.as_str()))?;
    ensure!(kept == text(true), "lvm2 wrote its own backup over ours");

    lvm.ok(&format!("vgchange --addtag after {vg}"))?;
    lvm.ok(&format!("vgcfgrestore --yes -f {} {vg}", Path::new(&archived).display()))?;
    let tags = lvm.ok(&format!("vgs --noheadings -o vg_tags {vg}"))?;
    ensure!(tags.trim() == "before", "the restored state has other tags: {tags}");
    lvm.silent(&format!("vgck {vg}"))?;
    Ok(())
}
