//! Splits `storage.cfg` into sections and properties, without their meaning.
//!
//! A section is a header `type: id`, then indented lines `key value`, up to an empty line. Facts from pve-common
//! `PVE/SectionConfig.pm` (`parse_config`), pve-storage `PVE/Storage/Plugin.pm` (`parse_section_header`), pve-common
//! `PVE/ParseUtils.pm` (`split_list`). What Perl takes for false ends a section, too: a line that is just `0`.

use std::ops::Range;

/// What some editors put before the first character of a file.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// A line `key value` of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its line, from 0.
    pub line: usize,
    /// The first word.
    pub key: String,
    /// The rest without blanks around it; `None` if there is nothing.
    pub value: Option<String>,
}

/// A header and what follows it up to an empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSection {
    /// The type, in lower case.
    pub kind: String,
    /// The id.
    pub id: String,
    /// Its lines, from 0: the header first, the empty line behind it left out.
    pub lines: Range<usize>,
    /// Its properties, in order.
    pub properties: Vec<Property>,
    /// Lines in it that are neither property nor comment.
    pub ignored: Vec<usize>,
}

/// A whole file in lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    text: Vec<u8>,
    /// Where each line starts, and where the last one ends.
    bounds: Vec<usize>,
}

impl Lines {
    /// Cuts a text behind each line feed.
    pub fn of(text: &[u8]) -> Self {
        let mut bounds = vec![0];
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            bounds.push(bounds.last().map_or(0, |end| end + line.len()));
        }
        Self { text: text.to_vec(), bounds }
    }

    /// The whole text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The text of these lines, line feeds among it.
    pub fn slice(&self, lines: Range<usize>) -> &[u8] {
        &self.text[self.bounds[lines.start]..self.bounds[lines.end]]
    }

    /// A line without its line feed.
    pub fn line(&self, number: usize) -> &[u8] {
        let line = self.slice(number..number + 1);
        line.strip_suffix(b"\n").unwrap_or(line)
    }
}

/// What `\s` of a Perl regular expression takes in a text of bytes.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the parser skips a line wherever it stands.
pub fn is_comment(line: &[u8]) -> bool {
    trimmed(line).starts_with(b"#")
}

/// Why a line that looks empty does not end a section; `None` if it does not look empty.
pub fn not_empty(line: &[u8]) -> Option<&'static str> {
    match line {
        b"" => None,
        b"\r" => Some("the file has line ends of CR LF: this line is not empty and does not end the section"),
        blanks if trimmed(blanks).is_empty() => Some("a line of blanks does not end the section"),
        _ => None,
    }
}

/// Whether a line ends a section.
fn ends_section(line: &[u8]) -> bool {
    line.is_empty() || line == b"0"
}

/// Type and id, if a line is a header: `^(\S+):\s*(\S+)\s*$`.
pub fn header(line: &[u8]) -> Option<(String, String)> {
    let word_end = line.iter().position(|byte| is_blank(*byte)).unwrap_or(line.len());
    // The type takes all it can get: of several colons the last one that leaves an id counts.
    (1..word_end).rev().filter(|at| line[*at] == b':').find_map(|at| {
        let id = trimmed(&line[at + 1..]);
        let is_word = !id.is_empty() && !id.iter().any(|byte| is_blank(*byte));
        is_word.then(|| (shown(&line[..at]).to_ascii_lowercase(), shown(id)))
    })
}

/// Key and value, if a line is a property: `^\s+(\S+)(\s+(.*\S))?\s*$`.
pub fn property(line: &[u8]) -> Option<(String, Option<String>)> {
    let text = trimmed(line);
    if text.is_empty() || !is_blank(line[0]) {
        return None;
    }
    let key_end = text.iter().position(|byte| is_blank(*byte)).unwrap_or(text.len());
    let value = trimmed(&text[key_end..]);
    Some((shown(&text[..key_end]), (!value.is_empty()).then(|| shown(value))))
}

/// The sections of a file, and the lines outside that the parser ignores with a warning.
pub fn sections(lines: &Lines) -> (Vec<RawSection>, Vec<usize>) {
    let mut sections: Vec<RawSection> = Vec::new();
    let mut ignored = Vec::new();
    let mut open = false;
    for number in 0..lines.count() {
        let line = lines.line(number);
        let section = if open { sections.last_mut() } else { None };
        match section {
            Some(_) if ends_section(line) => open = false,
            Some(section) => {
                section.lines.end = number + 1;
                match property(line) {
                    _ if is_comment(line) => {}
                    Some((key, value)) => section.properties.push(Property { line: number, key, value }),
                    None => section.ignored.push(number),
                }
            }
            None if is_comment(line) || ends_section(line) => {}
            None => match header(line) {
                Some((kind, id)) => {
                    open = true;
                    let lines = number..number + 1;
                    sections.push(RawSection { kind, id, lines, properties: vec![], ignored: vec![] });
                }
                None => ignored.push(number),
            },
        }
    }
    (sections, ignored)
}

/// The items of a list: words between commas, semicolons and blanks.
pub fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let by_null = text.contains('\0');
    let separates = move |c: char| match c {
        '\0' => true,
        _ if by_null => false,
        ',' | ';' => true,
        c => u8::try_from(c).is_ok_and(is_blank),
    };
    text.split(separates).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_what_the_regular_expression_takes() {
        let is = |line: &str| header(line.as_bytes()).map(|(kind, id)| format!("{kind}|{id}"));
        for (line, expected) in [
            ("lvmthin: local-lvm", Some("lvmthin|local-lvm")),
            ("LvmThin:local-lvm\t\r", Some("lvmthin|local-lvm")),
            ("a:b:c", Some("a:b|c")),
            ("a:b: c", Some("a:b|c")),
            ("a:b:", Some("a|b:")),
            ("a::b", Some("a:|b")),
            (":b", None),
            ("a:", None),
            ("a: b c", None),
            ("a:b c", None),
            (" a: b", None),
            ("a :b", None),
            ("a", None),
        ] {
            assert_eq!(is(line).as_deref(), expected, "{line:?}");
        }
    }

    #[test]
    fn properties_are_indented() {
        let is =
            |line: &str| property(line.as_bytes()).map(|(k, v)| format!("{k}|{}", v.unwrap_or_default()));
        assert_eq!(is("\tvgname pve").as_deref(), Some("vgname|pve"));
        assert_eq!(is(" content \t images, rootdir \r").as_deref(), Some("content|images, rootdir"));
        assert_eq!(is("\tdisable").as_deref(), Some("disable|"));
        assert_eq!(is("vgname pve"), None);
        assert_eq!(is(" \t "), None);
    }

    #[test]
    fn an_empty_line_ends_a_section_and_nothing_else_does() {
        let lines = Lines::of(b"junk\n# c\na: x\n\tk v\n \n#c\nb: y\n\tk w\n\nc: z\n0\n\tk v\nd: w");
        let (sections, ignored) = sections(&lines);
        let shown: Vec<_> =
            sections.iter().map(|s| (s.id.as_str(), s.lines.clone(), s.ignored.clone())).collect();
        assert_eq!(shown, [("x", 2..8, vec![4, 6]), ("z", 9..10, vec![]), ("w", 12..13, vec![])]);
        assert_eq!(sections[0].properties.len(), 2);
        assert_eq!(ignored, [0, 11]);
    }

    #[test]
    fn lists_are_cut_at_commas_semicolons_and_blanks() {
        assert_eq!(split_list(" a,b;;c\td ").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        assert_eq!(split_list("a b\0c,d").collect::<Vec<_>>(), ["a b", "c,d"]);
    }
}
