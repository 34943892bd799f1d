//! Changing a document: every byte outside the change stays.

use super::document::{Body, Document, Node, NodeId, Span};
use super::parse::{self, TextError};

impl Document {
    /// Puts another value in place; `text` is the value as written, such as `["READ"]`.
    ///
    /// # Errors
    /// If `text` is not one value, or the document has become too long.
    ///
    /// # Panics
    /// If the node is a section.
    pub fn set_value(&mut self, id: NodeId, text: &str) -> Result<(), TextError> {
        let end = parse::value_end(text.as_bytes(), 0)?;
        if end != text.len() {
            return Err(TextError::new(text.as_bytes(), end, "the end of the value"));
        }
        let span = self.append(text.as_bytes())?;
        let node = &mut self.nodes[id.index()];
        assert!(matches!(node.body, Body::Assignment { .. }), "only assignments have values");
        node.body = Body::Assignment { value: span };
        Ok(())
    }

    /// Gives a node another name; `key` is the name as written.
    ///
    /// # Errors
    /// If `key` is not one word or quoted string, or the document has become too long.
    pub fn set_key(&mut self, id: NodeId, key: &str) -> Result<(), TextError> {
        let probe = Self::parse(format!("{key}=0").as_bytes())?;
        let whole = probe.nodes.get(1).is_some_and(|node| probe.bytes(node.key) == key.as_bytes());
        if !whole || probe.nodes.len() != 2 {
            return Err(TextError::new(key.as_bytes(), 0, "one name"));
        }
        self.nodes[id.index()].key = self.append(key.as_bytes())?;
        Ok(())
    }

    /// Replaces the rest of a node's line: blanks and a comment.
    ///
    /// # Errors
    /// If `text` is anything else, or the document has become too long.
    pub fn set_comment(&mut self, id: NodeId, text: &str) -> Result<(), TextError> {
        let bytes = text.as_bytes();
        let trivia = parse::skip_trivia(bytes, 0);
        if trivia != bytes.len() || text.contains(['\n', '\0']) {
            return Err(TextError::new(bytes, trivia, "blanks and a comment on one line"));
        }
        self.nodes[id.index()].trail = self.append(text.as_bytes())?;
        Ok(())
    }

    /// Replaces the comment line before a node that starts like this, if there is one.
    ///
    /// # Errors
    /// If `line` is no comment on one line, or the document has become too long.
    pub(crate) fn replace_comment_line(
        &mut self,
        id: NodeId,
        start: &str,
        line: &str,
    ) -> Result<(), TextError> {
        if !line.starts_with('#') || line.contains(['\n', '\0']) {
            return Err(TextError::new(line.as_bytes(), 0, "a comment on one line"));
        }
        let lead = self.bytes(self.node(id).lead);
        let lines = lead.split(|byte| *byte == b'\n');
        let replaced = |old| if <[u8]>::starts_with(old, start.as_bytes()) { line.as_bytes() } else { old };
        let lead = lines.map(replaced).collect::<Vec<_>>().join(&b'\n');
        self.nodes[id.index()].lead = self.append(&lead)?;
        Ok(())
    }

    /// Puts new nodes into a section, on lines of their own behind `after` (`None`: before all others), and
    /// returns them. `text` has no final newline; blank lines at its start separate it from what precedes.
    ///
    /// # Errors
    /// If `text` does not parse, ends in a comment line, or the document has become too long.
    ///
    /// # Panics
    /// If `section` is no section or `after` is not in it.
    pub fn insert(
        &mut self,
        section: NodeId,
        after: Option<NodeId>,
        text: &str,
    ) -> Result<Vec<NodeId>, TextError> {
        let at = match after {
            None => 0,
            Some(id) => 1 + self.position(section, id).expect("the node is in the section"),
        };
        let first_line = section == NodeId::ROOT && at == 0;
        let (known, before) = (self.nodes.len(), self.added.len());
        let start = self.end() - before;
        self.append(format!("{}{text}", if first_line { "" } else { "\n" }).as_bytes())?;
        let parsed = match parse::nodes(&self.added, before, section, &mut self.nodes) {
            Ok(parsed) if parsed.tail.start() == parsed.tail.end() => parsed,
            result => {
                let tail = result.map(|parsed| TextError::new(&self.added, parsed.tail.start(), "no tail"));
                self.nodes.truncate(known);
                self.added.truncate(before);
                return Err(tail.unwrap_or_else(|error| error));
            }
        };
        self.nodes[known..].iter_mut().for_each(|node| node.move_behind(start));
        if let Some(last) = parsed.children.last()
            && self.joins_next_line(section, at)
        {
            let trail = [self.bytes(self.node(*last).trail), b"\n"].concat();
            self.nodes[last.index()].trail = self.append(&trail)?;
        }
        if let Body::Section { children, .. } = &mut self.nodes[section.index()].body {
            children.splice(at..at, parsed.children.iter().copied());
        }
        Ok(parsed.children)
    }

    /// Takes a node out, with the comments before it and behind it on its line.
    ///
    /// # Errors
    /// If the document has become too long.
    pub fn remove(&mut self, id: NodeId) -> Result<(), TextError> {
        let section = self.node(id).parent;
        let Some(at) = self.position(section, id) else { return Ok(()) };
        if self.bytes(self.node(id).lead).contains(&b'\n') && self.joins_next_line(section, at + 1) {
            // What follows shared a line with the node; it must not end up behind a comment of the line
            // above.
            let next = self.children(section).get(at + 1).copied();
            let (Node { lead, .. }, Body::Section { close, .. }) =
                (self.node(next.unwrap_or(section)), &self.node(section).body)
            else {
                return Ok(());
            };
            let start =
                self.append(&[b"\n", self.bytes(if next.is_some() { *lead } else { *close })].concat())?;
            match (next, &mut self.nodes[section.index()].body) {
                (None, Body::Section { close, .. }) => *close = start,
                (Some(next), _) => self.nodes[next.index()].lead = start,
                (None, Body::Assignment { .. } | Body::Closed { .. }) => {}
            }
        }
        if let Body::Section { children, .. } = &mut self.nodes[section.index()].body {
            children.remove(at);
        }
        self.edited = true;
        Ok(())
    }

    /// Whether the node at this place of a section, or its closing brace, does not start with a new line.
    fn joins_next_line(&self, section: NodeId, at: usize) -> bool {
        let first = match (self.children(section).get(at), &self.node(section).body) {
            (Some(next), _) => {
                let node = self.node(*next);
                self.bytes(node.lead).first().or(self.bytes(node.key).first())
            }
            (None, Body::Section { close, .. }) => self.bytes(*close).first(),
            (None, Body::Assignment { .. } | Body::Closed { .. }) => None,
        };
        first.is_some_and(|byte| *byte != b'\n')
    }

    fn position(&self, section: NodeId, id: NodeId) -> Option<usize> {
        self.children(section).iter().position(|child| *child == id)
    }

    /// Takes a section apart that was not.
    ///
    /// # Errors
    /// If what is in it does not parse, which whoever knows it should have seen.
    pub fn open(&mut self, id: NodeId) -> Result<(), TextError> {
        let Body::Closed { inside } = self.node(id).body else { return Ok(()) };
        // Read as the one node of a text, with a name of one byte: the node has its name already.
        let text = [b"x", self.bytes(inside)].concat();
        let first = self.nodes.len();
        parse::nodes(&text, 0, self.node(id).parent, &mut self.nodes)?;
        for node in &mut self.nodes[first..] {
            // The name's byte is that before what is in the section.
            node.move_behind(inside.start() - 1);
            if node.parent.index() == first {
                node.parent = id;
            }
        }
        let Some(read) = self.nodes.get_mut(first) else { return Ok(()) };
        let empty = Body::Section { children: Vec::new(), close: Span::EMPTY };
        let (op, body) = (read.op, std::mem::replace(&mut read.body, empty));
        let node = &mut self.nodes[id.index()];
        (node.op, node.body) = (op, body);
        Ok(())
    }

    fn append(&mut self, text: &[u8]) -> Result<Span, TextError> {
        let start = self.end();
        let end = start + text.len();
        if end > parse::MAX_TEXT {
            return Err(TextError::new(&self.added, self.added.len(), "a document of at most 256 MiB"));
        }
        self.added.extend_from_slice(text);
        self.edited = true;
        Ok(Span::new(start, end))
    }
}

impl Node {
    /// Moves it behind so many bytes.
    fn move_behind(&mut self, bytes: usize) {
        for span in [&mut self.lead, &mut self.key, &mut self.op, &mut self.trail] {
            *span = span.behind(bytes);
        }
        match &mut self.body {
            Body::Assignment { value: span }
            | Body::Section { close: span, .. }
            | Body::Closed { inside: span } => {
                *span = span.behind(bytes);
            }
        }
    }
}
