//! Tables of answers: each column is defined once, and text, JSON and help follow from it.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io::{self, Write};

use clap::Args;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::errors::CliError;
use super::output::{columns, moment};
use base::units::Bytes;
use base::units::size::{Rounded, Unit};

/// A column of rows of that type.
#[derive(Debug)]
pub struct Column<R> {
    /// What `-o` and `--sort` call it; the key in JSON.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// The form of its values in JSON, as help writes forms.
    pub form: &'static str,
    /// What it says.
    pub about: &'static str,
    /// What it says of a row.
    pub cell: fn(&R) -> Cell,
}

/// What a column says of a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing is known, or there is nothing.
    Nothing,
    /// Words.
    Text(String),
    /// A number without unit.
    Number(u64),
    /// A number of bytes.
    Size(u64),
    /// Seconds since 1970.
    Moment(u64),
    /// A number with two decimals, as it is written.
    Decimal(String),
    /// Yes or no.
    Flag(bool),
    /// What has a form of its own in JSON, and how it is put in words.
    Composite(Value, String),
}

impl Cell {
    /// A number of bytes that may not be known.
    pub fn size(bytes: Option<u64>) -> Self {
        bytes.map_or(Self::Nothing, Self::Size)
    }

    /// A number that may not be known.
    pub fn number(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }

    /// A text that may be missing.
    pub fn text(text: Option<impl ToString>) -> Self {
        text.map_or(Self::Nothing, |text| Self::Text(text.to_string()))
    }

    /// A list of words.
    pub fn words(words: &[String]) -> Self {
        Self::Composite(Value::from(words), words.join(","))
    }

    fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) | Self::Decimal(text) => Value::from(text.as_str()),
            Self::Number(number) | Self::Size(number) | Self::Moment(number) => Value::from(*number),
            Self::Flag(flag) => Value::from(*flag),
            Self::Composite(json, _) => json.clone(),
        }
    }

    /// In words; what is not there is a dash, so that a script finds the next column in its place.
    fn words_in(&self, units: Units) -> String {
        match self {
            Self::Nothing => "-".to_owned(),
            Self::Composite(_, text) | Self::Text(text) if text.is_empty() => "-".to_owned(),
            Self::Composite(_, text) | Self::Text(text) => text.clone(),
            Self::Decimal(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Size(bytes) => units.show(*bytes),
            Self::Moment(seconds) => moment(*seconds),
            Self::Flag(true) => "yes".to_owned(),
            Self::Flag(false) => "no".to_owned(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Size(_) | Self::Decimal(_))
    }

    /// Nothing comes first; words whatever their case.
    fn order(&self, other: &Self) -> Ordering {
        let key = |cell: &Self| match cell {
            Self::Nothing => (0, 0, String::new()),
            Self::Flag(flag) => (1, u64::from(*flag), String::new()),
            Self::Number(number) | Self::Size(number) | Self::Moment(number) => (1, *number, String::new()),
            // Two decimals each: without the point, it is a whole number of hundredths.
            Self::Decimal(text) => (1, text.replace('.', "").parse().unwrap_or(0), String::new()),
            Self::Text(text) | Self::Composite(_, text) => (2, 0, text.to_ascii_lowercase()),
        };
        key(self).cmp(&key(other))
    }
}

/// How sizes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// In the largest unit that leaves at least one, rounded.
    Human,
    /// In this one.
    Fixed(Unit),
}

impl Units {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::Fixed(match text {
            "h" => return Ok(Self::Human),
            "b" => Unit::Byte,
            "s" => Unit::Sector,
            "k" => Unit::Kibi,
            "m" => Unit::Mebi,
            "g" => Unit::Gibi,
            "t" => Unit::Tebi,
            "p" => Unit::Pebi,
            "e" => Unit::Exbi,
            _ => return Err("it is one of h, b, s, k, m, g, t, p, e (powers of 1024)".to_owned()),
        }))
    }

    fn show(self, bytes: u64) -> String {
        match self {
            Self::Human => Rounded(Bytes::new(bytes)).to_string(),
            Self::Fixed(unit) => unit.number_of(Bytes::new(bytes)),
        }
    }

    fn heading(self, title: &str) -> String {
        match self {
            Self::Human => title.to_owned(),
            Self::Fixed(unit) => format!("{title} ({})", unit.symbol()),
        }
    }
}

/// Which columns, in which order, in which units.
#[derive(Clone, Debug, Default, Args)]
pub struct TableOptions {
    /// Show these columns, with commas between; after a '+', those besides the usual ones; 'all'. In JSON, only these
    /// keys
    #[arg(short = 'o', long = "columns", value_name = "COLUMNS")]
    pub columns: Option<String>,

    /// Leave out the line of headings
    #[arg(long)]
    pub noheadings: bool,

    /// Sort by these columns; after a '-', the largest first
    #[arg(long, value_name = "COLUMNS", allow_hyphen_values = true)]
    pub sort: Option<String>,

    /// Show sizes in this unit: b(ytes), s(ectors), k, m, g, t, p, e (powers of 1024), or h, whichever is easy to read
    #[arg(long, value_name = "UNIT", value_parser = Units::parse)]
    pub units: Option<Units>,
}

/// Columns to sort by; of each, whether the largest comes first.
type Keys<R> = Vec<(&'static Column<R>, bool)>;

/// Rows of some columns, ready to be shown.
#[derive(Debug)]
pub struct Table<R: 'static> {
    /// The rows, in order.
    pub rows: Vec<R>,
    /// What JSON and the general form of the text show.
    shown: Vec<&'static Column<R>>,
    /// What the text shows unless told otherwise.
    usual: Vec<&'static Column<R>>,
    options: TableOptions,
    units: Unit,
}

impl TableOptions {
    /// A table of these rows in the order that is asked for. `usual` names the columns that the text has if nobody
    /// asks for others, `units` is how it shows sizes then.
    ///
    /// # Errors
    /// If a requested column does not exist.
    pub fn table<R>(
        &self,
        of: &'static [Column<R>],
        usual: &[&str],
        units: Unit,
        mut rows: Vec<R>,
    ) -> Result<Table<R>, CliError> {
        let named = |name: &&str| of.iter().find(|column| column.name == *name);
        let usual: Vec<_> = usual.iter().filter_map(named).collect();
        let shown = match self.columns.as_deref() {
            None => of.iter().collect(),
            Some(list) => chosen(of, &usual, list)?,
        };
        let keys = self.sort.as_deref().map(|list| sort_keys(of, list)).transpose()?.unwrap_or_default();
        rows.sort_by(|a, b| {
            let by = |(column, largest_first): &(&Column<R>, bool)| {
                let order = (column.cell)(a).order(&(column.cell)(b));
                if *largest_first { order.reverse() } else { order }
            };
            keys.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        Ok(Table { rows, shown, usual, options: self.clone(), units })
    }
}

fn chosen<R>(
    of: &'static [Column<R>],
    usual: &[&'static Column<R>],
    list: &str,
) -> Result<Vec<&'static Column<R>>, CliError> {
    let (mut chosen, list) = match list.strip_prefix('+') {
        Some(more) => (usual.to_vec(), more),
        None => (vec![], list),
    };
    for name in list.split(',') {
        match name {
            "all" => chosen.extend(of),
            name => chosen.push(column(of, name)?),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    chosen.retain(|column| seen.insert(column.name));
    Ok(chosen)
}

fn sort_keys<R>(of: &'static [Column<R>], list: &str) -> Result<Keys<R>, CliError> {
    let key = |name: &str| match name.strip_prefix('-') {
        Some(name) => Ok((column(of, name)?, true)),
        None => Ok((column(of, name)?, false)),
    };
    list.split(',').map(key).collect()
}

fn column<R>(of: &'static [Column<R>], name: &str) -> Result<&'static Column<R>, CliError> {
    of.iter().find(|column| column.name == name).ok_or_else(|| {
        let names: Vec<&str> = of.iter().map(|column| column.name).collect();
        CliError::usage(format!("there is no column '{name}'"))
            .hint(format!("the columns are {}", names.join(", ")))
    })
}

impl<R> Table<R> {
    /// Whether the text has the columns and units that it has if nobody asks for others.
    pub fn is_usual(&self) -> bool {
        self.options.columns.is_none() && self.options.units.is_none()
    }

    /// Whether somebody asked for an order.
    pub fn is_sorted(&self) -> bool {
        self.options.sort.is_some()
    }

    /// Whether the line of headings is shown.
    pub fn has_headings(&self) -> bool {
        !self.options.noheadings
    }

    /// Writes the columns two blanks apart, numbers to the right.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let units = self.options.units.unwrap_or(Units::Fixed(self.units));
        let shown = if self.options.columns.is_some() { &self.shown } else { &self.usual };
        let cells: Vec<Vec<Cell>> =
            self.rows.iter().map(|row| shown.iter().map(|column| (column.cell)(row)).collect()).collect();
        let any = |at: usize, is: fn(&Cell) -> bool| cells.iter().any(|row| row.get(at).is_some_and(is));
        let right: Vec<bool> = (0..shown.len()).map(|at| any(at, Cell::is_number)).collect();
        let mut lines: Vec<Vec<String>> = Vec::with_capacity(cells.len() + 1);
        if self.has_headings() {
            let heading =
                |(at, column): (usize, &&Column<R>)| match any(at, |cell| matches!(cell, Cell::Size(_))) {
                    true => units.heading(column.title),
                    false => column.title.to_owned(),
                };
            lines.push(shown.iter().enumerate().map(heading).collect());
        }
        lines.extend(cells.iter().map(|row| row.iter().map(|cell| cell.words_in(units)).collect()));
        columns(out, &lines, &right)
    }
}

impl<R> Serialize for Table<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|row| JsonRow { row, columns: &self.shown }))
    }
}

/// A row as an object.
struct JsonRow<'a, R: 'static> {
    row: &'a R,
    columns: &'a [&'static Column<R>],
}

impl<R> Serialize for JsonRow<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.columns.len()))?;
        for column in self.columns {
            map.serialize_entry(column.name, &(column.cell)(self.row).json())?;
        }
        map.end()
    }
}

/// Characters in a line of help.
const HELP_WIDTH: usize = 98;

/// The form of a row in JSON, on lines that follow the start of one.
pub fn form<R>(of: &[Column<R>]) -> String {
    let mut text = "{(with -o, only the keys of these columns)".to_owned();
    let mut width = HELP_WIDTH;
    for (at, column) in of.iter().enumerate() {
        let comma = if at + 1 < of.len() { "," } else { "}" };
        let item = match column.form {
            "text" => format!("\"{}\"?{comma}", column.name),
            form => format!("\"{}\"?: {form}{comma}", column.name),
        };
        if width + 1 + item.len() > HELP_WIDTH {
            text.push_str("\n     ");
            width = 5;
        } else {
            text.push(' ');
            width += 1;
        }
        text.push_str(&item);
        width += item.len();
    }
    text
}

/// The paragraph of help that says what there is for `-o` and `--sort`.
pub fn about<R>(of: &[Column<R>], usual: &[&str]) -> String {
    let mut text = "Columns (a star marks those that are shown unless others are asked for):".to_owned();
    let width = of.iter().map(|column| column.name.len()).max().unwrap_or(0);
    for column in of {
        let star = if usual.contains(&column.name) { '*' } else { ' ' };
        // Writing to a text does not fail.
        let _ = write!(text, "\n {star}{:<width$}  {}", column.name, column.about);
    }
    text
}

#[cfg(test)]
mod tests;
