//! A small volume group that is made once and then put back, byte for byte, before each state.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};

use super::rows::Row;
use super::transcript::Transcript;
use crate::ctx::{Ctx, Disk};

/// Disks there are: `{0}` and `{1}` are the physical volumes of `pve`, `{2}` is what rows want it to be.
const DISKS: usize = 3;

/// Bytes of each.
const DISK_BYTES: u64 = 48 << 20;

/// The size of the pieces that are compared.
const BLOCK: usize = 64 << 10;

/// The pool `data` on disk `{0}`, volumes and a read-only snapshot, each with a content of its own.
const BUILD: [&str; 8] = [
    "vgcreate -qq --yes -s 1m --setautoactivation n pve {0} {1}",
    "lvcreate -qq --yes -T pve/data -L 28M --poolmetadatasize 2M --chunksize 64k {0}",
    "lvcreate -qq -V 6M -T pve/data -n vm-100-disk-0",
    "lvcreate -qq -V 4M -T pve/data -n vm-100-disk-1",
    "dd if=/dev/urandom of=/dev/pve/vm-100-disk-0 bs=64k count=16 oflag=direct",
    "dd if=/dev/urandom of=/dev/pve/vm-100-disk-1 bs=64k count=8 oflag=direct",
    "lvcreate -qq -s -n snap_vm-100-disk-0_a -pr pve/vm-100-disk-0",
    "dd if=/dev/urandom of=/dev/pve/vm-100-disk-0 bs=64k count=8 oflag=direct",
];

/// A volume that was there before.
pub struct Kept {
    /// Its uuid in lvm2's text.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The disks.
pub struct Machine<'a> {
    ctx: &'a Ctx,
    disks: Vec<Disk>,
    saved: Vec<Vec<u8>>,
    /// Its volumes at the start.
    pub kept: Vec<Kept>,
    is_idle: bool,
}

impl<'a> Machine<'a> {
    /// Makes the state that the row starts from, and saves it.
    pub fn build(ctx: &'a Ctx, row: &Row) -> Result<Self> {
        let disks = (0..DISKS).map(|_| ctx.disk(DISK_BYTES)).collect::<Result<Vec<_>>>()?;
        let mut machine = Self { ctx, disks, saved: Vec::new(), kept: Vec::new(), is_idle: false };
        let mut said = Transcript::new(ctx);
        for line in BUILD.iter().chain(row.build) {
            said.ok(&machine.line(line)).with_context(|| said.to_string())?;
        }
        machine.kept = kept(&mut said)?;
        machine.stop()?;
        for disk in &machine.disks {
            machine.saved.push(std::fs::read(disk.file())?);
        }
        Ok(machine)
    }

    /// Everything as it was when it was made, and active as the row wants it.
    pub fn start(&mut self, said: &mut Transcript, row: &Row) -> Result<()> {
        if !std::mem::take(&mut self.is_idle) {
            self.stop()?;
        }
        for folder in ["/run/thinvol", "/etc/lvm/archive", "/etc/lvm/backup"] {
            for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let _ = std::fs::remove_file(file.path());
            }
        }
        for (disk, saved) in self.disks.iter().zip(&self.saved) {
            put_back(disk, saved)?;
        }
        let devices: Vec<String> = self.disks.iter().map(Disk::name).collect();
        said.ok(&format!("blockdev --flushbufs {}", devices.join(" ")))?;
        for line in row.start {
            said.ok(&self.line(line))?;
        }
        Ok(())
    }

    /// After the command: what the row says happens meanwhile, and nobody waits for it any more.
    pub fn prepare_to_judge(&self, said: &mut Transcript, row: &Row) -> Result<()> {
        // A killed process cannot remove the semaphore it waited on.
        said.ok("dmsetup udevcomplete_all --yes")?;
        for line in row.after {
            said.ok(&self.line(line))?;
        }
        said.run("udevadm settle --timeout=20").map(drop)
    }

    /// The last state held to its end: nothing is active.
    pub fn is_idle(&mut self) {
        self.is_idle = true;
    }

    /// A line with the names of the disks put in.
    pub fn line(&self, line: &str) -> String {
        let places = self.disks.iter().enumerate();
        places.fold(line.to_owned(), |line, (number, disk)| {
            line.replace(&format!("{{{number}}}"), &disk.name())
        })
    }

    /// Takes it down: what comes after finds no volume group.
    pub fn remove(self) -> Result<()> {
        self.stop()?;
        let devices: Vec<String> = self.disks.iter().map(Disk::name).collect();
        Transcript::new(self.ctx).ok(&format!("wipefs --quiet --all {}", devices.join(" "))).map(drop)
    }

    /// Removes every device, and keeps the disks.
    fn stop(&self) -> Result<()> {
        let mut said = Transcript::new(self.ctx);
        said.run("dmsetup udevcomplete_all --yes")?;
        for _ in 0..5 {
            // What was left suspended, and whatever holds what.
            let names = said.ok("dmsetup ls")?;
            if names.contains("No devices") {
                return Ok(());
            }
            for name in names.lines().filter_map(|line| line.split_whitespace().next()) {
                said.run(&format!("dmsetup resume --noudevsync {name}"))?;
            }
            said.run("vgchange -an --yes")?;
            said.run("dmsetup remove_all --noudevsync")?;
            said.run("udevadm settle --timeout=20")?;
        }
        anyhow::bail!("devices stay:\n{said}")
    }
}

/// Writes what differs to the file behind the disk.
fn put_back(disk: &Disk, saved: &[u8]) -> Result<()> {
    let file = File::options().read(true).write(true).open(disk.file())?;
    let mut block = vec![0; BLOCK];
    for (number, wanted) in saved.chunks(BLOCK).enumerate() {
        let at = u64::try_from(number * BLOCK)?;
        let there = block.get_mut(..wanted.len()).context("a block")?;
        file.read_exact_at(there, at)?;
        if there != wanted {
            file.write_all_at(wanted, at)?;
        }
    }
    Ok(())
}

/// All visible volumes that are no pools.
fn kept(said: &mut Transcript) -> Result<Vec<Kept>> {
    let list = said.ok("lvs --noheadings -o lv_uuid,lv_name,lv_full_name -S 'segtype!=thin-pool'")?;
    let mut kept = Vec::new();
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [uuid, name, path] = words.as_slice() else { anyhow::bail!("not three fields: {line}") };
        said.ok(&format!("lvchange -qq -ay -K {path}"))?;
        kept.push(Kept { uuid: (*uuid).to_owned(), name: (*name).to_owned(), content: content(path)? });
    }
    ensure!(!kept.is_empty(), "no volumes");
    Ok(kept)
}

/// The content of the active volume `vg/lv`.
pub fn content(path: &str) -> Result<Vec<u8>> {
    let mut device = File::open(format!("/dev/{path}")).with_context(|| format!("no device of {path}"))?;
    let bytes = device.seek(SeekFrom::End(0))?;
    device.rewind()?;
    let mut content = Vec::new();
    device.take(bytes).read_to_end(&mut content)?;
    Ok(content)
}
