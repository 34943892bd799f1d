//! lvm2 and our store take turns at committing to the same metadata areas, and read each other byte for byte.

use anyhow::{Context, Result, ensure};
use base::ids::VgName;
use lvm2::format::text::Document;
use lvm2::host::store::issue::StoreIssue;
use lvm2::host::store::vg::VgStore;
use lvm2::host::store::vg_ref::VgRef;
use sys::io::block::BlockDev;
use sys::io::direct::{Access, DirectFile};

use crate::case::{Case, Tier};
use crate::ctx::{Ctx, Disk};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "store::sectors_of_512", tier: Tier::Full, limit_s: 240, run: sectors_of_512 },
    Case { name: "store::sectors_of_4096", tier: Tier::Full, limit_s: 240, run: sectors_of_4096 },
    Case { name: "store::two_areas_each", tier: Tier::Full, limit_s: 240, run: two_areas_each },
    Case { name: "store::ignored_areas", tier: Tier::Full, limit_s: 240, run: ignored_areas },
    Case { name: "store::lagging_copy", tier: Tier::Full, limit_s: 240, run: lagging_copy },
];

const DISK_BYTES: u64 = 16 << 20;

/// Options of vgcreate for rings so small that texts soon wrap. By default the area is stretched to a MiB.
const SMALL_RING: &str = "--metadatasize 60k --dataalignment 64k";

fn sectors_of_512(ctx: &Ctx) -> Result<()> {
    take_turns(ctx, &disks(ctx, 1, 512)?, SMALL_RING)
}

fn sectors_of_4096(ctx: &Ctx) -> Result<()> {
    take_turns(ctx, &disks(ctx, 2, 4096)?, SMALL_RING)
}

fn two_areas_each(ctx: &Ctx) -> Result<()> {
    take_turns(ctx, &disks(ctx, 2, 512)?, &format!("{SMALL_RING} --pvmetadatacopies 2"))
}

/// One area of the first disk is set aside: neither side touches it, and both agree on it.
fn ignored_areas(ctx: &Ctx) -> Result<()> {
    let disks = disks(ctx, 2, 512)?;
    create(ctx, &disks, SMALL_RING)?;
    // lvm2 says that it does what it was asked for.
    ctx.ok(&format!("pvchange --metadataignore y {}", disks[0].name()))?;
    let mut store = open(ctx, &disks)?;
    ensure!(matches!(store.issues(), [StoreIssue::Ignored { .. }]), "{:?}", store.issues());
    commit(&mut store, 900)?;
    drop(store);
    check(ctx, &disks[1..])?;
    let used = ctx.lvm(&format!("vgs --noheadings -o vg_mda_used_count {}", ctx.vg()))?;
    ensure!(used.trim() == "1", "areas in use: {used}");
    ctx.lvm(&format!("vgchange --addtag after {}", ctx.vg()))?;
    check(ctx, &disks[1..])?;
    ctx.oracle(ctx.vg())
}

/// A copy that a commit did not reach makes lvm2 warn, and our next commit heals it.
fn lagging_copy(ctx: &Ctx) -> Result<()> {
    let disks = disks(ctx, 2, 512)?;
    create(ctx, &disks, SMALL_RING)?;
    let header = std::fs::read(disks[1].file())?[4096..4608].to_vec();
    commit(&mut open(ctx, &disks)?, 500)?;
    DirectFile::open(disks[1].device(), Access::ReadWrite)?.write_at(4096, &header)?;
    let warned = ctx.run(&["vgs", ctx.vg()])?;
    ensure!(warned.stderr.contains("ignoring metadata seqno"), "lvm2 does not see it: {}", warned.stderr);
    let mut store = open(ctx, &disks)?;
    ensure!(matches!(store.issues(), [StoreIssue::Lagging { .. }]), "{:?}", store.issues());
    commit(&mut store, 600)?;
    drop(store);
    check(ctx, &disks)
}

fn disks(ctx: &Ctx, count: usize, sector: u32) -> Result<Vec<Disk>> {
    (0..count).map(|_| ctx.disk_with_sectors(DISK_BYTES, sector)).collect()
}

fn create(ctx: &Ctx, disks: &[Disk], options: &str) -> Result<()> {
    let names: Vec<String> = disks.iter().map(Disk::name).collect();
    ctx.ok(&format!("vgcreate --yes {options} {} {}", ctx.vg(), names.join(" ")))?;
    Ok(())
}

/// lvm2 and we commit in turn, texts of such sizes that one of ours and one of its own wrap.
fn take_turns(ctx: &Ctx, disks: &[Disk], options: &str) -> Result<()> {
    create(ctx, disks, options)?;
    for (turn, size) in [4000, 19_000, 14_500, 1].into_iter().enumerate() {
        ctx.lvm(&format!("vgchange --addtag turn{turn} {}", ctx.vg()))?;
        let mut store = open(ctx, disks)?;
        ensure!(store.issues().is_empty(), "{:?}", store.issues());
        let text = String::from_utf8_lossy(store.text()).into_owned();
        ensure!(text.contains(&format!("\"turn{turn}\"")), "lvm2's tag is not in the text:\n{text}");
        // Twice, so that our texts follow our own, too.
        commit(&mut store, size)?;
        commit(&mut store, size + 700)?;
        drop(store);
        check(ctx, disks)?;
    }
    ctx.oracle(ctx.vg())
}

fn open(ctx: &Ctx, disks: &[Disk]) -> Result<VgStore> {
    let open = |disk: &Disk| -> Result<Box<dyn BlockDev>> {
        Ok(Box::new(DirectFile::open(disk.device(), Access::ReadWrite)?))
    };
    let devices = disks.iter().map(open).collect::<Result<_>>()?;
    Ok(VgStore::open(devices, &VgRef::Name(VgName::new(ctx.vg())?))?)
}

/// Commits the group's text with tags of about `size` bytes.
fn commit(store: &mut VgStore, size: usize) -> Result<()> {
    let mut document = Document::parse(store.text())?;
    let (name, seqno) = (store.summary().name.clone(), store.summary().seqno.next().context("seqno")?);
    let node = |document: &Document, key: &str| document.lookup_node(&format!("{name}/{key}"));
    let at = node(&document, "seqno").context("a group has a seqno")?;
    document.set_value(at, &seqno.to_string())?;
    // lvm2 takes tags of up to 1024 characters.
    let tags: Vec<String> =
        (0..=size / 1000).map(|number| format!("\"{}.{number}\"", "x".repeat(size.min(980)))).collect();
    let tags = format!("[{}]", tags.join(", "));
    match node(&document, "tags") {
        Some(at) => document.set_value(at, &tags)?,
        None => {
            let vg = document.root().section(name.as_str()).context("a text has its group")?.id();
            document.insert(vg, Some(at), &format!("tags = {tags}"))?;
        }
    }
    let committed = store.commit(&document.to_bytes())?;
    ensure!(committed.failed.is_empty() && committed.written > 0, "{committed:?}");
    Ok(())
}

/// lvm2 has no complaint, and reads from every area the text that we read.
fn check(ctx: &Ctx, disks: &[Disk]) -> Result<()> {
    let store = open(ctx, disks)?;
    ctx.lvm(&format!("vgck {}", ctx.vg()))?;
    let seqno = ctx.lvm(&format!("vgs --noheadings -o vg_seqno {}", ctx.vg()))?;
    ensure!(seqno.trim() == store.summary().seqno.to_string(), "lvm2 has state {seqno}");
    let text = store.text().strip_suffix(b"\0").context("both write a NUL at the end")?;
    let dumped = ctx.dir().join("dumped");
    for disk in disks {
        ctx.lvm(&format!("pvck --dump metadata -f {} {}", dumped.display(), disk.name()))?;
        let found = std::fs::read(&dumped)?;
        ensure!(found.trim_ascii() == text.trim_ascii(), "lvm2 reads another text from {}", disk.name());
        // lvm2 does not overwrite it.
        std::fs::remove_file(&dumped)?;
    }
    Ok(())
}
