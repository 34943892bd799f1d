//! The tree: nodes are spans into one buffer.

use std::borrow::Cow;

use super::layout::Layout;
use super::parse::{self, TextError};
use super::section::Section;
use super::value::{Value, unescape};
use base::bytes::shared::SharedBytes;

/// A part of the text as parsed and of what was added to it since, one behind the other. 32 bits are enough: longer
/// texts are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) const EMPTY: Self = Self { start: 0, end: 0 };

    pub(super) fn new(start: usize, end: usize) -> Self {
        let fit = |at: usize| u32::try_from(at).expect("the parser refuses texts of more than 256 MiB");
        Self { start: fit(start), end: fit(end) }
    }

    /// The bytes it stands for.
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start()..self.end()]
    }

    /// The same part of a text that stands behind so many bytes.
    pub(super) fn behind(self, bytes: usize) -> Self {
        Self::new(self.start() + bytes, self.end() + bytes)
    }

    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    pub(super) fn end(self) -> usize {
        self.end as usize
    }
}

/// Names a node of one [`Document`]. It stays valid while that document changes, until the node is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The document itself, seen as a section.
    pub const ROOT: Self = Self(0);

    pub(super) fn new(index: usize) -> Self {
        Self(u32::try_from(index).expect("a text of at most 256 MiB has fewer nodes"))
    }

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A node's text is lead, key, op, then value or children and close, then trail.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub parent: NodeId,
    /// Whitespace and comments on the lines before it.
    pub lead: Span,
    /// Its name as written, with quotes if any.
    pub key: Span,
    /// From the name to the value, or to the end of the line of the opening brace.
    pub op: Span,
    pub body: Body,
    /// Blanks and a comment behind it on its line.
    pub trail: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Assignment {
        value: Span,
    },
    Section {
        children: Vec<NodeId>,
        /// What stands before the closing brace, and the brace.
        close: Span,
    },
    /// Sections that are not parsed, because the caller knows their content: a run of them, each but the first an
    /// empty line behind the one before.
    Closed {
        /// What is in the first, with its closing brace, and the others.
        inside: Span,
    },
}

/// Sections that the caller recognises without parsing them, each but the first an empty line behind the one
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where the name of the first ends.
    pub key_end: usize,
    /// What follows the closing brace of the last.
    pub end: usize,
}

/// Recognises the section that begins at a byte of the text, possibly together with some that follow it.
pub type Recognize<'a> = dyn FnMut(&[u8], usize) -> Option<Taken> + 'a;

/// How much of a text is parsed: by default all of it.
#[derive(Default)]
pub(super) struct Wanted<'a> {
    /// Which sections are not taken apart.
    pub closing: Option<Closing<'a>>,
    /// The name of a section within an outermost one at which all ends.
    pub until: Option<&'a str>,
}

/// Which sections are not taken apart.
pub(super) struct Closing<'a> {
    /// The name of the sections they are in.
    pub within: &'a str,
    /// Knows some of them.
    pub take: &'a mut Recognize<'a>,
}

/// A text in LVM's format, as a tree that gives back every byte it does not change.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text as parsed, with the NUL bytes at its end.
    text: SharedBytes,
    /// Its length without them.
    length: usize,
    /// Every piece of text that changes added: what stands behind the text.
    pub(super) added: Vec<u8>,
    /// The root first.
    pub(super) nodes: Vec<Node>,
    /// Whether anything was changed since the text was parsed.
    pub(super) edited: bool,
}

impl Document {
    /// Parses a text. NUL bytes are taken at its end only, and remembered.
    ///
    /// # Errors
    /// If the text is not in LVM's format, nests too deep, holds NUL bytes inside, or is longer than 256 MiB.
    pub fn parse(text: &[u8]) -> Result<Self, TextError> {
        Self::parse_wanted(text.into(), Wanted::default())
    }

    /// The same, but sections within those of the name `within` that `take` knows are not taken apart: one node without
    /// children stands for a run of them. `take` is given the text, and where the section begins.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn parse_closing(
        text: SharedBytes,
        within: &str,
        take: &mut Recognize<'_>,
    ) -> Result<Self, TextError> {
        let closing = Some(Closing { within, take });
        Self::parse_wanted(text, Wanted { closing, ..Wanted::default() })
    }

    /// Parses what stands before the first section of the name `until` in an outermost one. What follows is not looked
    /// at: the document is for reading alone.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn start(text: SharedBytes, until: &str) -> Result<Self, TextError> {
        Self::parse_wanted(text, Wanted { until: Some(until), ..Wanted::default() })
    }

    fn parse_wanted(text: SharedBytes, wanted: Wanted<'_>) -> Result<Self, TextError> {
        let length = content_length(&text)?;
        // Room for the root and for about one node per 24 bytes, as in LVM's metadata, or for what is no volume.
        let is_partial = wanted.closing.is_some() || wanted.until.is_some();
        let mut nodes = root(if is_partial { 256 } else { 1 + length / 24 });
        let parsed = parse::nodes_of(&text[..length], 0, NodeId::ROOT, &mut nodes, wanted)?;
        nodes[0].body = Body::Section { children: parsed.children, close: parsed.tail };
        Ok(Self { text, length, added: Vec::new(), nodes, edited: false })
    }

    /// The text: the same bytes that were parsed, where nothing was changed.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_with(self.text.len() - self.length)
    }

    /// The text with that many NUL bytes at its end: one on disk, none in files.
    pub fn to_bytes_with(&self, nuls: usize) -> Vec<u8> {
        // Room for what is written in whole blocks.
        let room = (self.length + self.added.len() + nuls).next_multiple_of(SharedBytes::BLOCK);
        let mut out = Vec::with_capacity(room);
        if self.edited {
            self.write_node(NodeId::ROOT, &mut out);
        } else {
            out.extend_from_slice(&self.text[..self.length]);
        }
        out.resize(out.len() + nuls, 0);
        out
    }

    /// The length of the text with that many NUL bytes at its end.
    pub fn length_with(&self, nuls: usize) -> usize {
        let mut length = nuls;
        self.spans(NodeId::ROOT, &mut |span: Span| length += span.end() - span.start());
        length
    }

    /// The text as parsed, with the NUL bytes at its end.
    pub fn text(&self) -> &SharedBytes {
        &self.text
    }

    /// Whether anything was changed since the text was parsed.
    pub fn is_edited(&self) -> bool {
        self.edited
    }

    /// The text of one node, with what stands before it and behind it on its line.
    pub fn node_text(&self, id: NodeId) -> Cow<'_, [u8]> {
        if self.edited || id == NodeId::ROOT {
            let mut out = Vec::new();
            self.write_node(id, &mut out);
            return Cow::Owned(out);
        }
        let node = self.node(id);
        Cow::Borrowed(self.bytes(Span::new(node.lead.start(), node.trail.end())))
    }

    /// What was not changed lies in one piece and is copied as one.
    fn write_node(&self, id: NodeId, out: &mut Vec<u8>) {
        let mut pending = Span::EMPTY;
        self.spans(id, &mut |span: Span| {
            if span.start == pending.end && span.start() != self.text.len() {
                pending.end = span.end;
            } else if span.start != span.end {
                out.extend_from_slice(self.bytes(pending));
                pending = span;
            }
        });
        out.extend_from_slice(self.bytes(pending));
    }

    /// The pieces of a node's text in order. Sections nest at most 32 deep, so this recursion is bounded.
    fn spans(&self, id: NodeId, put: &mut impl FnMut(Span)) {
        let node = self.node(id);
        put(node.lead);
        put(node.key);
        put(node.op);
        match &node.body {
            Body::Assignment { value } => put(*value),
            Body::Section { children, close } => {
                children.iter().for_each(|child| self.spans(*child, put));
                put(*close);
            }
            Body::Closed { inside } => put(*inside),
        }
        put(node.trail);
    }

    /// The whole document, seen as a section.
    pub fn root(&self) -> Section<'_> {
        Section::new(self, NodeId::ROOT)
    }

    /// The section of that id, or the first of a run of them.
    ///
    /// # Panics
    /// If the id belongs to another document.
    pub fn section(&self, id: NodeId) -> Option<Section<'_>> {
        matches!(self.node(id).body, Body::Section { .. } | Body::Closed { .. })
            .then(|| Section::new(self, id))
    }

    /// The value at a path such as `devices/filter`, as lvm2 finds it in its configuration: sections of the
    /// same name count as one, keys may be paths themselves, the last assignment wins.
    pub fn lookup(&self, path: &str) -> Option<Value<'_>> {
        self.lookup_node(path).and_then(|id| self.value(id))
    }

    /// The assignment at a path, found as [`Document::lookup`] does.
    pub fn lookup_node(&self, path: &str) -> Option<NodeId> {
        self.find_last(NodeId::ROOT, path.trim_start_matches('/'))
    }

    fn find_last(&self, section: NodeId, path: &str) -> Option<NodeId> {
        self.children(section).iter().rev().find_map(|id| {
            let key = self.key(*id);
            let rest = path.strip_prefix(key.trim_start_matches('/'))?;
            match &self.node(*id).body {
                Body::Assignment { .. } => rest.is_empty().then_some(*id),
                Body::Section { .. } => self.find_last(*id, rest.strip_prefix('/')?.trim_start_matches('/')),
                Body::Closed { .. } => None,
            }
        })
    }

    /// The value of an assignment; `None` for a section.
    pub fn value(&self, id: NodeId) -> Option<Value<'_>> {
        match self.node(id).body {
            Body::Assignment { value } => Some(parse::decode(self.bytes(value), 0)),
            Body::Section { .. } | Body::Closed { .. } => None,
        }
    }

    /// The value of an assignment as written; `None` for a section.
    pub fn value_text(&self, id: NodeId) -> Option<&[u8]> {
        match self.node(id).body {
            Body::Assignment { value } => Some(self.bytes(value)),
            Body::Section { .. } | Body::Closed { .. } => None,
        }
    }

    /// The comment behind a node on its line, with its `#`; empty if there is none.
    pub fn comment(&self, id: NodeId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(self.node(id).trail).trim_ascii())
    }

    /// The name of a node, without quotes.
    pub fn key(&self, id: NodeId) -> Cow<'_, str> {
        match self.key_bytes(id) {
            Cow::Borrowed(name) => String::from_utf8_lossy(name),
            Cow::Owned(name) => Cow::Owned(String::from_utf8_lossy(&name).into_owned()),
        }
    }

    /// The bytes of a node's name, without quotes.
    pub(super) fn key_bytes(&self, id: NodeId) -> Cow<'_, [u8]> {
        match self.bytes(self.node(id).key) {
            [b'"', inside @ .., b'"'] if !inside.contains(&b'\\') => Cow::Borrowed(inside),
            [b'"', inside @ .., b'"'] => Cow::Owned(unescape(inside).into_owned().into_bytes()),
            [b'\'', inside @ .., b'\''] => Cow::Borrowed(inside),
            word => Cow::Borrowed(word),
        }
    }

    /// The name of a node as written.
    pub(crate) fn key_text(&self, id: NodeId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(self.node(id).key))
    }

    /// What stands between a node's name and its value: `=` with blanks as a rule.
    pub(crate) fn op_text(&self, id: NodeId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(self.node(id).op))
    }

    /// Whitespace and comments on the lines before a node.
    pub(crate) fn lead_text(&self, id: NodeId) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(self.node(id).lead))
    }

    /// Whitespace and comments before a section's closing brace.
    pub(crate) fn close_lead_text(&self, id: NodeId) -> Cow<'_, str> {
        match &self.node(id).body {
            Body::Section { close, .. } => {
                let text = self.bytes(*close);
                String::from_utf8_lossy(text.strip_suffix(b"}").unwrap_or(text))
            }
            Body::Assignment { .. } | Body::Closed { .. } => Cow::Borrowed(""),
        }
    }

    /// How many tabs a node is indented by.
    pub(crate) fn indent(&self, id: NodeId) -> usize {
        self.bytes(self.node(id).lead).iter().rev().take_while(|byte| **byte == b'\t').count()
    }

    /// The layout the text has: that of files if the nodes in its first section are indented.
    pub fn layout(&self) -> Layout {
        let section = self.root().sections().next();
        let child = section.and_then(|section| self.children(section.id()).first());
        match child {
            Some(child) if self.indent(*child) > 0 => Layout::File,
            _ => Layout::Disk,
        }
    }

    /// Whether a node has that name. Names are rarely quoted, so this is mostly one comparison.
    pub(super) fn key_is(&self, id: NodeId, name: &str) -> bool {
        match self.bytes(self.node(id).key) {
            [b'"' | b'\'', ..] => self.key(id) == name,
            word => word == name.as_bytes(),
        }
    }

    /// The nodes in a section, in order; none for an assignment, and none for a section that was not taken apart.
    pub fn children(&self, id: NodeId) -> &[NodeId] {
        match &self.node(id).body {
            Body::Assignment { .. } | Body::Closed { .. } => &[],
            Body::Section { children, .. } => children,
        }
    }

    /// Names from the outermost section to the node, with slashes between.
    pub fn path(&self, id: NodeId) -> String {
        let mut names = Vec::new();
        let mut at = id;
        while at != NodeId::ROOT {
            names.push(self.key(at));
            at = self.node(at).parent;
        }
        names.reverse();
        names.join("/")
    }

    /// The line of a node in the text as parsed, from 1. Nodes added since count as if they stood behind its
    /// end.
    pub fn line(&self, id: NodeId) -> usize {
        parse::line_of(&self.text, self.node(id).key.start())
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Nothing spans the end of the text as parsed and what was added.
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        match span.start().checked_sub(self.text.len()) {
            Some(start) => &self.added[start..start + (span.end() - span.start())],
            None => span.of(&self.text),
        }
    }

    /// Where the next piece of text that is added will stand.
    pub(super) fn end(&self) -> usize {
        self.text.len() + self.added.len()
    }
}

/// The length of a text without the NUL bytes at its end.
fn content_length(text: &[u8]) -> Result<usize, TextError> {
    let length = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if length > parse::MAX_TEXT {
        return Err(TextError::new(text, parse::MAX_TEXT, "a text of at most 256 MiB"));
    }
    match memchr::memchr(0, &text[..length]) {
        Some(at) => Err(TextError::new(&text[..length], at, "no NUL byte before the end")),
        None => Ok(length),
    }
}

/// The root, without children, and room for so many nodes.
fn root(room: usize) -> Vec<Node> {
    let mut nodes = Vec::with_capacity(room);
    nodes.push(Node {
        parent: NodeId::ROOT,
        lead: Span::EMPTY,
        key: Span::EMPTY,
        op: Span::EMPTY,
        body: Body::Section { children: Vec::new(), close: Span::EMPTY },
        trail: Span::EMPTY,
    });
    nodes
}
