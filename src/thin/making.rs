//! The record of a change under way: the thin devices that the kernel makes before the text names them. Only devices
//! that it names are ever deleted as orphans: nothing else distinguishes an orphan from another program's device.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use base::ids::{LvmUuid, ThinId, TransactionId};

/// What a change is about to make in a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Making {
    /// The volume group: copies of a group have pools of the same uuid.
    pub vg: LvmUuid,
    /// The pool's transaction id, in the kernel and in the text.
    pub at: TransactionId,
    /// The devices.
    pub ids: Vec<ThinId>,
}

/// A record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is no record of a change under way")]
pub struct NoRecord;

/// What a record starts with, and its words' order: `thinvol-making 1 <vg> <transaction> <id>,<id>… end`.
const HEAD: &str = "thinvol-making 1";

/// What it ends with: one that was cut short has no end.
const END: &str = "end";

impl fmt::Display for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<String> = self.ids.iter().map(ToString::to_string).collect();
        write!(f, "{HEAD} {} {} {} {END}", self.vg, self.at, ids.join(","))
    }
}

impl FromStr for Making {
    type Err = NoRecord;

    fn from_str(text: &str) -> Result<Self, NoRecord> {
        let rest = text.strip_prefix(HEAD).ok_or(NoRecord)?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [vg, at, ids, END] = words.as_slice() else { return Err(NoRecord) };
        let id = |id: &str| ThinId::new(id.parse().map_err(|_| NoRecord)?).map_err(|_| NoRecord);
        Ok(Self {
            vg: vg.parse().map_err(|_| NoRecord)?,
            at: TransactionId(at.parse().map_err(|_| NoRecord)?),
            ids: ids.split(',').map(id).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::{HEAD, Making, NoRecord};
    use base::ids::{LvmUuid, ThinId, TransactionId};

    fn making(ids: &[u64]) -> Making {
        let ids = ids.iter().map(|id| ThinId::new(*id).unwrap()).collect();
        Making { vg: LvmUuid::from_random([7; 32]), at: TransactionId(12), ids }
    }

    #[test]
    fn a_record_is_read_back() {
        for ids in [&[1023][..], &[1, 2, 16_777_215]] {
            let making = making(ids);
            assert_eq!(making.to_string().parse(), Ok(making));
        }
    }

    #[test]
    fn a_record_that_was_cut_short_is_none() {
        let text = making(&[1023, 1022]).to_string();
        for end in 0..text.len() {
            assert_eq!(text[..end].parse::<Making>(), Err(NoRecord), "{}", &text[..end]);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,80}") {
            let _ = format!("{HEAD}{text}").parse::<Making>();
            let _ = text.parse::<Making>();
        }
    }
}
