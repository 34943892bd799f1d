//! The two layouts lvm2 writes a text in, and its comments. Source: lvm2 `lib/format_text/export.c`.

use base::units::{SECTOR_BYTES, Sectors};

/// How a text is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// In a metadata area: the VG first, the header behind it, no indentation, no comments in the VG.
    Disk,
    /// In backup and archive files: the header first, tabs, comments for people.
    File,
}

/// Width of a tab, and the tab stop comments are lined up at if the line is short enough.
const TAB: usize = 8;
const COMMENT_TAB: usize = 6;
/// Deepest indentation; deeper sections stand at the same column.
const MAX_INDENT: usize = 5;

/// Writes lines in one of the layouts.
pub(crate) struct Lines {
    layout: Layout,
    indent: usize,
    out: String,
}

impl Lines {
    /// Starts at an indentation of so many tabs.
    pub(crate) fn new(layout: Layout, indent: usize) -> Self {
        Self { layout, indent, out: String::new() }
    }

    /// Starts at no indentation, with room for so many bytes.
    pub(crate) fn with_room(layout: Layout, bytes: usize) -> Self {
        Self { layout, indent: 0, out: String::with_capacity(bytes) }
    }

    /// Writes an empty line.
    pub(crate) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.start();
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Writes a line of several pieces with a comment, which the layout on disk leaves out.
    pub(crate) fn commented(&mut self, text: &[&str], comment: &str) {
        self.start();
        text.iter().for_each(|piece| self.out.push_str(piece));
        if self.layout == Layout::File && !comment.is_empty() {
            let length = text.iter().map(|piece| piece.len()).sum();
            self.out.push_str(comment_gap(length, self.indent));
            self.out.push_str(comment);
        }
        self.out.push('\n');
    }

    /// Writes `name {` and indents what follows.
    pub(crate) fn open(&mut self, name: &str) {
        self.commented(&[name, " {"], "");
        self.indent += 1;
    }

    /// Indents what follows by one level more.
    pub(crate) fn indent(&mut self) {
        self.indent += 1;
    }

    /// Indents what follows by one level less.
    pub(crate) fn outdent(&mut self) {
        self.indent = self.indent.saturating_sub(1);
    }

    /// Writes the closing brace of the innermost section.
    pub(crate) fn close(&mut self) {
        self.outdent();
        self.line("}");
    }

    /// The text, without its last line end.
    pub(crate) fn finish(mut self) -> String {
        if self.out.ends_with('\n') {
            self.out.pop();
        }
        self.out
    }

    /// The text with its last line end.
    pub(crate) fn finish_line(mut self) -> String {
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.out
    }

    /// How many bytes there are so far.
    pub(crate) fn length(&self) -> usize {
        self.out.len()
    }

    /// Writes what is laid out already, and ends with a line.
    pub(crate) fn push_text(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn start(&mut self) {
        if self.layout == Layout::File {
            self.out.push_str(&"\t\t\t\t\t"[..self.indent.min(MAX_INDENT)]);
        }
    }
}

/// The tabs between a line's text, of so many bytes, and its comment.
pub(crate) fn comment_gap(length: usize, indent: usize) -> &'static str {
    const TABS: &str = "\t\t\t\t\t\t";
    let stop = (length + TAB * indent.min(MAX_INDENT)) / TAB + 1;
    &TABS[..COMMENT_TAB.saturating_sub(stop).max(1)]
}

/// The comment behind a size: `# 4 Megabytes`.
pub(crate) fn size_comment(size: Sectors) -> String {
    const UNITS: [&str; 6] = ["Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Petabytes", "Exabytes"];
    // Exact: numerator over a power of two, as the C code's floating point division by 2 and 1024.
    let mut divisor = u128::from(1024 / SECTOR_BYTES);
    let sectors = u128::from(size.get());
    let mut unit = 0;
    while sectors > 1024 * divisor && unit + 1 < UNITS.len() {
        divisor *= 1024;
        unit += 1;
    }
    format!("# {} {}", six_digits(sectors, divisor), UNITS[unit])
}

/// A quotient as C's `%g` prints it where no exponent is needed: six significant digits, no trailing zeros.
fn six_digits(numerator: u128, divisor: u128) -> String {
    let whole_digits = (numerator / divisor).to_string().len();
    let whole_digits = if numerator < divisor { 0 } else { whole_digits };
    let decimals = 6_usize.saturating_sub(whole_digits);
    let scale = (0..decimals).fold(1_u128, |scale, _| scale * 10);
    let (quotient, rest) = (numerator * scale / divisor, numerator * scale % divisor);
    // Halves go to the even digit, as the C library rounds.
    let up = rest * 2 > divisor || (rest * 2 == divisor && !quotient.is_multiple_of(2));
    let rounded = quotient + u128::from(up);
    let (whole, fraction) = (rounded / scale, rounded % scale);
    if decimals == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:0decimals$}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

/// Comments behind many times: those of one day share the work.
#[derive(Default)]
pub(crate) struct TimeComments {
    day: Option<u64>,
    text: String,
}

impl TimeComments {
    /// What [`time_comment`] says.
    pub(crate) fn comment(&mut self, seconds: u64) -> &str {
        let (day, of_day) = (seconds / 86_400, seconds % 86_400);
        if self.day.replace(day) != Some(day) {
            self.text = time_comment(seconds);
            return &self.text;
        }
        self.text.truncate(self.text.len() - "00:00:00 +0000".len());
        for (number, behind) in [(of_day / 3600, ":"), (of_day / 60 % 60, ":"), (of_day % 60, " +0000")] {
            for digit in [number / 10, number % 10] {
                self.text.push(char::from_digit(u32::try_from(digit).unwrap_or(0), 10).unwrap_or('0'));
            }
            self.text.push_str(behind);
        }
        &self.text
    }
}

/// The comment behind a time: `# 2026-11-23 06:00:35 +0000`, in UTC.
pub(crate) fn time_comment(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("# {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000")
}

/// The date of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Eras of 400 years that start on 1 March of year 0, so that leap days come last in their year.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{TimeComments, size_comment, time_comment};
    use base::units::Sectors;

    #[test]
    fn sizes_read_as_lvm2_prints_them() {
        let cases = [
            (0, "# 0 Kilobytes"),
            (1, "# 0.5 Kilobytes"),
            (128, "# 64 Kilobytes"),
            (2048, "# 1024 Kilobytes"),
            (2049, "# 1.00049 Megabytes"),
            (8192, "# 4 Megabytes"),
            (409_600, "# 200 Megabytes"),
            (409_601, "# 200 Megabytes"),
            (3 << 20, "# 1.5 Gigabytes"),
            (976_773_168, "# 465.762 Gigabytes"),
            (u64::MAX, "# 8 Exabytes".replace('8', "8192").leak()),
        ];
        for (sectors, comment) in cases {
            assert_eq!(size_comment(Sectors::new(sectors)), comment, "{sectors}");
        }
    }

    #[test]
    fn times_are_dates_in_utc() {
        let cases = [
            (0, "# 1970-01-01 00:00:00 +0000"),
            (951_782_399, "# 2000-02-28 23:59:59 +0000"),
            (951_782_400, "# 2000-02-29 00:00:00 +0000"),
            (1_795_413_635, "# 2026-11-23 06:00:35 +0000"),
            (4_107_542_400, "# 2100-03-01 00:00:00 +0000"),
        ];
        for (seconds, comment) in cases {
            assert_eq!(time_comment(seconds), comment);
        }
        let mut many = TimeComments::default();
        for seconds in [0, 59, 86_399, 86_400, 951_782_399, 951_782_340, 1_795_413_635, 1_795_413_600] {
            assert_eq!(many.comment(seconds), time_comment(seconds));
        }
    }
}
