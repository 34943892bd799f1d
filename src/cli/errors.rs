//! Errors as users meet them: a message, its causes, a hint, an exit code.

use std::error::Error;
use std::io::{self, Write};
use std::iter::once;

use anstyle::{AnsiColor, Style};
use serde::{Serialize, Serializer};

use super::plain;
use super::versioned::Versioned;
use base::error_chain::causes;
use base::error_kind::ErrorKind;
use thin::internals::error::Aside;

/// An error ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CliError {
    /// What went wrong, in one sentence.
    pub message: String,
    /// What caused it, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// What sort of failure it is: in JSON its exit code.
    #[serde(serialize_with = "exit_code")]
    pub code: ErrorKind,
    /// The lines of the input that are wrong, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<BadLine>,
    /// What was mended and warned of before it went wrong.
    #[serde(flatten)]
    pub aside: Box<Aside>,
}

/// A line of the input that is wrong or was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong, and why.
    #[serde(flatten)]
    pub why: CliError,
}

fn exit_code<S: Serializer>(kind: &ErrorKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(kind.exit_code())
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a CliError,
}

impl CliError {
    /// An error without cause or hint.
    pub fn new(code: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            code,
            lines: Vec::new(),
            aside: Box::default(),
        }
    }

    /// An error of the command line or of its input.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// An error made of another one and its sources.
    pub fn from_error(code: ErrorKind, error: &dyn Error) -> Self {
        Self::new(code, error.to_string()).caused_by(error.source())
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a cause and all its sources behind those it has.
    #[must_use]
    pub fn caused_by(mut self, cause: Option<&dyn Error>) -> Self {
        self.causes.extend(cause.into_iter().flat_map(|error| once(error.to_string()).chain(causes(error))));
        self
    }

    /// The same with what went wrong besides, as further causes.
    #[must_use]
    pub fn along_with(mut self, other: Self) -> Self {
        self.causes.push(other.message);
        self.causes.extend(other.causes);
        self
    }

    /// The same as the cause of a wider error, which keeps its hint.
    #[must_use]
    pub fn within(self, code: ErrorKind, message: impl Into<String>) -> Self {
        let causes = std::iter::once(self.message).chain(self.causes).collect();
        Self { causes, hint: self.hint, aside: self.aside, ..Self::new(code, message) }
    }

    /// The same with what was warned of before it went wrong.
    #[must_use]
    pub fn warned(mut self, warnings: Vec<String>) -> Self {
        self.aside.warnings.splice(0..0, warnings);
        self
    }

    /// One error for lines of the input of which nothing was done: each is a cause, up to a number that can be read,
    /// and all are in the JSON form. They share their exit code, or it is that of a refusal.
    pub fn of_lines(mut lines: Vec<BadLine>, total: usize) -> Self {
        if lines.len() == 1
            && let Some(BadLine { line, why }) = lines.pop()
        {
            return Self { message: format!("line {line}: {}", why.message), ..why };
        }
        let code = lines.first().map_or(ErrorKind::Refused, |first| first.why.code);
        let code = if lines.iter().all(|line| line.why.code == code) { code } else { ErrorKind::Refused };
        let message = format!("{} of {total} requests are refused; nothing was changed", lines.len());
        Self { causes: BadLine::told(&lines), lines, ..Self::new(code, message) }
    }

    /// Its message and its causes in one line, to be a part of another message.
    pub fn one_line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// Writes it as a JSON object, or as lines of text with coloured labels.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn show(&self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            let document = serde_json::to_string_pretty(&Versioned::new(Envelope { error: self }))?;
            return writeln!(out, "{}", plain::json(&document));
        }
        for recovered in &self.aside.recovered {
            label(out, AnsiColor::Cyan, "recovered", recovered)?;
        }
        for warning in &self.aside.warnings {
            label(out, AnsiColor::Yellow, "warning", warning)?;
        }
        label(out, AnsiColor::Red, "error", &self.message)?;
        for cause in &self.causes {
            label(out, AnsiColor::Red, "caused by", cause)?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| label(out, AnsiColor::Green, "hint", hint))
    }
}

impl BadLine {
    /// The first lines in words, and how many more there are.
    pub fn told(lines: &[Self]) -> Vec<String> {
        const TOLD: usize = 20;
        let told = lines.iter().take(TOLD).map(|bad| format!("line {}: {}", bad.line, bad.why.message));
        let more = lines.len().checked_sub(TOLD).filter(|more| *more > 0);
        told.chain(more.map(|more| format!("{more} more lines; --json lists them all"))).collect()
    }
}

/// Writes `label: text` in one line, the label in colour. The stream takes the colour out where it does not belong.
///
/// # Errors
/// If it cannot be written.
pub fn label(out: &mut dyn Write, colour: AnsiColor, label: &str, text: &str) -> io::Result<()> {
    let style = Style::new().bold().fg_color(Some(colour.into()));
    writeln!(out, "{style}{label}:{style:#} {}", plain::within_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the label of /dev/sda")]
    struct Outer(#[source] io::Error);

    fn shown(error: &CliError, json: bool) -> String {
        let mut out = Vec::new();
        error.show(json, &mut anstream::StripStream::new(&mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_error_is_shown_with_its_causes_and_hint() {
        let error = CliError::from_error(ErrorKind::Corrupt, &Outer(io::Error::other("disk on fire")))
            .within(ErrorKind::Partial, "volume group 'b' was not changed")
            .hint("put it out");
        assert_eq!(
            shown(&error, false),
            "error: volume group 'b' was not changed\ncaused by: cannot read the label of /dev/sda\n\
             caused by: disk on fire\nhint: put it out\n"
        );
        let json: serde_json::Value = serde_json::from_str(&shown(&error, true)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"json_version": 3, "error": {
                "message": "volume group 'b' was not changed",
                "causes": ["cannot read the label of /dev/sda", "disk on fire"],
                "hint": "put it out",
                "code": 5,
            }})
        );
    }

    #[test]
    fn what_was_mended_before_is_told_first() {
        let mut error = CliError::new(ErrorKind::NotFound, "no such volume");
        error.aside.recovered.push("2 messages".to_owned());
        error.aside.warnings.push("no copy".to_owned());
        assert_eq!(shown(&error, false), "recovered: 2 messages\nwarning: no copy\nerror: no such volume\n");
        let json: serde_json::Value = serde_json::from_str(&shown(&error, true)).unwrap();
        assert_eq!(json["error"]["recovered"], serde_json::json!(["2 messages"]));
        assert_eq!(json["error"]["warnings"], serde_json::json!(["no copy"]));
    }

    #[test]
    fn labels_are_coloured_only_where_the_stream_keeps_colours() {
        let mut out = Vec::new();
        CliError::usage("no").show(false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no\n");
        assert_eq!(shown(&CliError::usage("no"), false), "error: no\n");
    }
}
