//! Two volume groups alike, each with a pool `data`: one for Proxmox VE's commands, one for thinvol.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::ctx::Ctx;

/// The group that Proxmox VE's commands work in.
const PROXMOX: &str = "twina";

/// The group that thinvol works in, and the id of the storage it is.
const THINVOL: &str = "twinb";

/// The marks of thinvol's own tags, which Proxmox VE's side cannot have.
const OWN_TAGS: &str = "thinvol";

/// Where `lv_attr` says whether the device is open: the users of the two sides come and go one after the other.
const OPEN: std::ops::Range<usize> = 5..6;

/// What lvm2 says of a volume, by its name.
pub type Facts = BTreeMap<String, Vec<String>>;

/// The two groups.
pub struct Twins<'a> {
    ctx: &'a Ctx,
    config: PathBuf,
}

impl<'a> Twins<'a> {
    /// Makes both by the commands that Proxmox VE's users know.
    pub fn new(ctx: &'a Ctx) -> Result<Self> {
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
        Ok(Self { ctx, config })
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

    /// Runs thinvol with each line of arguments, until one fails. A line that starts with `!` is of the shell. Says
    /// whether all succeeded.
    pub fn as_thinvol_does(&self, lines: &[&str]) -> Result<bool> {
        for line in lines {
            let line = match line.strip_prefix('!') {
                Some(shell) => shell.replace("{vg}", THINVOL),
                None => format!("thinvol --config {} {line}", self.config.display()),
            };
            if self.ctx.sh(&line)?.status != 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What lvm2 says of Proxmox VE's side.
    pub fn proxmoxs(&self) -> Result<Facts> {
        self.facts(PROXMOX)
    }

    /// What lvm2 says of thinvol's side.
    pub fn thinvols(&self) -> Result<Facts> {
        self.facts(THINVOL)
    }

    /// Name, size, attributes (kind, permission, activity, skip flag), pool, origin, autoactivation, and the tags that
    /// are not thinvol's own.
    fn facts(&self, vg: &str) -> Result<Facts> {
        const FIELDS: &str = "lv_name,lv_size,lv_attr,pool_lv,origin,autoactivation,lv_tags";
        // An open device shows as one for as long as udev looks at it.
        self.ctx.ok("udevadm settle")?;
        let said = self.ctx.lvm(&format!("lvs --noheadings --units b --separator | -o {FIELDS} {vg}"))?;
        let mut facts = Facts::new();
        for line in said.lines() {
            let mut fields: Vec<String> = line.trim().split('|').map(str::to_owned).collect();
            let tags = fields.pop().with_context(|| format!("lvs said {line:?}"))?;
            let tags: Vec<&str> = tags.split(',').filter(|tag| !tag.starts_with(OWN_TAGS)).collect();
            fields.push(tags.join(","));
            let attributes = fields.get_mut(2).with_context(|| format!("lvs said {line:?}"))?;
            attributes.replace_range(OPEN, "-");
            facts.insert(fields.remove(0), fields);
        }
        Ok(facts)
    }

    /// Volumes active on both sides read the same.
    pub fn same_data(&self) -> Result<()> {
        for name in self.thinvols()?.keys() {
            let (a, b) = (self.ctx.dev(PROXMOX, name), self.ctx.dev(THINVOL, name));
            if name != "data" && a.exists() && b.exists() {
                self.ctx.ok(&format!("cmp {} {}", a.display(), b.display()))?;
            }
        }
        Ok(())
    }

    /// lvm2 has no complaint about either, also after a stop and a start.
    pub fn agreed(&self) -> Result<()> {
        self.ctx.oracle(THINVOL)?;
        self.ctx.reactivate(THINVOL)?;
        self.ctx.lvm(&format!("vgchange -ay {PROXMOX}"))?;
        self.same_data()?;
        let pool = |vg| self.ctx.lvm(&format!("lvs --noheadings -o data_percent,metadata_percent {vg}/data"));
        let (theirs, ours) = (pool(PROXMOX)?, pool(THINVOL)?);
        ensure!(theirs == ours, "the pools are filled differently: {theirs} and {ours}");
        Ok(())
    }
}
