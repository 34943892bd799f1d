//! The tree: nodes are spans into one buffer.

use std::borrow::Cow;

use super::layout::Layout;
use super::parse::{self, TextError};
use super::section::Section;
use super::value::{Value, unescape};

/// A part of the buffer. 32 bits are enough: longer texts are refused.
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
}

/// A text in LVM's format, as a tree that gives back every byte it does not change.
#[derive(Clone, Debug)]
pub struct Document {
    /// The text as parsed, then every piece of text that changes added.
    pub(super) buffer: Vec<u8>,
    /// The root first.
    pub(super) nodes: Vec<Node>,
    /// How many NUL bytes end the text.
    nuls: usize,
    /// Whether anything was changed since the text was parsed.
    pub(super) edited: bool,
}

impl Document {
    /// Parses a text. NUL bytes are taken at its end only, and remembered.
    ///
    /// # Errors
    /// If the text is not in LVM's format, nests too deep, holds NUL bytes inside, or is longer than 256 MiB.
    pub fn parse(text: &[u8]) -> Result<Self, TextError> {
        Self::parse_outside(text, None)
    }

    /// The same, but what is in sections of the name `unkept` is checked and not kept: for who needs the rest only.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn outline(text: &[u8], unkept: &str) -> Result<Self, TextError> {
        Self::parse_outside(text, Some(unkept))
    }

    fn parse_outside(text: &[u8], unkept: Option<&str>) -> Result<Self, TextError> {
        let length = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let content = &text[..length];
        if length > parse::MAX_TEXT {
            return Err(TextError::new(text, parse::MAX_TEXT, "a text of at most 256 MiB"));
        }
        if let Some(at) = content.iter().position(|byte| *byte == 0) {
            return Err(TextError::new(content, at, "no NUL byte before the end"));
        }
        // Room for the root and for about one node per 24 bytes, as in LVM's metadata.
        let mut nodes = Vec::with_capacity(if unkept.is_some() { 64 } else { 1 + length / 24 });
        nodes.push(Node {
            parent: NodeId::ROOT,
            lead: Span::EMPTY,
            key: Span::EMPTY,
            op: Span::EMPTY,
            body: Body::Section { children: Vec::new(), close: Span::EMPTY },
            trail: Span::EMPTY,
        });
        let parsed = parse::nodes_outside(content, 0, NodeId::ROOT, &mut nodes, unkept)?;
        nodes[0].body = Body::Section { children: parsed.children, close: parsed.tail };
        Ok(Self { buffer: content.to_vec(), nodes, nuls: text.len() - length, edited: false })
    }

    /// The text: the same bytes that were parsed, where nothing was changed.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.to_bytes_with(self.nuls)
    }

    /// The text with that many NUL bytes at its end: one on disk, none in files.
    pub fn to_bytes_with(&self, nuls: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.buffer.len() + nuls);
        if self.edited {
            self.write_node(NodeId::ROOT, &mut out);
        } else {
            out.extend_from_slice(&self.buffer);
        }
        out.resize(out.len() + nuls, 0);
        out
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
            if span.start == pending.end {
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
        }
        put(node.trail);
    }

    /// The whole document, seen as a section.
    pub fn root(&self) -> Section<'_> {
        Section::new(self, NodeId::ROOT)
    }

    /// The section of that id.
    ///
    /// # Panics
    /// If the id belongs to another document.
    pub fn section(&self, id: NodeId) -> Option<Section<'_>> {
        matches!(self.node(id).body, Body::Section { .. }).then(|| Section::new(self, id))
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
            }
        })
    }

    /// The value of an assignment; `None` for a section.
    pub fn value(&self, id: NodeId) -> Option<Value<'_>> {
        match self.node(id).body {
            Body::Assignment { value } => Some(parse::decode(self.bytes(value), 0)),
            Body::Section { .. } => None,
        }
    }

    /// The value of an assignment as written; `None` for a section.
    pub fn value_text(&self, id: NodeId) -> Option<&[u8]> {
        match self.node(id).body {
            Body::Assignment { value } => Some(self.bytes(value)),
            Body::Section { .. } => None,
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
            Body::Assignment { .. } => Cow::Borrowed(""),
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

    /// The nodes in a section, in order; none for an assignment.
    pub fn children(&self, id: NodeId) -> &[NodeId] {
        match &self.node(id).body {
            Body::Assignment { .. } => &[],
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
        parse::line_of(&self.buffer, self.node(id).key.start())
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.buffer)
    }
}
