//! What a text on the command line addresses. All of it is here, so that storage ids of a configuration file
//! have one place to come in.

use std::fmt;

use super::errors::CliError;
use crate::ids::{IdError, LvName, VgName};
use crate::thin::lineage::SnapName;

/// A pool, as the place where volumes live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Storage {
    /// Its volume group.
    pub vg: VgName,
    /// The pool's LV.
    pub pool: LvName,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Volume {
    /// Its volume group.
    pub vg: VgName,
    /// Its LV.
    pub lv: LvName,
}

/// A snapshot of a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Snapshot {
    /// The volume.
    pub volume: Volume,
    /// The snapshot's name.
    pub snap: SnapName,
}

/// A volume, or a snapshot of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The volume itself.
    Volume(Volume),
    /// A snapshot.
    Snapshot(Snapshot),
}

/// What can be activated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A whole volume group.
    Vg(VgName),
    /// A volume or a pool.
    Volume(Volume),
    /// A snapshot.
    Snapshot(Snapshot),
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vg, self.pool)
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vg, self.lv)
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.volume, self.snap)
    }
}

impl Source {
    /// The volume, or the volume the snapshot is of.
    pub fn volume(&self) -> &Volume {
        match self {
            Self::Volume(volume) | Self::Snapshot(Snapshot { volume, .. }) => volume,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(volume) => volume.fmt(f),
            Self::Snapshot(snapshot) => snapshot.fmt(f),
        }
    }
}

/// Turns texts into what they address.
#[derive(Clone, Debug, Default)]
pub struct Resolver {}

impl Resolver {
    /// A pool: `<vg>/<pool>`.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn storage(&self, text: &str) -> Result<Storage, CliError> {
        let (vg, pool) = vg_and_lv("storage", text, "<vg>/<pool>")?;
        Ok(Storage { vg, pool })
    }

    /// A volume: `<vg>/<lv>` or its device path.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn volume(&self, text: &str) -> Result<Volume, CliError> {
        if let Some((volume, snap)) = text.split_once('@') {
            return Err(CliError::usage(format!("'{text}' is a snapshot, not a volume")).hint(format!(
                "the volume is '{volume}'; snapshots are removed by 'thinvol delete-snapshot {volume}@{snap}'"
            )));
        }
        let (vg, lv) = vg_and_lv("volume", text, "<vg>/<lv>")?;
        Ok(Volume { vg, lv })
    }

    /// A snapshot: `<volume>@<snap>`.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn snapshot(&self, text: &str) -> Result<Snapshot, CliError> {
        let Some((volume, snap)) = text.split_once('@') else {
            return Err(CliError::usage(format!("'{text}' names no snapshot"))
                .hint(format!("write '{text}@<snapshot>'")));
        };
        let (vg, lv) = vg_and_lv("volume", volume, "<vg>/<lv>")?;
        let snap = SnapName::new(snap).map_err(|error| bad_id(&error))?;
        Ok(Snapshot { volume: Volume { vg, lv }, snap })
    }

    /// A volume or a snapshot of one.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn source(&self, text: &str) -> Result<Source, CliError> {
        if text.contains('@') {
            self.snapshot(text).map(Source::Snapshot)
        } else {
            self.volume(text).map(Source::Volume)
        }
    }

    /// A volume, pool, snapshot or volume group.
    ///
    /// # Errors
    /// If the text is none of them.
    pub fn target(&self, text: &str) -> Result<Target, CliError> {
        if text.contains('@') {
            self.snapshot(text).map(Target::Snapshot)
        } else if text.contains('/') {
            self.volume(text).map(Target::Volume)
        } else {
            self.vg(text).map(Target::Vg)
        }
    }

    /// A volume group: its name.
    ///
    /// # Errors
    /// If the text is not the name of one.
    pub fn vg(&self, text: &str) -> Result<VgName, CliError> {
        no_storage_id("volume group", text, "its name")?;
        VgName::new(text).map_err(|error| bad_id(&error))
    }
}

fn vg_and_lv(what: &str, text: &str, form: &str) -> Result<(VgName, LvName), CliError> {
    no_storage_id(what, text, form)?;
    let inner = text.strip_prefix("/dev/").unwrap_or(text);
    match inner.split_once('/') {
        Some((vg, lv)) if !lv.contains('/') && vg != "mapper" => Ok((
            VgName::new(vg).map_err(|error| bad_id(&error))?,
            LvName::new(lv).map_err(|error| bad_id(&error))?,
        )),
        _ => Err(CliError::usage(format!("'{text}' is not a {what}")).hint(format!("write it as {form}"))),
    }
}

fn no_storage_id(what: &str, text: &str, form: &str) -> Result<(), CliError> {
    match text.split_once(':') {
        Some((id, _)) => Err(CliError::usage(format!("'{text}' names a {what} by the storage id '{id}'"))
            .hint(format!("storage ids are not known to this version; write {form}"))),
        None => Ok(()),
    }
}

fn bad_id(error: &IdError) -> CliError {
    CliError::usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let resolver = Resolver::default();
        assert_eq!(resolver.storage("pve/data").unwrap().to_string(), "pve/data");
        assert_eq!(resolver.volume("/dev/pve/vm-1-d").unwrap().to_string(), "pve/vm-1-d");
        assert_eq!(resolver.source("pve/a").unwrap().to_string(), "pve/a");
        let source = resolver.source("pve/a@s1").unwrap();
        assert_eq!(
            (source.to_string().as_str(), source.volume().to_string().as_str()),
            ("pve/a@s1", "pve/a")
        );
        assert!(matches!(resolver.target("pve").unwrap(), Target::Vg(_)));
        assert!(matches!(resolver.target("pve/a").unwrap(), Target::Volume(_)));
        assert!(matches!(resolver.target("pve/a@s").unwrap(), Target::Snapshot(_)));
    }

    #[test]
    fn what_is_no_address_says_how_to_write_one() {
        let resolver = Resolver::default();
        let told = |error: CliError| format!("{} / {}", error.message, error.hint.unwrap_or_default());
        for (error, expected) in [
            (resolver.volume("pve").unwrap_err(), "'pve' is not a volume / write it as <vg>/<lv>"),
            (resolver.volume("a/b/c").unwrap_err(), "'a/b/c' is not a volume / write it as <vg>/<lv>"),
            (
                resolver.volume("/dev/mapper/pve-a").unwrap_err(),
                "'/dev/mapper/pve-a' is not a volume / write it as <vg>/<lv>",
            ),
            (
                resolver.storage("pve/da ta").unwrap_err(),
                "logical volume name 'da ta' is not valid: ' ' is not among a-z A-Z 0-9 . _ + - / ",
            ),
            (
                resolver.volume("local-lvm:vm-1-d").unwrap_err(),
                "'local-lvm:vm-1-d' names a volume by the storage id 'local-lvm' / \
                 storage ids are not known to this version; write <vg>/<lv>",
            ),
            (resolver.snapshot("pve/a").unwrap_err(), "'pve/a' names no snapshot / write 'pve/a@<snapshot>'"),
            (resolver.snapshot("pve/a@").unwrap_err(), "snapshot name '' is not valid: it is empty / "),
            (
                resolver.volume("pve/a@s").unwrap_err(),
                "'pve/a@s' is a snapshot, not a volume / the volume is 'pve/a'; snapshots are removed by \
                 'thinvol delete-snapshot pve/a@s'",
            ),
        ] {
            assert_eq!(told(error), expected);
        }
    }
}
