//! What a pool's owner has said of it beyond what LVM knows: how much may be promised of it, and when it is extended.
//! Kept as LVM tags of the pool, so that it goes where the pool goes and lvm2 shows it.

use std::fmt;

use serde::{Serialize, Serializer};
use thiserror::Error;

use base::units::Bytes;
use base::units::size::{Rounded, SizeError, Unit, parse_size};
use lvm2::format::model::Lv;

/// The largest ratio that means anything: more than a pool can have of volumes.
const RATIO_MAX: u32 = 100_000_000;

/// How many times its size a pool may promise, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(u32);

impl Ratio {
    /// Reads a number with at most two decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || rest.len() > 2 || !digits(whole) || !digits(rest) {
            return None;
        }
        let hundredths = format!("{whole}{rest:0<2}").parse().ok()?;
        (1..=RATIO_MAX).contains(&hundredths).then_some(Self(hundredths))
    }

    /// In hundredths.
    pub const fn hundredths(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl Serialize for Ratio {
    /// As a string with two decimals.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing that is said of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// How many times its size all its volumes and snapshots may have together.
    Overcommit(Ratio),
    /// How much data must be free in it for it to promise more.
    Reserve(Bytes),
    /// How full it is extended, in per cent.
    ExtendAt(u32),
    /// By how much of its size, in per cent.
    ExtendBy(u32),
}

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleKind {
    /// [`Rule::Overcommit`].
    Overcommit,
    /// [`Rule::Reserve`].
    Reserve,
    /// [`Rule::ExtendAt`].
    ExtendAt,
    /// [`Rule::ExtendBy`].
    ExtendBy,
}

/// What becomes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleChange {
    /// It holds from now on.
    Set(Rule),
    /// Nothing is said any more.
    Clear(RuleKind),
}

/// What takes a rule away.
pub const NO_RULE: &str = "none";

/// A text that is no rule of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RuleError {
    /// It is no size.
    #[error("{0}; {hint}", hint = .0.hint)]
    Size(#[from] SizeError),
    /// It is no number, or is out of range.
    #[error("write {}, or '{NO_RULE}'", .0.form())]
    Form(RuleKind),
}

/// A tag that is no rule, though it begins like one, or stands beside another of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("its tag '{tag}' {}", if *.twice { "is not the only one of its kind" } else { "cannot be read" })]
pub struct BadRule {
    /// The tag.
    pub tag: String,
    /// Whether it is one too many.
    pub twice: bool,
}

/// All that is said of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolRules {
    /// [`Rule::Overcommit`].
    pub overcommit: Option<Ratio>,
    /// [`Rule::Reserve`].
    pub reserve: Option<Bytes>,
    /// [`Rule::ExtendAt`].
    pub extend_at: Option<u32>,
    /// [`Rule::ExtendBy`].
    pub extend_by: Option<u32>,
}

impl RuleKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Overcommit, Self::Reserve, Self::ExtendAt, Self::ExtendBy];

    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Overcommit => "overcommit",
            Self::Reserve => "reserve",
            Self::ExtendAt => "extend-at",
            Self::ExtendBy => "extend-by",
        }
    }

    /// How it is written.
    const fn form(self) -> &'static str {
        match self {
            Self::Overcommit => "a number such as 1.5, with at most two decimals",
            Self::Reserve => "a size",
            Self::ExtendAt => "a number of per cent from 50 to 100",
            Self::ExtendBy => "a number of per cent from 1 to 1000",
        }
    }

    /// What its tag begins with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Overcommit => "thinvol.overcommit=",
            Self::Reserve => "thinvol.reserve=",
            Self::ExtendAt => "thinvol.extend-at=",
            Self::ExtendBy => "thinvol.extend-by=",
        }
    }

    /// Its tags on that pool.
    pub fn tags(self, lv: &Lv) -> impl Iterator<Item = &str> {
        lv.tags.iter().map(String::as_str).filter(move |tag| tag.starts_with(self.prefix()))
    }

    /// Without it.
    pub const fn absent(self) -> &'static str {
        match self {
            Self::Overcommit => "promises as much as is asked of it",
            Self::Reserve => "keeps no reserve",
            Self::ExtendAt => "is extended when lvm.conf says so",
            Self::ExtendBy => "is extended by as much as lvm.conf says",
        }
    }
}

impl Rule {
    /// Reads a value: for [`Rule::ExtendAt`] from 50 on, as lvm2 has it; 100 is never.
    pub fn parse(kind: RuleKind, value: &str) -> Option<Self> {
        let percent =
            |range: std::ops::RangeInclusive<u32>| value.parse().ok().filter(|it| range.contains(it));
        Some(match kind {
            RuleKind::Overcommit => Self::Overcommit(Ratio::parse(value)?),
            RuleKind::Reserve => Self::Reserve(Bytes::new(value.parse().ok()?)),
            RuleKind::ExtendAt => Self::ExtendAt(percent(50..=100)?),
            RuleKind::ExtendBy => Self::ExtendBy(percent(1..=1000)?),
        })
    }

    /// Which one it is.
    pub const fn kind(self) -> RuleKind {
        match self {
            Self::Overcommit(_) => RuleKind::Overcommit,
            Self::Reserve(_) => RuleKind::Reserve,
            Self::ExtendAt(_) => RuleKind::ExtendAt,
            Self::ExtendBy(_) => RuleKind::ExtendBy,
        }
    }

    /// As it is recorded.
    pub fn tag(self) -> String {
        let prefix = self.kind().prefix();
        match self {
            Self::Overcommit(ratio) => format!("{prefix}{ratio}"),
            Self::Reserve(bytes) => format!("{prefix}{}", bytes.get()),
            Self::ExtendAt(percent) | Self::ExtendBy(percent) => format!("{prefix}{percent}"),
        }
    }

    /// In words, to follow the pool's name.
    pub fn words(self) -> String {
        match self {
            Self::Overcommit(ratio) => format!("promises at most {ratio} times its size"),
            Self::Reserve(bytes) => format!("promises nothing more below {} of free data", Rounded(bytes)),
            Self::ExtendAt(100) => "is not extended by itself".into(),
            Self::ExtendAt(percent) => format!("is extended when {percent} % full"),
            Self::ExtendBy(percent) => format!("is extended by {percent} %"),
        }
    }
}

impl RuleChange {
    /// Reads a rule of that kind, or that there is to be none; a size without unit is in `unit`.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(kind: RuleKind, text: &str, unit: Unit) -> Result<Self, RuleError> {
        if text == NO_RULE {
            return Ok(Self::Clear(kind));
        }
        let rule = match kind {
            RuleKind::Reserve => Some(Rule::Reserve(parse_size(text, unit)?)),
            RuleKind::ExtendAt | RuleKind::ExtendBy => Rule::parse(kind, text.trim_end_matches('%')),
            RuleKind::Overcommit => Rule::parse(kind, text),
        };
        rule.map(Self::Set).ok_or(RuleError::Form(kind))
    }

    /// Which rule it is about.
    pub const fn kind(self) -> RuleKind {
        match self {
            Self::Set(rule) => rule.kind(),
            Self::Clear(kind) => kind,
        }
    }

    /// The tag that there is afterwards.
    pub fn tag(self) -> Option<String> {
        match self {
            Self::Set(rule) => Some(rule.tag()),
            Self::Clear(_) => None,
        }
    }

    /// In words, to follow the pool's name.
    pub fn words(self) -> String {
        match self {
            Self::Set(rule) => rule.words(),
            Self::Clear(kind) => kind.absent().into(),
        }
    }
}

impl PoolRules {
    /// What the tags of a pool say.
    ///
    /// # Errors
    /// The first tag that cannot be read, or is one too many: what was meant is not known.
    pub fn of(lv: &Lv) -> Result<Self, BadRule> {
        let mut rules = Self::default();
        for kind in RuleKind::ALL {
            let mut tags = kind.tags(lv);
            let Some(tag) = tags.next() else { continue };
            if let Some(other) = tags.next() {
                return Err(BadRule { tag: other.to_owned(), twice: true });
            }
            let value = tag.strip_prefix(kind.prefix()).unwrap_or_default();
            match Rule::parse(kind, value) {
                Some(Rule::Overcommit(ratio)) => rules.overcommit = Some(ratio),
                Some(Rule::Reserve(bytes)) => rules.reserve = Some(bytes),
                Some(Rule::ExtendAt(percent)) => rules.extend_at = Some(percent),
                Some(Rule::ExtendBy(percent)) => rules.extend_by = Some(percent),
                None => return Err(BadRule { tag: tag.to_owned(), twice: false }),
            }
        }
        Ok(rules)
    }

    /// All there are, as rules.
    pub fn iter(self) -> impl Iterator<Item = Rule> {
        let Self { overcommit, reserve, extend_at, extend_by } = self;
        [
            overcommit.map(Rule::Overcommit),
            reserve.map(Rule::Reserve),
            extend_at.map(Rule::ExtendAt),
            extend_by.map(Rule::ExtendBy),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::fixture::lv;

    fn tagged(tags: &[&str]) -> Lv {
        lv(1, "data", None, tags.iter().map(|tag| (*tag).to_owned()).collect())
    }

    #[test]
    fn what_is_recorded_is_read_again() {
        let all = [
            Rule::Overcommit(Ratio(150)),
            Rule::Reserve(Bytes::new(1 << 30)),
            Rule::ExtendAt(70),
            Rule::ExtendBy(20),
        ];
        let tags: Vec<String> = all.iter().map(|rule| rule.tag()).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        assert_eq!(tags[0], "thinvol.overcommit=1.50");
        let rules = PoolRules::of(&tagged(&tags)).unwrap();
        assert_eq!(rules.iter().collect::<Vec<_>>(), all);
        assert_eq!(PoolRules::of(&tagged(&["backup"])), Ok(PoolRules::default()));
    }

    #[test]
    fn what_cannot_be_meant_is_no_rule() {
        for tag in
            ["thinvol.overcommit=", "thinvol.overcommit=x", "thinvol.extend-at=30", "thinvol.reserve=1G"]
        {
            assert_eq!(PoolRules::of(&tagged(&[tag])), Err(BadRule { tag: tag.into(), twice: false }));
        }
        let twice = PoolRules::of(&tagged(&["thinvol.extend-by=20", "thinvol.extend-by=30"])).unwrap_err();
        assert_eq!(twice.to_string(), "its tag 'thinvol.extend-by=30' is not the only one of its kind");
    }

    #[test]
    fn rules_are_read_as_they_are_meant() {
        let read = |kind, text| RuleChange::parse(kind, text, Unit::Kibi);
        let reserve = Rule::Reserve(Bytes::new(1 << 30));
        assert_eq!(read(RuleKind::Reserve, "1G"), Ok(RuleChange::Set(reserve)));
        assert_eq!(read(RuleKind::Reserve, "1048576"), Ok(RuleChange::Set(reserve)));
        assert_eq!(read(RuleKind::ExtendAt, "80%"), Ok(RuleChange::Set(Rule::ExtendAt(80))));
        assert_eq!(read(RuleKind::Overcommit, "none"), Ok(RuleChange::Clear(RuleKind::Overcommit)));
        for (kind, wrong) in [
            (RuleKind::ExtendAt, "49"),
            (RuleKind::ExtendBy, "0"),
            (RuleKind::Overcommit, "1,5"),
            (RuleKind::Reserve, "x"),
        ] {
            assert!(read(kind, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ratios_have_two_decimals_at_most() {
        for (text, hundredths) in [("1", 100), ("1.5", 150), ("0.25", 25), ("12.05", 1205)] {
            assert_eq!(Ratio::parse(text), Some(Ratio(hundredths)), "{text}");
        }
        for text in ["", "0", "0.00", ".5", "1.555", "-1", "1e3", "99999999999", "1.x"] {
            assert_eq!(Ratio::parse(text), None, "{text}");
        }
    }
}
