//! Answers on standard output: columns or JSON.

use std::io::{self, Write};

use anstyle::AnsiColor;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::errors::{CliError, label};
use super::plain;
use super::versioned::Versioned;
use base::error_kind::ErrorKind;

/// What a command has to say, as one JSON document or as text.
pub trait Answer: Serialize {
    /// Writes the text form.
    ///
    /// # Errors
    /// If it cannot be written.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Things that went another way than one might think; part of the JSON document, else on standard error.
    fn notes(&self) -> &[String] {
        &[]
    }

    /// Things that ask for attention; part of the JSON document, else on standard error.
    fn warnings(&self) -> &[String] {
        &[]
    }

    /// Whether it reports a change: then a failure to print it must not look as if nothing was changed.
    fn tells_of_changes(&self) -> bool {
        false
    }

    /// Whether the text only reports a change, so that `--quiet` leaves it out.
    fn is_report(&self) -> bool {
        self.tells_of_changes()
    }
}

/// How answers are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// In JSON.
    pub json: bool,
    /// Without notes, and without telling of changes that were made.
    pub quiet: bool,
}

/// Prints an answer. A reader that went away is no error.
///
/// # Errors
/// If standard output cannot be written, a full disk for one.
pub fn print<A: Answer>(answer: &A, style: Style) -> Result<(), CliError> {
    write(answer, style, &mut io::stdout().lock(), &mut anstream::stderr())
}

/// Prints an answer on standard error, beside a stream on standard output. A reader that went away is no error.
///
/// # Errors
/// If standard error cannot be written.
pub fn print_beside<A: Answer>(answer: &A, style: Style) -> Result<(), CliError> {
    write(answer, style, &mut io::stderr().lock(), &mut anstream::stderr())
}

fn write<A: Answer>(
    answer: &A,
    style: Style,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CliError> {
    let unsaid = |error: &dyn std::error::Error| {
        if answer.tells_of_changes() {
            CliError::new(
                ErrorKind::Partial,
                "it is done, but the answer cannot be written to standard output",
            )
            .caused_by(Some(error))
            .hint("do not do it again: 'thinvol list' and 'thinvol info' show what is there")
        } else {
            CliError::new(ErrorKind::Refused, "the answer cannot be written to standard output")
                .caused_by(Some(error))
        }
    };
    let text = if style.json {
        let document =
            serde_json::to_string_pretty(&Versioned::new(answer)).map_err(|error| unsaid(&error))?;
        format!("{}\n", plain::json(&document))
    } else {
        // Who does not listen to them still gets the answer.
        for warning in answer.warnings() {
            let _ = label(err, AnsiColor::Yellow, "warning", warning);
        }
        for note in answer.notes().iter().filter(|_| !style.quiet) {
            let _ = label(err, AnsiColor::Cyan, "note", note);
        }
        let mut text = Vec::new();
        if !(style.quiet && answer.is_report()) {
            answer.text(&mut text).map_err(|error| unsaid(&error))?;
        }
        plain::lines(text)
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(unsaid(&error)),
        _ => Ok(()),
    }
}

/// Writes lines of `name  value`, the values in one column.
///
/// # Errors
/// If they cannot be written.
pub fn pairs(out: &mut dyn Write, pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().try_for_each(|(name, value)| writeln!(out, "{name:<width$}  {}", plain::within_line(value)))
}

/// A moment, given in seconds since 1970, in this machine's time zone, as lvm2 writes it.
pub fn moment(seconds: u64) -> String {
    moment_in(seconds, TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

fn moment_in(seconds: u64, zone: TimeZone) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let words = |time: Timestamp| time.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S %z").to_string();
    time.map_or_else(|| seconds.to_string(), words)
}

/// Writes rows in columns, two blanks apart, those in `right` to the right; columns without content are left
/// out.
///
/// # Errors
/// If they cannot be written.
pub fn columns<R: AsRef<[String]>>(out: &mut dyn Write, rows: &[R], right: &[bool]) -> io::Result<()> {
    let within = |row: &R| row.as_ref().iter().map(|cell| plain::within_line(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(within).collect();
    let mut widths = vec![0; right.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut line = String::new();
        let cells = row.iter().zip(&widths).zip(right).filter(|((_, width), _)| **width > 0);
        for ((cell, &width), &right) in cells {
            let padded = if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line.push_str(&padded);
            line.push_str("  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versioned::JSON_VERSION;

    /// A stream that fails.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Serialize)]
    struct Made {
        changed: bool,
        warnings: Vec<String>,
    }

    impl Answer for Made {
        fn text(&self, out: &mut dyn Write) -> io::Result<()> {
            writeln!(out, "made\u{1b}c")
        }

        fn warnings(&self) -> &[String] {
            &self.warnings
        }

        fn tells_of_changes(&self) -> bool {
            self.changed
        }
    }

    #[test]
    fn what_was_done_and_cannot_be_said_is_no_refusal() {
        let full = || Broken(io::ErrorKind::StorageFull);
        for (changed, code) in [(true, ErrorKind::Partial), (false, ErrorKind::Refused)] {
            for json in [false, true] {
                let answer = Made { changed, warnings: Vec::new() };
                let error =
                    write(&answer, Style { json, quiet: false }, &mut full(), &mut io::sink()).unwrap_err();
                assert_eq!(error.code, code, "{error:?}");
                assert_eq!(
                    write(
                        &answer,
                        Style { json, quiet: false },
                        &mut Broken(io::ErrorKind::BrokenPipe),
                        &mut full()
                    ),
                    Ok(())
                );
            }
        }
    }

    #[test]
    fn a_broken_standard_error_swallows_no_answer() {
        let answer = Made { changed: true, warnings: vec!["careful".to_owned()] };
        let mut out = Vec::new();
        let written = write(&answer, Style::default(), &mut out, &mut Broken(io::ErrorKind::StorageFull));
        assert_eq!((written, String::from_utf8(out).unwrap()), (Ok(()), "made\\u{1b}c\n".to_owned()));
    }

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let row = |name: &str, size: &str| [name.to_owned(), String::new(), size.to_owned()];
        columns(&mut out, &[row("a", "1 GiB"), row("long", "10 GiB")], &[false, false, true]).unwrap();
        pairs(&mut out, &[("x", "1".to_owned()), ("size", "2".to_owned())]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a      1 GiB\nlong  10 GiB\nx     1\nsize  2\n");
    }

    #[test]
    fn moments_are_in_local_time() {
        assert_eq!(moment_in(86_400, TimeZone::UTC), "1970-01-02 00:00:00 +0000");
        assert_eq!(moment_in(0, TimeZone::fixed(jiff::tz::offset(-3))), "1969-12-31 21:00:00 -0300");
        assert_eq!(moment_in(u64::MAX, TimeZone::UTC), u64::MAX.to_string());
    }

    #[derive(Serialize)]
    struct Told {
        notes: Vec<String>,
        warnings: Vec<String>,
        #[serde(skip)]
        is_report: bool,
    }

    impl Answer for Told {
        fn text(&self, out: &mut dyn Write) -> io::Result<()> {
            writeln!(out, "text")
        }
        fn notes(&self) -> &[String] {
            &self.notes
        }
        fn warnings(&self) -> &[String] {
            &self.warnings
        }
        fn is_report(&self) -> bool {
            self.is_report
        }
    }

    fn said(style: Style, is_report: bool) -> (String, String) {
        let told = Told { notes: vec!["n".to_owned()], warnings: vec!["w".to_owned()], is_report };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        write(&told, style, &mut out, &mut anstream::StripStream::new(&mut err)).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_quiet_are_told_what_they_asked_for_and_warned() {
        let both = |style| [said(style, false), said(style, true)];
        let of = |out: &str, err: &str| (out.to_owned(), err.to_owned());
        let loud = of("text\n", "warning: w\nnote: n\n");
        assert_eq!(both(Style::default()), [loud.clone(), loud]);
        let quiet = Style { quiet: true, json: false };
        assert_eq!(both(quiet), [of("text\n", "warning: w\n"), of("", "warning: w\n")]);
    }

    #[test]
    fn every_document_says_which_version_of_the_forms_it_has() {
        let style = Style { json: true, quiet: true };
        let document: serde_json::Value = serde_json::from_str(&said(style, true).0).unwrap();
        assert_eq!(
            document,
            serde_json::json!({"json_version": JSON_VERSION, "notes": ["n"], "warnings": ["w"]})
        );
        assert!(said(style, true).0.starts_with("{\n  \"json_version\": 3,"));
    }
}
