//! The answer to SendTargets: which targets there are, and where. Source: RFC 7143 appendix C.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::protocol::name::{IscsiName, NameError};
use crate::protocol::portal::{Host, Portal, TargetAddress};
use crate::protocol::text::{self, TextError, printable};

#[cfg(test)]
mod tests;

/// How many keys an answer may have: some ten thousand targets with several portals each.
const MAX_KEYS: usize = 200_000;

/// A target and its addresses, in the order in which they were given, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiscoveredTarget {
    /// Its name.
    pub name: IscsiName,
    /// Where it can be reached.
    pub addresses: Vec<TargetAddress>,
}

/// What a portal answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendTargetsAnswer {
    /// The targets, by name.
    pub targets: Vec<DiscoveredTarget>,
    /// Entries that were left out, and why.
    pub left_out: Vec<String>,
}

/// How many things left out are listed one by one.
const MAX_LEFT_OUT: usize = 100;

#[derive(Debug)]
struct Reader<'a> {
    asked: &'a Portal,
    found: BTreeMap<IscsiName, Vec<TargetAddress>>,
    /// The target whose addresses follow; none after a name that is not valid.
    current: Option<IscsiName>,
    left_out: Vec<String>,
}

impl SendTargetsAnswer {
    /// Reads a complete answer of the portal that was asked.
    ///
    /// A target without an address is where it was asked for; so is an address that is unspecified (`0.0.0.0`). A
    /// link-local address gets the interface by which the portal was reached: one that the target names is an interface
    /// of the target's. What cannot be used is left out, and the rest stays.
    ///
    /// # Errors
    /// If the text breaks the rules of texts.
    pub fn read(answer: &[u8], asked: &Portal) -> Result<Self, TextError> {
        let mut reader = Reader { asked, found: BTreeMap::new(), current: None, left_out: Vec::new() };
        for pair in text::parse(answer, MAX_KEYS)? {
            match pair.key {
                "TargetName" => reader.name(pair.text()?),
                "TargetAddress" => reader.address(pair.text()?),
                // Aliases and vendors' keys.
                _ => {}
            }
        }
        let here = TargetAddress { portal: asked.clone(), tag: None };
        let targets = reader.found.into_iter().map(|(name, mut addresses)| {
            if addresses.is_empty() {
                addresses.push(here.clone());
            }
            DiscoveredTarget { name, addresses }
        });
        Ok(Self { targets: targets.collect(), left_out: reader.left_out })
    }
}

impl Reader<'_> {
    fn leave_out(&mut self, what: String) {
        match self.left_out.len() {
            MAX_LEFT_OUT => self.left_out.push("and more that cannot be used".to_owned()),
            length if length < MAX_LEFT_OUT => self.left_out.push(what),
            _ => {}
        }
    }

    fn name(&mut self, text: &str) {
        self.current = match IscsiName::new(text) {
            Ok(name) => {
                self.found.entry(name.clone()).or_default();
                Some(name)
            }
            Err(error) => {
                self.leave_out(format!("{error}"));
                None
            }
        };
    }

    fn address(&mut self, text: &str) {
        let Some(name) = self.current.clone() else {
            return self.leave_out(format!("address '{}' of no target", printable(text.as_bytes())));
        };
        match self.usable(text) {
            Ok(address) => {
                let addresses = self.found.entry(name).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            Err(error) => self.leave_out(format!("{error}, an address of target {name}")),
        }
    }

    /// An address as we can use it from here.
    fn usable(&self, text: &str) -> Result<TargetAddress, NameError> {
        let mut address: TargetAddress = text.parse()?;
        match (&mut address.portal.host, &self.asked.host) {
            (Host::V4(given), _) if given.is_unspecified() => {
                address.portal.host = self.asked.host.clone();
            }
            (Host::V6 { address: given, .. }, _) if given.is_unspecified() => {
                address.portal.host = self.asked.host.clone();
            }
            (Host::V6 { address: given, scope }, asked) => {
                *scope = match asked {
                    Host::V6 { scope, .. } if given.is_unicast_link_local() => scope.clone(),
                    _ => None,
                };
            }
            _ => {}
        }
        if address.portal.lacks_interface() {
            let why = "it is link-local, and the portal was not asked through an interface ('%<interface>')";
            return Err(NameError::new("portal", text, why));
        }
        Ok(address)
    }
}
