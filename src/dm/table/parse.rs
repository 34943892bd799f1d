//! Reading the parameters of live tables.

use super::{DmTarget, LinearParams, PoolParams, StripedParams, TargetLine, ThinParams};
use crate::words::{LineError, Words};
use base::ids::ThinId;
use base::units::{Chunks, Sectors};

/// Most stripes of one target that are read; the kernel allows fewer than fit in a page of parameters.
const STRIPES_MAX: usize = 4096;

fn sectors(words: &mut Words<'_>, expected: &'static str) -> Result<Sectors, LineError> {
    words.parse(expected).map(Sectors::new)
}

fn stretch(words: &mut Words<'_>) -> Result<LinearParams, LineError> {
    Ok(LinearParams {
        device: words.parse("a device <major>:<minor>")?,
        offset: sectors(words, "the first sector on it")?,
    })
}

impl LinearParams {
    /// Reads the parameters of a `linear` target.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut words = Words::new("linear table", text);
        let params = stretch(&mut words)?;
        words.end().map(|()| params)
    }
}

impl StripedParams {
    /// Reads the parameters of a `striped` target.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut words = Words::new("striped table", text);
        let count: usize = words.parse("the number of stripes")?;
        if !(1..=STRIPES_MAX).contains(&count) {
            return Err(words.error("a number of stripes from 1 to 4096"));
        }
        let chunk_size = sectors(&mut words, "the chunk size in sectors")?;
        let stripes = (0..count).map(|_| stretch(&mut words)).collect::<Result<_, _>>()?;
        words.end().map(|()| Self { chunk_size, stripes })
    }
}

impl ThinParams {
    /// Reads the parameters of a `thin` target.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut words = Words::new("thin table", text);
        let pool = words.parse("the pool <major>:<minor>")?;
        let id: u64 = words.parse("the thin device id")?;
        let id = ThinId::new(id).map_err(|_| words.error("a thin device id of 24 bits"))?;
        let external_origin = match words.next() {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| words.error("the external origin <major>:<minor>"))?),
        };
        words.end().map(|()| Self { pool, id, external_origin })
    }
}

impl PoolParams {
    /// Reads the parameters of a `thin-pool` target; features may come in any order.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it, or a feature that is not known.
    pub fn parse(text: &str) -> Result<Self, LineError> {
        let mut words = Words::new("thin-pool table", text);
        let mut params = Self {
            metadata: words.parse("the metadata device <major>:<minor>")?,
            data: words.parse("the data device <major>:<minor>")?,
            chunk_size: sectors(&mut words, "the chunk size in sectors")?,
            low_water: Chunks::new(words.parse("the low water mark in chunks")?),
            skip_block_zeroing: false,
            ignore_discard: false,
            no_discard_passdown: false,
            error_if_no_space: false,
            read_only: false,
        };
        // dmsetup and users may leave the count out when there is no feature; the kernel never does.
        let count: usize = match words.next() {
            None => return Ok(params),
            Some(text) => text.parse().map_err(|_| words.error("the number of features"))?,
        };
        for _ in 0..count {
            let feature = match words.need("a feature")? {
                "skip_block_zeroing" => &mut params.skip_block_zeroing,
                "ignore_discard" => &mut params.ignore_discard,
                "no_discard_passdown" => &mut params.no_discard_passdown,
                "error_if_no_space" => &mut params.error_if_no_space,
                "read_only" => &mut params.read_only,
                _ => return Err(words.error("a known thin-pool feature")),
            };
            *feature = true;
        }
        words.end().map(|()| params)
    }
}

impl TargetLine {
    /// Reads the parameters as those of its target type.
    ///
    /// # Errors
    /// At the first word that is not as the kernel writes it.
    pub fn parse(&self) -> Result<DmTarget, LineError> {
        match self.target.as_str() {
            "linear" => LinearParams::parse(&self.params).map(DmTarget::Linear),
            "striped" => StripedParams::parse(&self.params).map(DmTarget::Striped),
            "thin" => ThinParams::parse(&self.params).map(DmTarget::Thin),
            "thin-pool" => PoolParams::parse(&self.params).map(DmTarget::ThinPool),
            kind => Ok(DmTarget::Other { kind: kind.to_owned(), params: self.params.clone() }),
        }
    }

    /// Whether both map alike: same place, same target, features in any order.
    pub fn maps_like(&self, other: &Self) -> bool {
        (self.start, self.length) == (other.start, other.length)
            && match (self.parse(), other.parse()) {
                (Ok(ours), Ok(theirs)) => ours == theirs,
                _ => false,
            }
    }
}
