//! Two volume groups alike, each with a pool `data`: one for Proxmox VE's commands, one for thinvol.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use crate::ctx::{Ctx, Ran};

/// The group that Proxmox VE's commands work in.
const PROXMOX: &str = "twina";

/// The group that thinvol works in, and the id of the storage it is.
const THINVOL: &str = "twinb";

/// The marks of thinvol's own tags, which Proxmox VE's side cannot have.
const OWN_TAGS: &str = "thinvol";

/// Where `lv_attr` says whether the device is open: the users of the two sides come and go one after the other.
const OPEN: std::ops::Range<usize> = 5..6;

/// How much of each volume is compared: more than the operations write.
const COMPARED_BYTES: u64 = 32 << 20;

/// What lvm2 says of a volume, by its name.
pub type Facts = BTreeMap<String, Vec<String>>;

/// What lvm2 says of both sides.
pub struct Both {
    /// Of the side that Proxmox VE's commands made.
    pub proxmox: Facts,
    /// Of the side that thinvol made.
    pub thinvol: Facts,
}

/// Whether what lvm2 calls a volume's origin must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origins {
    /// It must.
    Compared,
    /// It is left out.
    Left,
}

/// The two groups.
pub struct Twins<'a> {
    ctx: &'a Ctx,
    config: PathBuf,
    origins: Origins,
}

impl<'a> Twins<'a> {
    /// Makes both by the commands that Proxmox VE's users know.
    pub fn new(ctx: &'a Ctx, origins: Origins) -> Result<Self> {
        for vg in [PROXMOX, THINVOL] {
            let disk = ctx.disk(512 << 20)?;
            ctx.ok(&format!("vgcreate --yes --setautoactivation n {vg} {}", disk.name()))?;
            ctx.ok(&format!("lvcreate --yes -L 256M -n data {vg}"))?;
            ctx.ok(&format!("lvconvert --yes --type thin-pool {vg}/data"))?;
        }
        let config = ctx.dir().join("storage.cfg");
        std::fs::write(
            &config,
            format!("lvmthin: twin\n\tthinpool data\n\tvgname {THINVOL}\n\tcontent images\n"),
        )?;
        Ok(Self { ctx, config, origins })
    }

    /// Runs command lines with `{vg}` for the group's name, until one fails. Says whether all succeeded.
    pub fn as_proxmox_does(&self, lines: &[&str]) -> Result<bool> {
        for line in lines {
            if self.ctx.sh(&line.replace("{vg}", PROXMOX))?.status != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs thinvol with each line of arguments, until one fails. A line that starts with `!` is of the shell. Returns
    /// the one that failed.
    pub fn as_thinvol_does(&self, lines: &[&str]) -> Result<Option<Ran>> {
        for line in lines {
            let line = match line.strip_prefix('!') {
                Some(shell) => shell.to_owned(),
                None => format!("thinvol --config {} {line}", self.config.display()),
            };
            let ran = self.ctx.sh(&line.replace("{vg}", THINVOL))?;
            if ran.status != 0 {
                return Ok(Some(ran));
            }
        }
        Ok(None)
    }

    /// What lvm2 says of both: name, size, attributes (kind, permission, activity, skip flag), pool, origin,
    /// autoactivation, and the tags that are not thinvol's own.
    pub fn seen(&self) -> Result<Both> {
        const FIELDS: &str = "vg_name,lv_name,lv_size,lv_attr,pool_lv,origin,autoactivation,lv_tags";
        // An open device shows as one for as long as udev looks at it.
        self.ctx.ok("udevadm settle")?;
        let said = self
            .ctx
            .lvm(&format!("lvs --noheadings --units b --separator | -o {FIELDS} {PROXMOX} {THINVOL}"))?;
        let mut both = Both { proxmox: Facts::new(), thinvol: Facts::new() };
        for line in said.lines() {
            let fields: Vec<&str> = line.trim().split('|').collect();
            let [vg, name, size, attributes, pool, origin, autoactivation, tags] = fields[..] else {
                bail!("lvs said {line:?}");
            };
            let mut attributes = attributes.to_owned();
            attributes.replace_range(OPEN, "-");
            let origin = if self.origins == Origins::Compared { origin } else { "" };
            let tags: Vec<&str> = tags.split(',').filter(|tag| !tag.starts_with(OWN_TAGS)).collect();
            let facts = [size, &attributes, pool, origin, autoactivation, &tags.join(",")].map(str::to_owned);
            let side = if vg == PROXMOX { &mut both.proxmox } else { &mut both.thinvol };
            side.insert(name.to_owned(), facts.to_vec());
        }
        Ok(both)
    }

    /// Volumes active on both sides read the same.
    pub fn same_data(&self, seen: &Both) -> Result<()> {
        for name in seen.thinvol.keys().filter(|name| *name != "data") {
            let (a, b) = (self.ctx.dev(PROXMOX, name), self.ctx.dev(THINVOL, name));
            if a.exists() && b.exists() {
                self.ctx.ok(&format!("cmp -n {COMPARED_BYTES} {} {}", a.display(), b.display()))?;
            }
        }
        Ok(())
    }

    /// lvm2 has no complaint about either, also after a stop and a start.
    pub fn agreed(&self) -> Result<()> {
        self.ctx.oracle(THINVOL)?;
        self.ctx.reactivate(THINVOL)?;
        self.ctx.lvm(&format!("vgchange -ay {PROXMOX}"))?;
        self.same_data(&self.seen()?)?;
        let pool = |vg| self.ctx.lvm(&format!("lvs --noheadings -o data_percent,metadata_percent {vg}/data"));
        let (theirs, ours) = (pool(PROXMOX)?, pool(THINVOL)?);
        ensure!(theirs == ours, "the pools are filled differently: {theirs} and {ours}");
        Ok(())
    }
}
