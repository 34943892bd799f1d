//! What a CHAP file says.

use thiserror::Error;
use zeroize::Zeroizing;

use crate::protocol::chap::{Account, Algorithm, Chap, ChapError, SECRET_ADVISED, Secret};
use crate::protocol::text::printable;

/// How to authenticate.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// At logins to targets.
    pub login: Option<Chap>,
    /// At discovery.
    pub discovery: Option<Chap>,
    /// Whether a target that does no authentication for discovery may be asked without: the file says nothing about
    /// discovery.
    pub may_discover_without: bool,
    /// Warnings: what is allowed, but unwise.
    pub warnings: Vec<String>,
}

/// Why a CHAP file cannot be understood. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Bytes that are no text.
    #[error("line {0} is not UTF-8")]
    Encoding(usize),
    /// A line of an unknown form.
    #[error("line {0} is neither 'key = value' nor '[discovery]'")]
    Line(usize),
    /// An unknown key.
    #[error(
        "line {line} has an unknown key '{key}'; there are user, secret, target-user, target-secret, algorithms"
    )]
    Key {
        /// The line.
        line: usize,
        /// The key.
        key: String,
    },
    /// The same without details.
    #[error(
        "line {0} has an unknown key (it is not shown, since it may be a part of a secret); there are user, secret, \
         target-user, target-secret, algorithms"
    )]
    HiddenKey(usize),
    /// A known key in other letters.
    #[error("line {line} has an unknown key; it is written '{meant}'")]
    Spelling {
        /// The line.
        line: usize,
        /// The key that is meant.
        meant: &'static str,
    },
    /// A key or section that is there already.
    #[error("line {0} repeats what was said above")]
    Twice(usize),
    /// A name without secret or the other way round.
    #[error("'{there}' is given and '{missing}' is not{section}")]
    Half {
        /// The key that is given.
        there: &'static str,
        /// The key that is missing.
        missing: &'static str,
        /// Where, if not at the top.
        section: &'static str,
    },
    /// Nothing to authenticate with.
    #[error("there is no 'user' and 'secret'")]
    Empty,
    /// A value cannot be used.
    #[error(transparent)]
    Chap(#[from] ChapError),
}

/// The keys of one section.
#[derive(Default)]
struct Section {
    values: Vec<(&'static str, Zeroizing<String>)>,
}

const USER: &str = "user";
const SECRET: &str = "secret";
const TARGET_USER: &str = "target-user";
const TARGET_SECRET: &str = "target-secret";
const ALGORITHMS: &str = "algorithms";
const KEYS: [&str; 5] = [USER, SECRET, TARGET_USER, TARGET_SECRET, ALGORITHMS];

/// Reads the text of a CHAP file.
///
/// # Errors
/// At the first line that cannot be understood, or that has a value which cannot be used.
pub fn parse(text: &[u8]) -> Result<Credentials, ParseError> {
    let mut everywhere = Section::default();
    let mut discovery: Option<Section> = None;
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = std::str::from_utf8(line).map_err(|_| ParseError::Encoding(number))?.trim();
        match line {
            "" => {}
            line if line.starts_with('#') => {}
            "[discovery]" if discovery.is_some() => return Err(ParseError::Twice(number)),
            "[discovery]" => discovery = Some(Section::default()),
            line => discovery.as_mut().unwrap_or(&mut everywhere).take(number, line)?,
        }
    }
    if everywhere.values.is_empty() && discovery.is_none() {
        return Err(ParseError::Empty);
    }
    let login = everywhere.chap("")?;
    let may_discover_without = discovery.is_none();
    let discovery = match discovery {
        None => login.clone(),
        Some(section) => section.chap(" in [discovery]")?,
    };
    let mut warnings = Vec::new();
    let accounts = login.iter().chain(&discovery).flat_map(|chap| [Some(chap.initiator()), chap.target()]);
    for account in accounts.flatten().filter(|account| account.secret.is_short()) {
        let warning = format!(
            "the CHAP secret of '{}' is shorter than {SECRET_ADVISED} bytes: who listens to a login can find it out",
            printable(account.user.as_bytes())
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(Credentials { login, discovery, may_discover_without, warnings })
}

impl Section {
    fn take(&mut self, number: usize, line: &str) -> Result<(), ParseError> {
        let (key, value) = line.split_once('=').ok_or(ParseError::Line(number))?;
        let (key, value) = (key.trim_end(), value.trim_start());
        let known = KEYS.into_iter().find(|known| *known == key);
        // What stands before a '=' may be the first half of a secret that was written on a line of its own.
        let is_word = key.len() <= 16 && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let key = known.ok_or_else(|| {
            let plain = key.to_ascii_lowercase().replace(['_', ' '], "-");
            match KEYS.into_iter().find(|known| *known == plain) {
                Some(meant) => ParseError::Spelling { line: number, meant },
                None if is_word => ParseError::Key { line: number, key: key.to_owned() },
                None => ParseError::HiddenKey(number),
            }
        })?;
        if self.get(key).is_some() {
            return Err(ParseError::Twice(number));
        }
        self.values.push((key, Zeroizing::new(value.to_owned())));
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&Zeroizing<String>> {
        self.values.iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    fn account(
        &self,
        user: &'static str,
        secret: &'static str,
        section: &'static str,
    ) -> Result<Option<Account>, ParseError> {
        match (self.get(user), self.get(secret)) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(ParseError::Half { there: user, missing: secret, section }),
            (None, Some(_)) => Err(ParseError::Half { there: secret, missing: user, section }),
            (Some(user), Some(secret)) => {
                let secret = Secret::new(Zeroizing::new(secret.as_bytes().to_vec()))?;
                Ok(Some(Account { user: user.as_str().to_owned(), secret }))
            }
        }
    }

    fn chap(&self, section: &'static str) -> Result<Option<Chap>, ParseError> {
        let initiator = self.account(USER, SECRET, section)?;
        let target = self.account(TARGET_USER, TARGET_SECRET, section)?;
        let initiator = match (initiator, &target) {
            (Some(initiator), _) => initiator,
            (None, None) if self.get(ALGORITHMS).is_none() => return Ok(None),
            (None, Some(_)) => return Err(ParseError::Half { there: TARGET_USER, missing: USER, section }),
            (None, None) => return Err(ParseError::Half { there: ALGORITHMS, missing: USER, section }),
        };
        let algorithms = match self.get(ALGORITHMS) {
            None => vec![Algorithm::Md5],
            Some(list) => {
                list.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<Algorithm>, _>>()?
            }
        };
        Ok(Some(Chap::new(initiator, target, algorithms)?))
    }
}
