//! Runs of sections that are not taken apart: one node stands for thousands of volumes that no change concerns.

use std::ops::Range;

use super::document::{Body, Document, Node, NodeId, Span, Taken};
use super::parse::BETWEEN_CLOSED;

impl Document {
    /// The part of the text that a run of sections spans which were not taken apart; nothing for other nodes.
    pub fn run(&self, id: NodeId) -> Option<Range<usize>> {
        let node = self.node(id);
        match node.body {
            Body::Closed { inside } => Some(node.key.start()..inside.end()),
            Body::Assignment { .. } | Body::Section { .. } => None,
        }
    }

    /// Gives a section of a run in `section` a node of its own, which it returns: nothing changes but the number of
    /// nodes. `start` is where the section begins in the text as parsed. The children of `section` are as parsed.
    pub(crate) fn single_out(&mut self, section: NodeId, start: usize, taken: Taken) -> Option<NodeId> {
        let children = self.children(section);
        let place =
            children.partition_point(|child| self.node(*child).key.start() <= start).checked_sub(1)?;
        let whole = *children.get(place)?;
        let run = self.run(whole).filter(|run| start >= run.start && taken.end <= run.end)?;
        let gap = BETWEEN_CLOSED.len();
        if start > run.start {
            self.cut(section, place, start - gap);
            return self.single_out(section, start, taken);
        }
        if taken.end < run.end {
            self.cut(section, place, taken.end);
        }
        Some(whole)
    }

    /// Makes two runs of one: the first ends at `at`, where what stands between sections begins.
    fn cut(&mut self, section: NodeId, place: usize, at: usize) {
        let first = self.children(section)[place];
        let Node { parent, lead, key, op, body, trail } = self.node(first).clone();
        let Body::Closed { inside } = body else { return };
        let start = at + BETWEEN_CLOSED.len();
        let rest = &self.bytes(Span::new(start, inside.end()));
        // Names of sections that are not taken apart hold no blanks.
        let key_end = start + rest.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let second = NodeId::new(self.nodes.len());
        let node = Node {
            parent,
            lead: Span::new(at, start),
            key: Span::new(start, key_end),
            op: Span::new(key_end, key_end),
            body: Body::Closed { inside: Span::new(key_end, inside.end()) },
            trail,
        };
        self.nodes.push(node);
        let inside = Span::new(inside.start(), at);
        self.nodes[first.index()] =
            Node { parent, lead, key, op, body: Body::Closed { inside }, trail: Span::new(at, at) };
        if let Body::Section { children, .. } = &mut self.nodes[section.index()].body {
            children.insert(place + 1, second);
        }
    }
}
