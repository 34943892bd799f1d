//! iSCSI discovery and login against targets: one of our own that misbehaves on demand, and tgtd.
//!
//! A test of the root package, for it runs the command too. Nothing but loopback is used, and no kernel module.

mod authentication;
mod command;
mod hostile;
mod peer;
mod redirection;
mod target;
mod tgtd;

use std::time::Duration;

use base::error_chain::causes;
use iscsi::host::discover::{DiscoverError, Discovered, DiscoveryClient, discover};
use iscsi::host::limit::Limit;
use iscsi::protocol::chap::{Account, Algorithm, Chap, Secret};
use iscsi::protocol::portal::Portal;

/// Enough for an exchange over loopback on a machine that is busy.
const PLENTY: Duration = Duration::from_secs(30);

const INITIATOR: &str = "iqn.2025-01.test:initiator";

/// An initiator, with CHAP if there is any.
fn client(chap: Option<Chap>) -> DiscoveryClient {
    DiscoveryClient {
        initiator: INITIATOR.parse().expect("it is a name"),
        interface: None,
        chap,
        may_go_without: false,
    }
}

fn ask(portal: &Portal, chap: Option<Chap>, allowed: Duration) -> Result<Discovered, DiscoverError> {
    discover(portal, &client(chap), &Limit::new(allowed))
}

fn account(user: &str, secret: &str) -> Account {
    let secret = Secret::new(secret.as_bytes().to_vec().into()).expect("the secret has a sound length");
    Account { user: user.to_owned(), secret }
}

fn chap(secret: &str, target_secret: Option<&str>, algorithms: &[Algorithm]) -> Chap {
    let target = target_secret.map(|secret| account("array", secret));
    Chap::new(account("alice", secret), target, algorithms.to_vec()).expect("the accounts are sound")
}

/// An error with all its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    std::iter::once(error.to_string()).chain(causes(error)).collect::<Vec<_>>().join(": ")
}

/// The names that were found.
fn names(found: &Discovered) -> Vec<String> {
    found.found.targets.iter().map(|target| target.name.to_string()).collect()
}
