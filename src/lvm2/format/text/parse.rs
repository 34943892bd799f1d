//! The parser: strict, without recursion, linear in the text.

use thiserror::Error;

use super::document::{Body, Node, NodeId, Span, Taken, Wanted};
use super::value::{Value, unescape};

/// What stands between the sections of a run that is not taken apart, as LVM writes them.
pub(crate) const BETWEEN_CLOSED: &[u8] = b"\n\n";
/// How deep sections may nest. LVM's own texts need six levels.
const MAX_DEPTH: usize = 32;
/// Longest text taken. A metadata area of LVM is at most a few MiB in practice; spans are 32 bit.
pub(super) const MAX_TEXT: usize = 256 << 20;

/// Why a text is not in LVM's text format.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column} (byte {offset}): expected {expected}, found {found}")]
pub struct TextError {
    /// Line, from 1.
    pub line: usize,
    /// Byte in the line, from 1.
    pub column: usize,
    /// Byte in the text, from 0.
    pub offset: usize,
    /// What the grammar wants there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl TextError {
    pub(super) fn new(bytes: &[u8], offset: usize, expected: impl Into<String>) -> Self {
        let before = &bytes[..offset.min(bytes.len())];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let found = match bytes.get(offset) {
            None => "the end".to_owned(),
            Some(byte) if byte.is_ascii_graphic() => format!("'{}'", char::from(*byte)),
            Some(byte) => format!("byte 0x{byte:02x}"),
        };
        Self {
            line: line_of(bytes, offset),
            column: offset - line_start + 1,
            offset,
            expected: expected.into(),
            found,
        }
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(bytes: &[u8], offset: usize) -> usize {
    bytes[..offset.min(bytes.len())].iter().filter(|b| **b == b'\n').count() + 1
}

/// Whether C's `isspace` holds.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether a byte ends an unquoted word.
fn ends_word(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'#' | b'=' | b'{' | b'}')
}

/// Where the whitespace and comments that start at `pos` end.
pub(super) fn skip_trivia(bytes: &[u8], mut pos: usize) -> usize {
    while let Some(byte) = bytes.get(pos) {
        if *byte == b'#' {
            pos = end_of_line(bytes, pos);
        } else if is_space(*byte) {
            pos += 1;
        } else {
            break;
        }
    }
    pos
}

fn end_of_line(bytes: &[u8], pos: usize) -> usize {
    memchr::memchr(b'\n', &bytes[pos..]).map_or(bytes.len(), |at| pos + at)
}

/// Where the rest of the line ends if it holds only blanks and a comment; `pos` if something else follows.
fn rest_of_line(bytes: &[u8], pos: usize) -> usize {
    let blank =
        bytes[pos..].iter().position(|b| *b == b'\n' || !is_space(*b)).map_or(bytes.len(), |at| pos + at);
    match bytes.get(blank) {
        None | Some(b'\n') => blank,
        Some(b'#') => end_of_line(bytes, blank),
        Some(_) => pos,
    }
}

/// Reads one number or string; returns it with the position behind it.
pub(super) fn scalar(bytes: &[u8], pos: usize) -> Result<(Value<'_>, usize), TextError> {
    let fail = |at: usize, expected: &str| Err(TextError::new(bytes, at, expected));
    match bytes.get(pos) {
        Some(b'"') => {
            let end = quoted_end(bytes, pos)?;
            Ok((Value::String(unescape(&bytes[pos + 1..end - 1])), end))
        }
        Some(b'\'') => {
            let end = quoted_end(bytes, pos)?;
            Ok((Value::String(String::from_utf8_lossy(&bytes[pos + 1..end - 1])), end))
        }
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(bytes, pos),
        None | Some(b'{' | b'}' | b'[' | b']' | b',' | b'=') => fail(pos, "a value"),
        Some(_) => {
            let end = word_end(bytes, pos);
            Ok((Value::String(String::from_utf8_lossy(&bytes[pos..end])), end))
        }
    }
}

fn word_end(bytes: &[u8], pos: usize) -> usize {
    bytes[pos..].iter().position(|b| ends_word(*b)).map_or(bytes.len(), |at| pos + at)
}

/// Where a quoted string that starts at `pos` ends, its final quote included.
fn quoted_end(bytes: &[u8], pos: usize) -> Result<usize, TextError> {
    let quote = bytes[pos];
    let mut at = pos + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quote == b'"' => at += 2,
            byte if *byte == quote => return Ok(at + 1),
            _ => at += 1,
        }
    }
    let line = line_of(bytes, pos);
    Err(TextError::new(bytes, bytes.len(), format!("the end of the string that starts on line {line}")))
}

fn number(bytes: &[u8], pos: usize) -> Result<(Value<'_>, usize), TextError> {
    let fail = |expected: &str| Err(TextError::new(bytes, pos, expected));
    let mut point = bytes[pos] == b'.';
    let mut end = pos + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if !point => point = true,
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'"' | b'\'') => {
                return Err(TextError::new(bytes, end, "the end of a number"));
            }
            _ => break,
        }
        end += 1;
    }
    let text = std::str::from_utf8(&bytes[pos..end]).expect("signs, digits and points are ASCII");
    let value = if point {
        text.parse().ok().map(Value::Float)
    } else {
        let digits = text.trim_start_matches(['+', '-']);
        let radix = if digits.len() > 1 && digits.starts_with('0') { 8 } else { 10 };
        i64::from_str_radix(text, radix).ok().map(Value::Integer)
    };
    value.map_or_else(|| fail("a number that fits 64 bits"), |value| Ok((value, end)))
}

/// Checks one number or string and returns where it ends.
fn scalar_end(bytes: &[u8], pos: usize) -> Result<usize, TextError> {
    match bytes.get(pos) {
        Some(b'"' | b'\'') => quoted_end(bytes, pos),
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(bytes, pos).map(|(_, end)| end),
        None | Some(b'{' | b'}' | b'[' | b']' | b',' | b'=') => Err(TextError::new(bytes, pos, "a value")),
        Some(_) => Ok(word_end(bytes, pos)),
    }
}

/// Checks the value at `pos` and returns where it ends.
pub(super) fn value_end(bytes: &[u8], pos: usize) -> Result<usize, TextError> {
    walk(bytes, pos, |at| scalar_end(bytes, at))
}

/// Decodes the value at `pos`, which was checked before.
pub(super) fn decode(bytes: &[u8], pos: usize) -> Value<'_> {
    let checked = "the parser checked this value";
    if bytes[pos] != b'[' {
        return scalar(bytes, pos).expect(checked).0;
    }
    let mut items = Vec::new();
    let take = |at| {
        let (item, end) = scalar(bytes, at)?;
        items.push(item);
        Ok(end)
    };
    walk(bytes, pos, take).expect(checked);
    Value::Array(items)
}

/// Walks over a scalar or over the items of an array; `scalar` takes one and tells where it ends. Commas may be missing
/// or trail, as lvm2 allows.
fn walk(
    bytes: &[u8],
    pos: usize,
    mut scalar: impl FnMut(usize) -> Result<usize, TextError>,
) -> Result<usize, TextError> {
    if bytes.get(pos) != Some(&b'[') {
        return scalar(pos);
    }
    let mut at = skip_trivia(bytes, pos + 1);
    while bytes.get(at) != Some(&b']') {
        if at == bytes.len() {
            let line = line_of(bytes, pos);
            return Err(TextError::new(bytes, at, format!("']' for the list that starts on line {line}")));
        }
        at = skip_trivia(bytes, scalar(at)?);
        if bytes.get(at) == Some(&b',') {
            at = skip_trivia(bytes, at + 1);
        }
    }
    Ok(at + 1)
}

/// What [`nodes`] found: the nodes of the outermost level and the trivia behind the last one.
pub(super) struct Parsed {
    pub children: Vec<NodeId>,
    pub tail: Span,
}

/// Parses the nodes in `bytes[start..]` as children of `parent` and adds them to `nodes`.
pub(super) fn nodes(
    bytes: &[u8],
    start: usize,
    parent: NodeId,
    nodes: &mut Vec<Node>,
) -> Result<Parsed, TextError> {
    nodes_of(bytes, start, parent, nodes, Wanted::default())
}

/// The same, as far as they are wanted.
pub(super) fn nodes_of(
    bytes: &[u8],
    start: usize,
    parent: NodeId,
    nodes: &mut Vec<Node>,
    wanted: Wanted<'_>,
) -> Result<Parsed, TextError> {
    let open = vec![(parent, Vec::new())];
    let mut walk = Walk { bytes, nodes, wanted, open, closing_at: None };
    let mut pos = start;
    loop {
        let lead = pos;
        pos = skip_trivia(bytes, pos);
        let depth = walk.open.len();
        match bytes.get(pos) {
            None if depth == 1 => {
                return Ok(Parsed { children: walk.outermost(), tail: Span::new(lead, pos) });
            }
            None => {
                let parent = walk.open[depth - 1].0;
                let line = line_of(bytes, walk.nodes[parent.index()].key.start());
                return Err(TextError::new(bytes, pos, format!("'}}' for the section of line {line}")));
            }
            Some(b'}') if depth == 1 => return Err(TextError::new(bytes, pos, "a section or a key")),
            Some(b'}') => pos = walk.close(lead, pos),
            Some(_) => match walk.node(lead, pos)? {
                Some(end) => pos = end,
                None => return Ok(Parsed { children: walk.cut_short(), tail: Span::EMPTY }),
            },
        }
    }
}

/// What is known while a text is gone through.
struct Walk<'b, 'n, 'w> {
    bytes: &'b [u8],
    nodes: &'n mut Vec<Node>,
    wanted: Wanted<'w>,
    /// The sections that are open, with what is in them so far; the outermost level is the first.
    open: Vec<(NodeId, Vec<NodeId>)>,
    /// How many sections are open where what comes next may be known.
    closing_at: Option<usize>,
}

impl Walk<'_, '_, '_> {
    /// Ends the innermost section at its brace; returns where its line ends.
    fn close(&mut self, lead: usize, brace: usize) -> usize {
        let trail = rest_of_line(self.bytes, brace + 1);
        let Some((id, children)) = self.open.pop() else { return trail };
        if self.closing_at.is_some_and(|at| self.open.len() < at) {
            self.closing_at = None;
        }
        let node = &mut self.nodes[id.index()];
        node.body = Body::Section { children, close: Span::new(lead, brace + 1) };
        node.trail = Span::new(brace + 1, trail);
        trail
    }

    /// Takes the node that begins at `pos`; returns where it ends, or where what is in it begins. Nothing if no more is
    /// wanted.
    fn node(&mut self, lead: usize, pos: usize) -> Result<Option<usize>, TextError> {
        let depth = self.open.len();
        let parent = self.open[depth - 1].0;
        if let Some(taken) = self.known(pos) {
            let node = closed(self.bytes, lead, pos, parent, taken);
            let end = node.trail.end();
            if !self.join_run(&node) {
                self.keep(node);
            }
            return Ok(Some(end));
        }
        let (node, end) = node_head(self.bytes, lead, pos, parent)?;
        let is = |name: Option<&str>| name.is_some_and(|name| node.key.of(self.bytes) == name.as_bytes());
        if depth == 2 && is(self.wanted.until) {
            return Ok(None);
        }
        let is_section = matches!(node.body, Body::Section { .. });
        if is_section && depth > MAX_DEPTH {
            let expected = format!("at most {MAX_DEPTH} levels of sections");
            return Err(TextError::new(self.bytes, node.key.start(), expected));
        }
        let within = self.wanted.closing.as_ref().map(|closing| closing.within);
        let begins_closing = is_section && self.closing_at.is_none() && depth == 2 && is(within);
        let id = self.keep(node);
        if begins_closing {
            self.closing_at = Some(depth + 1);
        }
        if is_section {
            self.open.push((id, Vec::new()));
        }
        Ok(Some(end))
    }

    /// The sections from `pos` on that somebody knows.
    fn known(&mut self, pos: usize) -> Option<Taken> {
        let closing = self.wanted.closing.as_mut().filter(|_| self.closing_at == Some(self.open.len()))?;
        (closing.take)(self.bytes, pos)
    }

    /// Makes the run that comes before longer by a node, if there is one and nothing but an empty line stands between.
    fn join_run(&mut self, next: &Node) -> bool {
        let bytes = self.bytes;
        let last = self.open.last().and_then(|(_, children)| children.last().copied());
        let Some(last) = last else { return false };
        let node = &mut self.nodes[last.index()];
        let Body::Closed { inside } = &mut node.body else { return false };
        let (Body::Closed { inside: more }, true) =
            (&next.body, node.trail.of(bytes).is_empty() && next.lead.of(bytes) == BETWEEN_CLOSED)
        else {
            return false;
        };
        *inside = Span::new(inside.start(), more.end());
        node.trail = next.trail;
        true
    }

    /// Adds a node to the innermost section.
    fn keep(&mut self, node: Node) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        self.nodes.push(node);
        if let Some((_, children)) = self.open.last_mut() {
            children.push(id);
        }
        id
    }

    /// What is on the outermost level.
    fn outermost(&mut self) -> Vec<NodeId> {
        self.open.pop().map_or_else(Vec::new, |(_, children)| children)
    }

    /// Ends all sections that are open; returns what is on the outermost level.
    fn cut_short(&mut self) -> Vec<NodeId> {
        while self.open.len() > 1 {
            let Some((id, children)) = self.open.pop() else { break };
            self.nodes[id.index()].body = Body::Section { children, close: Span::EMPTY };
        }
        self.outermost()
    }
}

/// The node of sections that are not taken apart.
fn closed(bytes: &[u8], lead: usize, pos: usize, parent: NodeId, taken: Taken) -> Node {
    let Taken { key_end, end } = taken;
    Node {
        parent,
        lead: Span::new(lead, pos),
        key: Span::new(pos, key_end),
        op: Span::new(key_end, key_end),
        body: Body::Closed { inside: Span::new(key_end, end) },
        trail: Span::new(end, rest_of_line(bytes, end)),
    }
}

/// Reads `key = value` with the rest of its line, or `key {` with the rest of its line.
fn node_head(bytes: &[u8], lead: usize, pos: usize, parent: NodeId) -> Result<(Node, usize), TextError> {
    let key_end = match bytes[pos] {
        b'"' | b'\'' => quoted_end(bytes, pos)?,
        b'{' | b'[' | b']' | b',' | b'=' => return Err(TextError::new(bytes, pos, "a section or a key")),
        _ => word_end(bytes, pos),
    };
    if key_end - pos == 2 && matches!(bytes[pos], b'"' | b'\'') {
        return Err(TextError::new(bytes, pos, "a name that is not empty"));
    }
    let op = skip_trivia(bytes, key_end);
    let (body, op_end, end) = match bytes.get(op) {
        Some(b'=') => {
            let value = skip_trivia(bytes, op + 1);
            let value_end = value_end(bytes, value)?;
            (Body::Assignment { value: Span::new(value, value_end) }, value, value_end)
        }
        Some(b'{') => {
            let end = rest_of_line(bytes, op + 1);
            (Body::Section { children: Vec::new(), close: Span::EMPTY }, end, end)
        }
        _ => return Err(TextError::new(bytes, op, "'=' or '{'")),
    };
    let trail = if matches!(body, Body::Assignment { .. }) { rest_of_line(bytes, end) } else { end };
    let node = Node {
        parent,
        lead: Span::new(lead, pos),
        key: Span::new(pos, key_end),
        op: Span::new(key_end, op_end),
        body,
        trail: Span::new(end, trail),
    };
    Ok((node, trail))
}
