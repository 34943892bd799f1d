//! Sizes as people write and read them: exact, in powers of two, whatever the case.

use std::fmt;

use thiserror::Error;

use super::{Bytes, SECTOR_BYTES};

/// The unit of a number that is written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Byte,
    /// Sectors of 512 bytes.
    Sector,
    /// 2^10 bytes.
    Kibi,
    /// 2^20 bytes.
    Mebi,
    /// 2^30 bytes.
    Gibi,
    /// 2^40 bytes.
    Tebi,
    /// 2^50 bytes.
    Pebi,
    /// 2^60 bytes.
    Exbi,
}

impl Unit {
    const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::Sector => SECTOR_BYTES,
            Self::Kibi => 1 << 10,
            Self::Mebi => 1 << 20,
            Self::Gibi => 1 << 30,
            Self::Tebi => 1 << 40,
            Self::Pebi => 1 << 50,
            Self::Exbi => 1 << 60,
        }
    }

    /// As it is written behind a number.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Byte => "B",
            Self::Sector => "sectors",
            Self::Kibi => "KiB",
            Self::Mebi => "MiB",
            Self::Gibi => "GiB",
            Self::Tebi => "TiB",
            Self::Pebi => "PiB",
            Self::Exbi => "EiB",
        }
    }

    /// How many of this unit a size is, with two decimals unless it is whole. Cut, not rounded: no size is shown
    /// larger than it is.
    pub fn number_of(self, size: Bytes) -> String {
        let (whole, rest) = (size.get() / self.bytes(), size.get() % self.bytes());
        match u128::from(rest) * 100 / u128::from(self.bytes()) {
            _ if rest == 0 => whole.to_string(),
            hundredths => format!("{whole}.{hundredths:02}"),
        }
    }
}

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("'{text}' is not a size: {why}")]
pub struct SizeError {
    /// The text.
    pub text: String,
    /// The rule it breaks.
    pub why: String,
    /// What to write instead.
    pub hint: String,
}

/// Longest text that is looked at.
const TEXT_MAX: usize = 40;

/// Reads a size such as `8G`, `8GiB`, `1.5t`, `4096` or `2048s`.
///
/// The letters mean what they mean to `lvcreate`: b is bytes, s is sectors of 512 bytes, k m g t p e are
/// powers of 1024, in either case; `iB` may follow. A fraction must come out at a whole number of bytes.
///
/// # Errors
/// If it is no number, has another unit, is not whole in bytes, or does not fit into 64 bits.
pub fn parse_size(text: &str, default: Unit) -> Result<Bytes, SizeError> {
    let error =
        |why: String, hint: String| Err(SizeError { text: text.chars().take(TEXT_MAX).collect(), why, hint });
    let example = || "write a number and a unit: 512M, 8G, 1.5T".to_owned();
    if text.len() > TEXT_MAX {
        return error(format!("it is longer than {TEXT_MAX} characters"), example());
    }
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return error("it does not start with a number".to_owned(), example());
    }
    let Some(unit) = unit_of(suffix, default) else {
        return match suffix.to_ascii_lowercase().as_str() {
            "kb" | "mb" | "gb" | "tb" | "pb" | "eb" => error(
                format!("'{suffix}' means powers of 1000 to some and of 1024 to others"),
                format!("write '{0}' or '{0}iB' for powers of 1024", suffix[..1].to_ascii_uppercase()),
            ),
            _ => error(format!("'{}' is not a unit", suffix.escape_default()), example()),
        };
    };
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > DECIMALS_MAX {
        return error(format!("it has more than {DECIMALS_MAX} decimals"), example());
    }
    match exact_bytes(whole, fraction, unit.bytes()) {
        Exact::Whole(bytes) => Ok(Bytes::new(bytes)),
        Exact::Between(below) => error(
            "it is not a whole number of bytes".to_owned(),
            format!("the next larger size is {}b", u128::from(below) + 1),
        ),
        Exact::TooLarge => {
            error("it is 2^64 bytes or more".to_owned(), "the largest size is below 16E".to_owned())
        }
    }
}

fn unit_of(suffix: &str, default: Unit) -> Option<Unit> {
    let lower = suffix.to_ascii_lowercase();
    Some(match lower.strip_suffix("ib").filter(|rest| !rest.is_empty()).unwrap_or(&lower) {
        "" => default,
        "b" if lower == "b" => Unit::Byte,
        "s" if lower == "s" => Unit::Sector,
        "k" => Unit::Kibi,
        "m" => Unit::Mebi,
        "g" => Unit::Gibi,
        "t" => Unit::Tebi,
        "p" => Unit::Pebi,
        "e" => Unit::Exbi,
        _ => return None,
    })
}

/// Most decimals of a fraction: 10^18 * 2^60 still fits into 128 bits.
const DECIMALS_MAX: usize = 18;

enum Exact {
    Whole(u64),
    Between(u64),
    TooLarge,
}

/// `whole.fraction` times `unit` bytes; both texts hold digits only, and at most [`DECIMALS_MAX`] behind the
/// point.
fn exact_bytes(whole: &str, fraction: &str, unit: u64) -> Exact {
    let unit = u128::from(unit);
    let denominator = fraction.bytes().fold(1u128, |power, _| power * 10);
    let numerator = fraction.bytes().fold(0u128, |sum, digit| sum * 10 + u128::from(digit - b'0')) * unit;
    let bytes = whole
        .parse::<u128>()
        .ok()
        .and_then(|whole| whole.checked_mul(unit)?.checked_add(numerator / denominator))
        .and_then(|bytes| u64::try_from(bytes).ok());
    match bytes {
        Some(bytes) if numerator.is_multiple_of(denominator) => Exact::Whole(bytes),
        Some(bytes) => Exact::Between(bytes),
        None => Exact::TooLarge,
    }
}

/// Shows a size in the largest unit that leaves at least one, with two decimals unless it is whole: `8 GiB`,
/// `1.50 TiB`, `100 B`. For people; not exact.
#[derive(Clone, Copy, Debug)]
pub struct Rounded(pub Bytes);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.get();
        let units = [Unit::Exbi, Unit::Pebi, Unit::Tebi, Unit::Gibi, Unit::Mebi, Unit::Kibi];
        let unit = units.into_iter().find(|unit| bytes >= unit.bytes()).unwrap_or(Unit::Byte);
        let shown = format!("{} {}", unit.number_of(self.0), unit.symbol());
        f.pad(&shown)
    }
}

#[cfg(test)]
mod tests;
