//! Which volumes a line is about, as it is written: what must be left out with a line that is left out.

use super::line::Written;
use crate::transaction::lines::LineVolumes;

impl Written {
    /// The names in it.
    pub(super) fn names(&self) -> LineVolumes {
        let mut names = LineVolumes::default();
        match self {
            Self::Create { name, .. } => names.changes.push(name.clone()),
            Self::Clone { source, name, .. } => {
                names.needs.extend(of_address(source));
                names.changes.push(name.clone());
            }
            Self::Rename { volume, name } => {
                names.changes.extend(of_address(volume));
                names.changes.push(name.clone());
            }
            Self::Template { volume } => {
                names.changes.extend(of_address(volume));
                let base = of_address(volume)
                    .into_iter()
                    .filter_map(|name| name.strip_prefix("vm-").map(|rest| format!("base-{rest}")));
                names.changes.extend(base);
            }
            Self::Snapshot { snapshot: address, .. }
            | Self::Rollback { snapshot: address }
            | Self::Remove { volume: address, .. }
            | Self::Resize { volume: address, .. }
            | Self::Modify { volume: address, .. }
            | Self::Activate { volume: address }
            | Self::Deactivate { volume: address } => names.changes.extend(of_address(address)),
        }
        names
    }
}

/// What a line that cannot be read may be about: whatever stands in it in quotes.
pub(super) fn of_unreadable(text: &str) -> LineVolumes {
    let quoted = text.split('"').skip(1).step_by(2);
    LineVolumes { changes: quoted.flat_map(of_address).collect(), needs: vec![] }
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

    fn names(text: &str) -> (Vec<String>, Vec<String>) {
        let LineVolumes { changes, needs } = Written::parse(text).unwrap().names();
        (changes, needs)
    }

    #[test]
    fn a_line_names_what_it_changes_and_what_it_needs() {
        for (line, changes, needs) in [
            (r#"{"request":"create","pool":"pve/data","name":"x","size":1}"#, &["x"][..], &[][..]),
            (r#"{"request":"clone","source":"st:a@s","name":"x"}"#, &["x"], &["snap_a_s", "a"]),
            (r#"{"request":"rename","volume":"pve/a","name":"x"}"#, &["a", "x"], &[]),
            (r#"{"request":"template","volume":"st:vm-1-d"}"#, &["vm-1-d", "base-1-d"], &[]),
            (r#"{"request":"snapshot","snapshot":"pve/a@s"}"#, &["snap_a_s", "a"], &[]),
            (r#"{"request":"remove","volume":"/dev/pve/a"}"#, &["a"], &[]),
        ] {
            assert_eq!(
                names(line),
                (
                    changes.iter().map(|name| (*name).to_owned()).collect(),
                    needs.iter().map(|name: &&str| (*name).to_owned()).collect()
                ),
                "{line}"
            );
        }
        let cut = of_unreadable(r#"{"request":"rename","volume":"pve/a","na"#).changes;
        assert!(cut.contains(&"a".to_owned()), "{cut:?}");
    }
}
