//! Devices in words, as plans print them.

use std::fmt;

use super::{DevRef, DeviceSpec, ReadAhead, TargetSpec};

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.targets.iter().map(ToString::to_string).collect();
        write!(f, "{} ({}{}", self.name, kinds.join("; "), if self.read_only { "; read-only" } else { "" })?;
        if let Some(minor) = self.minor {
            write!(f, "; number {minor}")?;
        }
        match self.read_ahead {
            Some(ReadAhead::Exactly(sectors)) => write!(f, "; reads {sectors} sectors ahead")?,
            Some(ReadAhead::AtLeast(sectors)) => write!(f, "; reads at least {sectors} sectors ahead")?,
            None => {}
        }
        f.write_str(")")
    }
}

impl fmt::Display for DevRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pv(key) => key.fmt(f),
            Self::Device(name) => name.fmt(f),
        }
    }
}

impl fmt::Display for TargetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Linear { length, device, offset } => write!(f, "linear {length} {device} {offset}"),
            Self::Striped { length, stripe_size, areas } => {
                write!(f, "striped {length} {} {stripe_size}", areas.len())?;
                areas.iter().try_for_each(|(device, offset)| write!(f, " {device} {offset}"))
            }
            Self::Mirror { length, region_size, legs } => {
                write!(f, "raid1 {length} {} {region_size}", legs.len())?;
                legs.iter().try_for_each(|(metadata, data)| write!(f, " {metadata} {data}"))
            }
            Self::ThinPool { length, metadata, data, chunk_size, .. } => {
                write!(f, "thin-pool {length} {metadata} {data} {chunk_size}")
            }
            Self::Thin { length, pool, id, external } => {
                write!(f, "thin {length} {pool} {id}")?;
                external.iter().try_for_each(|external| write!(f, " {external}"))
            }
        }
    }
}
