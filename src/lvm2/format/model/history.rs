//! What a text remembers of removed volumes. Source: lvm2 `lib/format_text/export.c` (`_print_historical_lv`),
//! `import_vsn1.c` (`_read_historical_lvnames`).

use serde::Serialize;

use super::fields::parsed;
use crate::format::text::{FieldError, Section};
use base::ids::LvmUuid;

/// How the name of a removed volume begins where another record names it. Source: lvm2
/// `lib/metadata/metadata-exported.h` (`HISTORICAL_LV_PREFIX`).
const PREFIX: char = '-';

/// The record of a removed volume: a link between volumes that live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HistoricalLv {
    /// Its name, which no other volume may have.
    pub name: String,
    /// Its identity.
    pub id: LvmUuid,
    /// When it was created, in seconds since 1970, if known.
    pub creation_time: Option<u64>,
    /// When it was removed, in seconds since 1970, if known.
    pub removal_time: Option<u64>,
    /// What it was made from, if that is known.
    pub origin: Option<Ancestor>,
    /// The volumes that were made from it and live.
    pub descendants: Vec<String>,
}

/// What a removed volume was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ancestor {
    /// A volume that lives.
    Live(String),
    /// A removed volume.
    Historical(String),
}

impl Ancestor {
    /// As it stands in the text.
    pub fn in_text(&self) -> String {
        match self {
            Self::Live(name) => name.clone(),
            Self::Historical(name) => format!("{PREFIX}{name}"),
        }
    }
}

/// A removed volume is known by its `name` field, or else by its section.
pub(super) fn read(lv: Section<'_>) -> Result<HistoricalLv, FieldError> {
    let origin = lv.opt_str("origin")?.map(|origin| match origin.strip_prefix(PREFIX) {
        Some(name) => Ancestor::Historical(name.to_owned()),
        None => Ancestor::Live(origin.into_owned()),
    });
    Ok(HistoricalLv {
        name: lv.opt_str("name")?.unwrap_or_else(|| lv.name()).into_owned(),
        id: parsed(lv, "id")?,
        creation_time: lv.opt_u64("creation_time")?,
        removal_time: lv.opt_u64("removal_time")?,
        origin,
        descendants: lv.strings("descendants")?,
    })
}
