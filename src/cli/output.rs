//! Answers on standard output: columns or JSON.

use std::borrow::Cow;
use std::io::{self, Write};

use anstyle::AnsiColor;
use serde::Serialize;

use super::errors::{CliError, Code, label};
use super::plain;

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

    /// Whether it tells of something that was done: then a failure to tell it must not look as if nothing was.
    fn tells_of_changes(&self) -> bool {
        false
    }
}

/// Prints an answer. A reader that went away is no error.
///
/// # Errors
/// If standard output cannot be written, a full disk for one.
pub fn print<A: Answer>(answer: &A, json: bool) -> Result<(), CliError> {
    write(answer, json, &mut io::stdout().lock(), &mut anstream::stderr())
}

fn write<A: Answer>(
    answer: &A,
    json: bool,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), CliError> {
    let unsaid = |error: &dyn std::error::Error| {
        if answer.tells_of_changes() {
            CliError::new(Code::Partial, "it is done, but the answer cannot be written to standard output")
                .caused_by(Some(error))
                .hint("do not do it again: 'thinvol list' and 'thinvol info' show what is there")
        } else {
            CliError::new(Code::Refused, "the answer cannot be written to standard output")
                .caused_by(Some(error))
        }
    };
    let text = if json {
        let document = serde_json::to_string_pretty(answer).map_err(|error| unsaid(&error))?;
        format!("{}\n", plain::json(&document))
    } else {
        // Who does not listen to them still gets the answer.
        for warning in answer.warnings() {
            let _ = label(err, AnsiColor::Yellow, "warning", warning);
        }
        for note in answer.notes() {
            let _ = label(err, AnsiColor::Cyan, "note", note);
        }
        let mut text = Vec::new();
        answer.text(&mut text).map_err(|error| unsaid(&error))?;
        plain::lines(&text)
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

/// A moment, given in seconds since 1970, in universal time.
pub fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

/// Writes rows in columns, two blanks apart, those in `right` to the right; columns without content are left
/// out.
///
/// # Errors
/// If they cannot be written.
pub fn columns<const N: usize>(
    out: &mut dyn Write,
    rows: &[[String; N]],
    right: [bool; N],
) -> io::Result<()> {
    let rows: Vec<[Cow<'_, str>; N]> =
        rows.iter().map(|row| row.each_ref().map(|cell| plain::within_line(cell))).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let mut line = String::new();
        for ((cell, width), right) in row.iter().zip(widths).zip(right).filter(|((_, width), _)| *width > 0) {
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
        for (changed, code) in [(true, Code::Partial), (false, Code::Refused)] {
            for json in [false, true] {
                let answer = Made { changed, warnings: Vec::new() };
                let error = write(&answer, json, &mut full(), &mut io::sink()).unwrap_err();
                assert_eq!(error.code, code, "{error:?}");
                assert_eq!(write(&answer, json, &mut Broken(io::ErrorKind::BrokenPipe), &mut full()), Ok(()));
            }
        }
    }

    #[test]
    fn a_broken_standard_error_swallows_no_answer() {
        let answer = Made { changed: true, warnings: vec!["careful".to_owned()] };
        let mut out = Vec::new();
        let written = write(&answer, false, &mut out, &mut Broken(io::ErrorKind::StorageFull));
        assert_eq!((written, String::from_utf8(out).unwrap()), (Ok(()), "made\\u{1b}c\n".to_owned()));
    }

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let row = |name: &str, size: &str| [name.to_owned(), String::new(), size.to_owned()];
        columns(&mut out, &[row("a", "1 GiB"), row("long", "10 GiB")], [false, false, true]).unwrap();
        pairs(&mut out, &[("x", "1".to_owned()), ("size", "2".to_owned())]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a      1 GiB\nlong  10 GiB\nx     1\nsize  2\n");
    }
}
