//! What a change concerns, as it is written.

/// What a change concerns, by name: the volumes as they are written, be they there or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerns {
    /// The pool it makes something in.
    pub pool: Option<String>,
    /// The pool that it makes, changes or removes.
    pub changed_pool: Option<String>,
    /// Volumes that it makes, changes or keeps the content of.
    pub changes: Vec<String>,
    /// Volumes whose content it needs.
    pub needs: Vec<String>,
}

impl Concerns {
    /// What a change that cannot be read may be about: whatever stands in it in quotes.
    pub fn of_unreadable(text: &str) -> Self {
        let quoted = text.split('"').skip(1).step_by(2);
        Self { changes: quoted.flat_map(of_address).collect(), ..Self::default() }
    }

    /// A change of what is at an address.
    pub(super) fn changing(address: &impl ToString) -> Self {
        Self { changes: Self::names_in(address), ..Self::default() }
    }

    /// A change of a pool itself.
    pub(super) fn changing_pool(address: &impl ToString) -> Self {
        Self { changed_pool: Self::names_in(address).pop(), ..Self::default() }
    }

    /// The LVs that an address names.
    pub(super) fn names_in(address: &impl ToString) -> Vec<String> {
        of_address(&address.to_string())
    }
}

/// The LV that an address names; of a snapshot the volume's, and the one that the snapshot's has by its name.
fn of_address(address: &str) -> Vec<String> {
    let (volume, snapshot) = match address.split_once('@') {
        Some((volume, snapshot)) => (volume, Some(snapshot)),
        None => (address, None),
    };
    let lv = volume.rsplit(['/', ':']).next().unwrap_or(volume);
    let of_snapshot = snapshot.map(|snapshot| format!("snap_{lv}_{snapshot}"));
    of_snapshot.into_iter().chain([lv.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::{Change, Written};

    #[test]
    fn a_change_names_what_it_changes_and_what_it_needs() {
        for (line, changes, needs) in [
            (r#"{"request":"create","pool":"pve/data","name":"x","size":1}"#, &["x"][..], &[][..]),
            (r#"{"request":"clone","source":"st:a@s","name":"x"}"#, &["x"], &["snap_a_s", "a"]),
            (r#"{"request":"rename","volume":"pve/a","name":"x"}"#, &["a", "x"], &[]),
            (r#"{"request":"template","volume":"st:vm-1-d"}"#, &["vm-1-d", "base-1-d"], &[]),
            (r#"{"request":"snapshot","snapshot":"pve/a@s"}"#, &["snap_a_s", "a"], &[]),
            (r#"{"request":"remove","volume":"/dev/pve/a"}"#, &["a"], &[]),
        ] {
            let concerns = serde_json::from_str::<Change<Written>>(line).unwrap().concerns();
            assert_eq!(concerns.changes, changes, "{line}");
            assert_eq!(concerns.needs, needs, "{line}");
        }
        let cut = Concerns::of_unreadable(r#"{"request":"rename","volume":"pve/a","na"#).changes;
        assert!(cut.contains(&"a".to_owned()), "{cut:?}");
    }
}
