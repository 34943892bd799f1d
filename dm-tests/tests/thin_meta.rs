//! Pool metadata made by thin-provisioning-tools, against the reader of the library.
//!
//! Needs `thin_restore` and `thin_dump`; without them the tests say so and pass. `vm-harness/run test`
//! installs them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base::ids::ThinId;
use base::units::Chunks;
use dm_tests::world::asks::{Start, create, remove, snapshot};
use dm_tests::world::crashes::recovered;
use dm_tests::world::recovered::xml as recovered_xml;
use thin::internals::meta::{BLOCK_BYTES, Block, DifferenceKind, MappedRun, ThinMeta};

/// Chunk to data chunk and time.
type Mappings = BTreeMap<u64, (u64, u32)>;

struct Device {
    transaction: u64,
    created: u32,
    snapshotted: u32,
    mappings: Mappings,
}

fn tools_are_missing() -> bool {
    let missing = ["thin_restore", "thin_dump"].map(|tool| Command::new(tool).arg("-V").output().is_err());
    if missing.contains(&true) {
        eprintln!("SKIPPED: thin_restore and thin_dump are not installed (package thin-provisioning-tools)");
        return true;
    }
    false
}

/// A sequence without structure, the same in every run.
struct Scatter(u64);

impl Scatter {
    /// The next number below `bound`. Source of the constants: Knuth, MMIX.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % bound
    }
}

fn xml(devices: &BTreeMap<u32, Device>, data_blocks: u64) -> Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        concat!(
            r#"<superblock uuid="" time="9" transaction="4711" flags="0" version="2" "#,
            r#"data_block_size="128" nr_data_blocks="{}">"#
        ),
        data_blocks
    )?;
    for (id, device) in devices {
        let Device { transaction, created, snapshotted, mappings } = device;
        let count = mappings.len();
        writeln!(
            text,
            concat!(
                r#"<device dev_id="{}" mapped_blocks="{}" transaction="{}" "#,
                r#"creation_time="{}" snap_time="{}">"#
            ),
            id, count, transaction, created, snapshotted
        )?;
        for (chunk, (data, time)) in mappings {
            writeln!(text, r#"<single_mapping origin_block="{chunk}" data_block="{data}" time="{time}"/>"#)?;
        }
        writeln!(text, "</device>")?;
    }
    text.push_str("</superblock>\n");
    Ok(text)
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {stderr}");
    Ok(String::from_utf8(output.stdout)?)
}

fn restore(dir: &Path, devices: &BTreeMap<u32, Device>, data_blocks: u64, size: u64) -> Result<File> {
    let (source, target) = (dir.join("x.xml"), dir.join("meta.bin"));
    std::fs::write(&source, xml(devices, data_blocks)?)?;
    File::create(&target)?.set_len(size)?;
    run(Command::new("thin_restore").arg("-i").arg(&source).arg("-o").arg(&target))?;
    Ok(File::open(&target)?)
}

fn reader(file: &File) -> impl FnMut(u64) -> io::Result<Block> {
    move |block| {
        let mut data = [0; BLOCK_BYTES];
        let at = u64::try_from(BLOCK_BYTES).ok().and_then(|size| size.checked_mul(block));
        file.read_exact_at(&mut data, at.ok_or_else(|| io::Error::other("too far"))?)?;
        Ok(data)
    }
}

fn id(id: u32) -> Result<ThinId> {
    Ok(ThinId::new(u64::from(id))?)
}

/// What `ours` maps, chunk by chunk.
fn mapped(meta: &mut ThinMeta<impl thin::internals::meta::ReadBlock>, id: ThinId) -> Result<Mappings> {
    Ok(chunks(&meta.mappings(id)?))
}

/// The same of runs.
fn chunks(runs: &[MappedRun]) -> Mappings {
    let of = |run: &MappedRun| {
        let run = *run;
        (0..run.length.get()).map(move |n| (run.chunk.get() + n, (run.data.get() + n, run.time)))
    };
    runs.iter().flat_map(of).collect()
}

/// 3,000 devices: more than one node holds, ids all over the 24 bits, some without mappings.
fn many_devices() -> BTreeMap<u32, Device> {
    let mut scatter = Scatter(1);
    let mut data = 0;
    let mut devices = BTreeMap::new();
    for n in 0..3000_u32 {
        let id = if n == 0 { (1 << 24) - 1 } else { n * 5501 };
        let mappings = (0..scatter.below(20)).map(|_| {
            data += 1;
            (scatter.below(1 << 30), (data, u32::try_from(scatter.below(9)).unwrap_or(0)))
        });
        let mappings = mappings.collect();
        let device = Device { transaction: u64::from(n), created: n % 7, snapshotted: n % 9, mappings };
        devices.insert(id, device);
    }
    devices
}

#[test]
fn thousands_of_devices_are_read() -> Result<()> {
    if tools_are_missing() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let devices = many_devices();
    let file = restore(dir.path(), &devices, 100_000, 64 << 20)?;
    let mut meta = ThinMeta::open(reader(&file))?;
    assert_eq!(meta.superblock().transaction_id.0, 4711);
    let details = meta.details()?;
    assert_eq!(details.len(), devices.len());
    for (number, device) in &devices {
        let found = details.get(&id(*number)?).with_context(|| format!("device {number} is missing"))?;
        let expected = (device.transaction, device.created, device.snapshotted);
        assert_eq!((found.transaction_id.0, found.creation_time, found.snapshotted_time), expected);
        assert_eq!(mapped(&mut meta, id(*number)?)?, device.mappings, "device {number}");
        assert_eq!(found.mapped_blocks, u64::try_from(device.mappings.len())?);
    }
    Ok(())
}

#[test]
fn large_devices_are_read_and_compared() -> Result<()> {
    if tools_are_missing() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut scatter = Scatter(7);
    // Scattered chunks, so that no run is long and the tree has three levels.
    let first: Mappings = (0..90_000).map(|n| (n * 3 + scatter.below(3), (n, 0))).collect();
    let mut second = first.clone();
    let mut expected: BTreeMap<u64, DifferenceKind> = BTreeMap::new();
    for n in 0..500 {
        let chunk = scatter.below(300_000);
        let kind = match second.insert(chunk, (100_000 + n, 1)) {
            Some(_) => DifferenceKind::Changed,
            None => DifferenceKind::RightOnly,
        };
        expected.entry(chunk).or_insert(kind);
    }
    let dropped: Vec<u64> = first.keys().copied().filter(|chunk| chunk % 1009 == 0).collect();
    for chunk in dropped {
        second.remove(&chunk);
        expected.insert(chunk, DifferenceKind::LeftOnly);
    }
    let device = |mappings| Device { transaction: 1, created: 0, snapshotted: 1, mappings };
    let devices = BTreeMap::from([(1, device(first)), (2, device(second))]);
    let file = restore(dir.path(), &devices, 200_000, 64 << 20)?;
    let mut meta = ThinMeta::open(reader(&file))?;
    for (number, device) in &devices {
        assert_eq!(mapped(&mut meta, id(*number)?)?, device.mappings);
        for (from, to) in [(0, 1), (1000, 70_000), (69_999, 70_003), (150_000, 150_001), (269_000, u64::MAX)]
        {
            let runs = meta.mappings_within(id(*number)?, Chunks::new(from), Chunks::new(to))?;
            let found: Mappings = chunks(&runs);
            assert_eq!(found, device.mappings.range(from..to).map(|(at, to)| (*at, *to)).collect());
        }
    }
    let found = meta.differences(id(1)?, id(2)?)?;
    let found: BTreeMap<u64, DifferenceKind> =
        found.iter().flat_map(|d| (0..d.length.get()).map(|n| (d.chunk.get() + n, d.kind))).collect();
    assert_eq!(found, expected);
    Ok(())
}

/// What `thin_dump` prints of one device: its attributes, then its mappings expanded.
fn dumped(text: &str) -> Result<BTreeMap<u32, Mappings>> {
    let mut devices: BTreeMap<u32, Mappings> = BTreeMap::new();
    let mut current = None;
    for line in text.lines().map(str::trim) {
        let number = |name: &str| -> Result<u64> {
            let start = line.find(&format!("{name}=\"")).with_context(|| format!("no {name} in {line}"))?;
            let value = line[start + name.len() + 2..].split('"').next().context("an open quote")?;
            Ok(value.parse()?)
        };
        if line.starts_with("<device ") {
            let id = u32::try_from(number("dev_id")?)?;
            devices.insert(id, Mappings::new());
            current = Some(id);
        }
        let (chunk, data, length) = match line.split(' ').next() {
            Some("<single_mapping") => (number("origin_block")?, number("data_block")?, 1),
            Some("<range_mapping") => (number("origin_begin")?, number("data_begin")?, number("length")?),
            _ => continue,
        };
        let time = u32::try_from(number("time")?)?;
        let device = current.and_then(|id| devices.get_mut(&id)).context("a mapping outside of a device")?;
        device.extend((0..length).map(|n| (chunk + n, (data + n, time))));
    }
    Ok(devices)
}

#[test]
fn thin_dump_sees_the_same() -> Result<()> {
    if tools_are_missing() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let mut devices = many_devices();
    devices.retain(|number, _| number % 10 == 1);
    let file = restore(dir.path(), &devices, 100_000, 16 << 20)?;
    let theirs = dumped(&run(Command::new("thin_dump").arg(dir.path().join("meta.bin")))?)?;
    let mut meta = ThinMeta::open(reader(&file))?;
    assert!(theirs.len() > 100, "{} devices", theirs.len());
    assert_eq!(meta.details()?.len(), theirs.len());
    for (number, mappings) in theirs {
        assert_eq!(mapped(&mut meta, id(number)?)?, mappings, "device {number}");
    }
    Ok(())
}

/// What recovery leads to in simulation can be given to a real machine: the tools take its pools for whole ones.
#[test]
fn pools_of_recovered_states_are_whole_to_the_tools() -> Result<()> {
    if tools_are_missing() {
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let [source, target] = ["x.xml", "meta.bin"].map(|name| dir.path().join(name));
    let requests = [snapshot("a", "n"), create("m", false), remove("b")];
    let states = recovered(&Start::Used.world(1), &requests)
        .map_err(|failures| anyhow::anyhow!("{}", failures.join("\n")))?;
    // The old one, the new one, and what a power failure left.
    ensure!(states.len() >= 3, "{} states", states.len());
    for state in &states {
        let pool = state.pool.as_ref().context("the pool ran")?;
        ensure!(pool.devices.iter().any(|(_, _, mappings)| !mappings.is_empty()), "no data: {pool:?}");
        std::fs::write(&source, recovered_xml(pool))?;
        File::create(&target)?.set_len(4 << 20)?;
        run(Command::new("thin_restore").arg("-i").arg(&source).arg("-o").arg(&target))?;
        run(Command::new("thin_check").arg(&target)).with_context(|| state.how.clone())?;
        let file = File::open(&target)?;
        let mut meta = ThinMeta::open(reader(&file))?;
        ensure!(meta.details()?.len() == pool.devices.len());
    }
    Ok(())
}
