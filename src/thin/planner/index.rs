//! Look-ups that a batch makes for each of its requests, made once for all of them: the cost of a batch is the sum
//! of its requests and the existing volumes, not their product.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use base::ids::LvName;
use lvm2::format::metadata::Metadata;
use lvm2::format::model::{Glance, Lv, Lvs};

/// The LVs of a volume group by name, and who was made from whom.
pub(super) struct Index<'a> {
    lvs: &'a Lvs,
    /// Worked out when it is asked for, from all volumes.
    made_from: OnceCell<HashMap<&'a str, Vec<Glance<'a>>>>,
    external_users: HashMap<&'a LvName, &'a LvName>,
    /// LVs that must not be used, and why.
    flawed: HashMap<&'a LvName, &'a str>,
}

impl<'a> Index<'a> {
    pub(super) fn of(metadata: &'a Metadata) -> Self {
        let lvs = &metadata.vg.lvs;
        let mut index = Self {
            lvs,
            made_from: OnceCell::new(),
            external_users: HashMap::new(),
            flawed: metadata.flaws().iter().map(|flaw| (&flaw.lv, flaw.problem.as_str())).collect(),
        };
        for lv in lvs.others() {
            if let Some(external) = lv.thin().and_then(|thin| thin.external_origin.as_ref()) {
                index.external_users.entry(external).or_insert(&lv.name);
            }
        }
        index
    }

    /// The LV of that name.
    pub(super) fn lv(&self, name: &LvName) -> Option<&'a Lv> {
        self.lvs.find(name.as_str())
    }

    /// Why that LV must not be used, if so.
    pub(super) fn flaw(&self, name: &LvName) -> Option<&str> {
        self.flawed.get(name).copied()
    }

    /// The thin volumes whose LVM origin that is, in the order of the text.
    pub(super) fn made_from(&self, name: &LvName) -> impl Iterator<Item = &'a LvName> {
        let made_from = self.made_from.get_or_init(|| made_from(self.lvs));
        made_from.get(name.as_str()).into_iter().flatten().map(|lv| &lv.lv().name)
    }

    /// A volume whose unwritten chunks that LV provides.
    pub(super) fn external_user(&self, name: &LvName) -> Option<&'a LvName> {
        self.external_users.get(name).copied()
    }
}

/// The volumes by the name of their LVM origin.
fn made_from(lvs: &Lvs) -> HashMap<&str, Vec<Glance<'_>>> {
    let mut made_from: HashMap<&str, Vec<Glance<'_>>> = HashMap::new();
    for lv in lvs.glances() {
        if let Some(origin) = lv.thin().and_then(|thin| thin.origin()) {
            made_from.entry(origin).or_default().push(lv);
        }
    }
    made_from
}

/// Names in the order they were added in, each once; any can go again.
#[derive(Default)]
pub(super) struct OrderedNames {
    order: BTreeMap<usize, LvName>,
    places: HashMap<LvName, usize>,
    added: usize,
}

impl OrderedNames {
    /// Adds a name at the end, unless it is there.
    pub(super) fn add(&mut self, name: &LvName) {
        if !self.places.contains_key(name) {
            self.order.insert(self.added, name.clone());
            self.places.insert(name.clone(), self.added);
            self.added += 1;
        }
    }

    /// Takes a name out, if it is there.
    pub(super) fn remove(&mut self, name: &LvName) {
        if let Some(place) = self.places.remove(name) {
            self.order.remove(&place);
        }
    }

    pub(super) fn contains(&self, name: &LvName) -> bool {
        self.places.contains_key(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &LvName> {
        self.order.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_order_of_their_last_coming() {
        let [a, b] = ["a", "b"].map(|name| LvName::new(name).unwrap());
        let mut names = OrderedNames::default();
        [&a, &b, &a].into_iter().for_each(|name| names.add(name));
        assert_eq!(names.iter().collect::<Vec<_>>(), [&a, &b]);
        names.remove(&a);
        names.add(&a);
        assert_eq!(names.iter().collect::<Vec<_>>(), [&b, &a]);
    }
}
