//! The accept and reject patterns of `devices/filter` and `devices/global_filter`.
//!
//! lvm2 matches with an engine of its own (`libdm/regex`): unanchored, byte by byte, with `^` and `$` as two marker
//! characters around the name, which `.` and `[^…]` match too. A pattern is translated into one for `regex-lite`, whose
//! matching takes linear time, over the name with the same markers.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use regex_lite::Regex;
use thiserror::Error;

/// What stands for `^` and `$`. Source: lvm2 `libdm/regex/parse_rx.h`.
const HAT: char = '\u{2}';
const DOLLAR: char = '\u{3}';

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the filter pattern \"{}\" is not valid: {why}", pattern.escape_debug())]
pub struct PatternError {
    /// The pattern.
    pub pattern: String,
    /// The problem.
    pub why: String,
}

#[derive(Clone, Debug)]
struct Pattern {
    accept: bool,
    regex: Regex,
    text: String,
}

/// A list of patterns; the first that matches a name decides about that name.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

/// The verdict of a list of patterns on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be used; by this name, if a pattern accepts it.
    Accepted(Option<PathBuf>),
    /// It may not be used, because of this name and pattern.
    Rejected {
        /// The name.
        name: PathBuf,
        /// The pattern.
        pattern: String,
    },
}

impl Patterns {
    /// Whether there are none: every name passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compiles a list such as `["a|^/dev/sd|", "r|.*|"]`.
    ///
    /// # Errors
    /// If one is not `a` or `r`, a delimiter, a regular expression, and the delimiter.
    pub fn parse(patterns: &[String]) -> Result<Self, PatternError> {
        patterns.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>().map(Self)
    }

    /// Decides about a device by all its names. One accepted name is enough; with no match at all it is accepted.
    /// Source: lvm2 `lib/filters/filter-regex.c` (`_accept_p`).
    pub fn verdict(&self, names: &[PathBuf]) -> Verdict {
        let mut rejected = None;
        for name in names {
            match self.first_match(name) {
                Some(pattern) if pattern.accept => return Verdict::Accepted(Some(name.clone())),
                Some(pattern) if rejected.is_none() => rejected = Some((name, pattern)),
                _ => {}
            }
        }
        match rejected {
            Some((name, pattern)) => Verdict::Rejected { name: name.clone(), pattern: pattern.text.clone() },
            None => Verdict::Accepted(None),
        }
    }

    fn first_match(&self, name: &Path) -> Option<&Pattern> {
        let subject = format!("{HAT}{}{DOLLAR}", name.to_string_lossy());
        self.0.iter().find(|pattern| pattern.regex.is_match(&subject))
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, PatternError> {
        let error = |why: &str| PatternError { pattern: text.to_owned(), why: why.to_owned() };
        let mut chars = text.chars();
        let accept = match chars.next() {
            Some('a') => true,
            Some('r') => false,
            _ => return Err(error("it must begin with 'a' or 'r'")),
        };
        let open = chars.next().ok_or_else(|| error("it has no delimiter"))?;
        let close = match open {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            other => other,
        };
        let inside = chars.as_str().strip_suffix(close);
        let inside = inside.ok_or_else(|| error(&format!("it must end with '{close}'")))?;
        let translated = translate(inside).map_err(error)?;
        let regex = Regex::new(&translated).map_err(|cause| error(&cause.to_string()))?;
        Ok(Self { accept, regex, text: text.to_owned() })
    }
}

/// Rewrites an expression of lvm2's engine. Source: lvm2 `libdm/regex/parse_rx.c` (`_rx_get_token`).
fn translate(expression: &str) -> Result<String, &'static str> {
    if expression.is_empty() {
        return Err("its expression is empty");
    }
    let mut out = String::new();
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        match c {
            '(' => out.push_str("(?:"),
            ')' | '*' | '+' | '?' | '|' => out.push(c),
            '^' => push_literal(&mut out, HAT),
            '$' => push_literal(&mut out, DOLLAR),
            // Anything but line ends.
            '.' => out.push_str(r"[^\n\r]"),
            '[' => push_set(&mut out, &mut chars)?,
            '\\' => push_literal(&mut out, escaped(chars.next().ok_or("it ends with a backslash")?)),
            _ => push_literal(&mut out, c),
        }
    }
    Ok(out)
}

fn escaped(c: char) -> char {
    match c {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

fn push_literal(out: &mut String, c: char) {
    write!(out, r"\x{{{:x}}}", u32::from(c)).expect("a String takes everything");
}

/// A set: `[abc]`, `[^a-f]`. A range may be given backwards.
fn push_set(out: &mut String, chars: &mut std::str::Chars<'_>) -> Result<(), &'static str> {
    const UNCLOSED: &str = "a set is not closed by ']'";
    let mut rest = chars.clone();
    let negated = rest.next() == Some('^');
    if negated {
        chars.next();
    }
    let mut ranges = Vec::new();
    let mut last: Option<char> = None;
    loop {
        let c = match chars.next().ok_or(UNCLOSED)? {
            ']' => break,
            '\\' => escaped(chars.next().ok_or(UNCLOSED)?),
            '-' if last.is_some() => {
                let from = last.take().unwrap_or_default();
                let to = chars.next().ok_or(UNCLOSED)?;
                ranges.push((from.min(to), from.max(to)));
                last = Some(to);
                continue;
            }
            c => c,
        };
        ranges.push((c, c));
        last = Some(c);
    }
    if ranges.is_empty() {
        // No character at all, or any: no name holds a NUL.
        ranges.push(('\0', '\0'));
    }
    out.push_str(if negated { "[^" } else { "[" });
    for (from, to) in ranges {
        push_literal(out, from);
        out.push('-');
        push_literal(out, to);
    }
    out.push(']');
    Ok(())
}
