//! Answers on standard output: columns or JSON.

use std::io::{self, Write};

use anstyle::AnsiColor;
use serde::Serialize;

use super::errors::{CliError, Code, label};

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
}

/// Prints an answer. A reader that went away is no error.
///
/// # Errors
/// If standard output cannot be written, a full disk for one.
pub fn print<A: Answer>(answer: &A, json: bool) -> Result<(), CliError> {
    let stdout = io::stdout();
    let mut out = io::BufWriter::new(stdout.lock());
    let mut err = anstream::stderr();
    let written = write(answer, json, &mut out, &mut err).and_then(|()| out.flush());
    written.or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(CliError::new(Code::Refused, "the answer cannot be written to standard output")
            .caused_by(Some(&error))),
    })
}

fn write<A: Answer>(answer: &A, json: bool, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, answer)?;
        return writeln!(out);
    }
    for warning in answer.warnings() {
        label(err, AnsiColor::Yellow, "warning", warning)?;
    }
    for note in answer.notes() {
        label(err, AnsiColor::Cyan, "note", note)?;
    }
    answer.text(out)
}

/// Writes lines of `name  value`, the values in one column.
///
/// # Errors
/// If they cannot be written.
pub fn pairs(out: &mut dyn Write, pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().try_for_each(|(name, value)| writeln!(out, "{name:<width$}  {value}"))
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
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
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

    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let row = |name: &str, size: &str| [name.to_owned(), String::new(), size.to_owned()];
        columns(&mut out, &[row("a", "1 GiB"), row("long", "10 GiB")], [false, false, true]).unwrap();
        pairs(&mut out, &[("x", "1".to_owned()), ("size", "2".to_owned())]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a      1 GiB\nlong  10 GiB\nx     1\nsize  2\n");
    }
}
