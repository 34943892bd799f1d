//! Changes carried into the text: only what differs is written, in the layout of what is around it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::draft::Draft;
use super::history::History;
use super::new_lv::{discards, extents_comment, list, new_lv, segment};
use super::{EditError, MetadataHeader};
use crate::format::model::{
    HistoricalLv, Lv, PoolMessage, Segment, SegmentKind, Striped, Thin, ThinPool, Vg,
};
use crate::format::text::{Document, Layout, Lines, NodeId, Section, comment_gap, quote, time_comment};
use base::ids::LvName;
use base::units::Sectors;

/// The section of removed LVs.
const HISTORY: &str = "historical_logical_volumes";

/// A text being changed.
pub(crate) struct Writer<'a> {
    doc: &'a mut Document,
    layout: Layout,
    extent_size: Sectors,
}

impl<'a> Writer<'a> {
    /// Starts on the text of a VG with extents of that size.
    pub(crate) fn new(doc: &'a mut Document, extent_size: Sectors) -> Self {
        let layout = doc.layout();
        Self { doc, layout, extent_size }
    }

    /// Writes the differences between the LVs of the draft and `before`, which the text has now.
    pub(crate) fn write_lvs(&mut self, before: &Vg, draft: &Draft<'_>) -> Result<(), EditError> {
        let vg = self.vg()?;
        let Some(lvs) = vg.section("logical_volumes").map(|lvs| lvs.id()) else {
            return self.write_first_lvs(draft);
        };
        // lvm2 writes visible LVs first.
        let places = || before.lvs.glances().enumerate().rev().filter(|(at, _)| !draft.removed.contains(at));
        let shown = places().find(|(_, lv)| lv.is_visible()).map(|(at, _)| at);
        let last = places().next().map(|(at, _)| at);
        let nodes = self.nodes_of(lvs, before, draft, [shown, last])?;
        for at in &draft.removed {
            debug_assert_eq!(self.doc.key(nodes[at]), before.lvs[*at].name.as_str());
            self.doc.remove(nodes[at])?;
        }
        for entry in draft.touched.values() {
            if let Some(at) = entry.before {
                self.doc.open(nodes[&at])?;
                self.change_lv(nodes[&at], &before.lvs[at], &entry.lv)?;
            }
        }
        let [mut shown, mut last] = [shown, last].map(|at| at.map(|at| nodes[&at]));
        for node in taken(before, draft).into_iter().map(|at| nodes[&at]) {
            last = self.move_behind(lvs, node, last)?;
        }
        for lv in draft.new_lvs() {
            let mut lines = Lines::new(self.layout, self.depth(lvs));
            new_lv(&mut lines, lv, self.extent_size);
            let after = if lv.is_visible() { shown } else { last };
            let added = self.doc.insert(lvs, after, &lines.finish())?.last().copied();
            if lv.is_visible() {
                shown = added;
            }
            if after == last {
                last = added;
            }
        }
        if draft.len() == 0 {
            self.doc.remove(lvs)?;
        }
        Ok(())
    }

    /// Puts an LV behind the last one; returns what is last then.
    fn move_behind(
        &mut self,
        lvs: NodeId,
        node: NodeId,
        last: Option<NodeId>,
    ) -> Result<Option<NodeId>, EditError> {
        if last.is_none_or(|last| last == node) {
            return Ok(last);
        }
        let text = String::from_utf8_lossy(&self.doc.node_text(node)).into_owned();
        self.doc.remove(node)?;
        let moved = self.doc.insert(lvs, last, &format!("\n{}", text.trim_matches('\n')))?;
        Ok(moved.last().copied())
    }

    /// The nodes of the LVs that change or go, and of others, by their places in the model before.
    fn nodes_of(
        &mut self,
        lvs: NodeId,
        before: &Vg,
        draft: &Draft<'_>,
        others: [Option<usize>; 2],
    ) -> Result<HashMap<usize, NodeId>, EditError> {
        let changed = draft.touched.values().filter_map(|entry| entry.before);
        let wanted: BTreeSet<usize> =
            changed.chain(draft.removed.iter().copied()).chain(others.into_iter().flatten()).collect();
        let own: Vec<NodeId> = vg_sections(self.doc, lvs)
            .map(|section| section.id())
            .filter(|id| self.doc.run(*id).is_none())
            .collect();
        let mut nodes = HashMap::with_capacity(wanted.len());
        for at in wanted {
            let node = match before.lvs.record(at) {
                Some(record) => self.doc.single_out(lvs, record.start(), record.taken()),
                None => own.get(before.lvs.others_before(at)).copied(),
            };
            let lost = || EditError::Miswritten(format!("the section of {}", before.lvs[at].name));
            nodes.insert(at, node.ok_or_else(lost)?);
        }
        Ok(nodes)
    }

    /// A group without LVs has no section for them.
    fn write_first_lvs(&mut self, draft: &Draft<'_>) -> Result<(), EditError> {
        let vg = self.vg()?;
        let (vg_node, pvs) = (vg.id(), vg.section("physical_volumes").map(|pvs| pvs.id()));
        let mut lines = Lines::new(self.layout, self.depth(vg_node));
        lines.blank();
        lines.open("logical_volumes");
        let (shown, hidden): (Vec<&Lv>, Vec<&Lv>) = draft.new_lvs().partition(|lv| lv.is_visible());
        shown.into_iter().chain(hidden).for_each(|lv| new_lv(&mut lines, lv, self.extent_size));
        lines.close();
        if draft.new_lvs().next().is_some() {
            self.doc.insert(vg_node, pvs, &lines.finish())?;
        }
        Ok(())
    }

    /// Writes the history records of removed LVs.
    pub(crate) fn write_history(&mut self, history: &History) -> Result<(), EditError> {
        let vg = self.vg()?;
        let (vg_node, lvs) = (vg.id(), vg.find("logical_volumes"));
        let section = vg.section(HISTORY).map(|section| section.id());
        let nodes: Vec<NodeId> =
            section.map_or_else(Vec::new, |id| vg_sections(self.doc, id).map(|lv| lv.id()).collect());
        if let (Some(section), true) = (section, history.records.is_empty()) {
            return Ok(self.doc.remove(section)?);
        }
        let kept: HashSet<usize> = history.records.iter().filter_map(|record| record.before).collect();
        for (_, node) in nodes.iter().enumerate().filter(|(at, _)| !kept.contains(at)) {
            self.doc.remove(*node)?;
        }
        for record in history.records.iter().filter(|record| record.touched) {
            let Some(at) = record.before else { continue };
            let origin = record.lv.origin.as_ref().map(|origin| quote(&origin.in_text()));
            let below = (!record.lv.descendants.is_empty()).then(|| list(&record.lv.descendants));
            self.set_field(nodes[at], "origin", origin.as_deref(), "removal_time")?;
            self.set_field(nodes[at], "descendants", below.as_deref(), "removal_time")?;
        }
        let new = history.records.iter().filter(|record| record.before.is_none()).map(|record| &record.lv);
        let new: Vec<&HistoricalLv> = new.collect();
        match section {
            _ if new.is_empty() => {}
            Some(section) => {
                let mut lines = Lines::new(self.layout, self.depth(section));
                new.iter().for_each(|lv| historical_lv(&mut lines, lv));
                let last = self.doc.children(section).last().copied();
                self.doc.insert(section, last, &lines.finish())?;
            }
            None => {
                let mut lines = Lines::new(self.layout, self.depth(vg_node));
                lines.blank();
                lines.open(HISTORY);
                new.iter().for_each(|lv| historical_lv(&mut lines, lv));
                lines.close();
                let after = lvs.or_else(|| self.doc.children(vg_node).last().copied());
                self.doc.insert(vg_node, after, &lines.finish())?;
            }
        }
        Ok(())
    }

    /// Sets the sequence number and the header.
    pub(crate) fn write_header(
        &mut self,
        seqno: u32,
        header: &MetadataHeader,
        generator: &str,
    ) -> Result<(), EditError> {
        let vg = self.vg()?;
        let node = vg.find("seqno").ok_or_else(|| vg.error("seqno", "it is missing"))?;
        self.doc.set_value(node, &seqno.to_string())?;
        let (host, time) = (quote(&header.host), header.time.to_string());
        let fields = [
            ("description", quote(&header.description), None),
            ("creation_host", host, Some(&header.uname)),
            ("creation_time", time, Some(&header.time_text)),
        ];
        let mut last = self.doc.root().find("version");
        for (key, value, comment) in fields {
            let node = match self.doc.root().find(key) {
                Some(node) => {
                    self.doc.set_value(node, &value)?;
                    Some(node)
                }
                None => self.doc.insert(NodeId::ROOT, last, &format!("\n{key} = {value}"))?.last().copied(),
            };
            if let (Some(node), Some(comment)) = (node, comment) {
                self.doc.set_comment(node, &format!("\t# {}", one_line(comment)))?;
            }
            last = node;
        }
        if let Some(contents) = self.doc.root().find("contents") {
            let line = format!("# Generated by {generator}: {}", one_line(&header.time_text));
            self.doc.replace_comment_line(contents, "# Generated by ", &line)?;
        }
        Ok(())
    }

    fn vg(&self) -> Result<Section<'_>, EditError> {
        let root = self.doc.root();
        Ok(root.sections().next().ok_or_else(|| root.own_error("it has no volume group"))?)
    }

    fn change_lv(&mut self, node: NodeId, old: &Lv, new: &Lv) -> Result<(), EditError> {
        if old.name != new.name {
            self.doc.set_key(node, new.name.as_str())?;
        }
        if old.id != new.id {
            self.set_field(node, "id", Some(&quote(&new.id.to_string())), "id")?;
        }
        let lists = [
            ("status", &old.status, &new.status, "id"),
            ("flags", &old.flags, &new.flags, "status"),
            ("tags", &old.tags, &new.tags, "flags"),
        ];
        for (key, old, new, after) in lists {
            if old != new {
                let value = (key != "tags" || !new.is_empty()).then(|| list(new));
                self.set_field(node, key, value.as_deref(), after)?;
            }
        }
        let mut segments: Vec<(u64, NodeId)> = vg_sections(self.doc, node)
            .map(|segment| Ok((segment.u64("start_extent")?, segment.id())))
            .collect::<Result<_, EditError>>()?;
        segments.sort_by_key(|(start, _)| *start);
        let known = segments.len();
        for ((_, node), (old, new)) in segments.into_iter().zip(old.segments.iter().zip(&new.segments)) {
            if old != new {
                self.change_segment(node, old, new)?;
            }
        }
        if new.segments.len() > known {
            let mut lines = Lines::new(self.layout, self.depth(node));
            for (number, more) in new.segments.iter().enumerate().skip(known) {
                segment(&mut lines, number + 1, more, self.extent_size);
            }
            let last = self.doc.children(node).last().copied();
            self.doc.insert(node, last, &lines.finish())?;
            self.set_field(node, "segment_count", Some(&new.segments.len().to_string()), "flags")?;
        }
        Ok(())
    }

    fn change_segment(&mut self, node: NodeId, old: &Segment, new: &Segment) -> Result<(), EditError> {
        if old.count != new.count {
            let text = new.count.to_string();
            self.set_field(node, "extent_count", Some(&text), "start_extent")?;
            if let (Layout::File, Some(field)) = (self.layout, self.field(node, "extent_count")) {
                let gap = comment_gap("extent_count = ".len() + text.len(), self.depth(node));
                let comment = extents_comment(new.count, self.extent_size);
                self.doc.set_comment(field, &format!("{gap}{comment}"))?;
            }
        }
        match (&old.kind, &new.kind) {
            (SegmentKind::Thin(old), SegmentKind::Thin(new)) => self.change_thin(node, old, new),
            (SegmentKind::ThinPool(old), SegmentKind::ThinPool(new)) => self.change_pool(node, old, new),
            (SegmentKind::Striped(old), SegmentKind::Striped(new)) => self.change_areas(node, old, new),
            _ => Ok(()),
        }
    }

    fn change_thin(&mut self, node: NodeId, old: &Thin, new: &Thin) -> Result<(), EditError> {
        let links = [
            ("thin_pool", Some(&old.pool), Some(&new.pool)),
            ("external_origin", old.external_origin.as_ref(), new.external_origin.as_ref()),
            ("origin", old.origin.as_ref(), new.origin.as_ref()),
            ("merge", old.merge.as_ref(), new.merge.as_ref()),
        ];
        for (key, old, new) in links {
            self.change_link(node, key, old, new)?;
        }
        if old.transaction_id != new.transaction_id {
            let text = new.transaction_id.to_string();
            self.set_field(node, "transaction_id", Some(&text), "thin_pool")?;
        }
        if old.device_id != new.device_id {
            self.set_field(node, "device_id", Some(&new.device_id.to_string()), "transaction_id")?;
        }
        Ok(())
    }

    fn change_pool(&mut self, node: NodeId, old: &ThinPool, new: &ThinPool) -> Result<(), EditError> {
        self.change_link(node, "metadata", Some(&old.metadata), Some(&new.metadata))?;
        self.change_link(node, "pool", Some(&old.data), Some(&new.data))?;
        if old.transaction_id != new.transaction_id {
            let text = new.transaction_id.to_string();
            self.set_field(node, "transaction_id", Some(&text), "pool")?;
        }
        if old.discards != new.discards {
            let text = quote(discards(new.discards));
            self.set_field(node, "discards", Some(&text), "chunk_size")?;
        }
        if old.zero_new_blocks != new.zero_new_blocks {
            self.set_field(node, "zero_new_blocks", new.zero_new_blocks.then_some("1"), "discards")?;
        }
        if old.messages == new.messages {
            return Ok(());
        }
        let messages: Vec<NodeId> = vg_sections(self.doc, node).map(|message| message.id()).collect();
        messages.into_iter().try_for_each(|message| self.doc.remove(message))?;
        if new.messages.is_empty() {
            return Ok(());
        }
        let mut lines = Lines::new(self.layout, self.depth(node));
        lines.blank();
        for (number, message) in new.messages.iter().enumerate() {
            lines.open(&format!("message{}", number + 1));
            match message {
                PoolMessage::Create(lv) => lines.line(&format!("create = {}", quote(lv.as_str()))),
                PoolMessage::Delete(id) => lines.line(&format!("delete = {id}")),
            }
            lines.close();
        }
        let last = self.doc.children(node).last().copied();
        self.doc.insert(node, last, &lines.finish())?;
        Ok(())
    }

    /// Areas only ever change their names.
    fn change_areas(&mut self, node: NodeId, old: &Striped, new: &Striped) -> Result<(), EditError> {
        let Some(field) = self.field(node, "stripes") else { return Ok(()) };
        let mut text = String::from_utf8_lossy(self.doc.value_text(field).unwrap_or_default()).into_owned();
        let renamed = old.stripes.iter().zip(&new.stripes).filter(|(old, new)| old.area != new.area);
        for (old, new) in renamed {
            text = text.replace(&quote(&old.area), &quote(&new.area));
        }
        Ok(self.doc.set_value(field, &text)?)
    }

    fn change_link(
        &mut self,
        node: NodeId,
        key: &str,
        old: Option<&LvName>,
        new: Option<&LvName>,
    ) -> Result<(), EditError> {
        if old == new {
            return Ok(());
        }
        self.set_field(node, key, new.map(|name| quote(name.as_str())).as_deref(), "device_id")
    }

    fn field(&self, section: NodeId, key: &str) -> Option<NodeId> {
        self.doc.section(section).and_then(|section| section.find(key))
    }

    /// Sets a field, removes it (`None`), or adds it behind another.
    fn set_field(
        &mut self,
        section: NodeId,
        key: &str,
        value: Option<&str>,
        after: &str,
    ) -> Result<(), EditError> {
        match (self.field(section, key), value) {
            (Some(field), Some(value)) => self.doc.set_value(field, value)?,
            (Some(field), None) => self.doc.remove(field)?,
            (None, None) => {}
            (None, Some(value)) => {
                let mut lines = Lines::new(self.layout, self.depth(section));
                lines.line(&format!("{key} = {value}"));
                let after = self.field(section, after);
                self.doc.insert(section, after, &lines.finish())?;
            }
        }
        Ok(())
    }

    /// How many tabs the nodes in a section are indented by.
    fn depth(&self, section: NodeId) -> usize {
        self.doc.children(section).first().map_or(0, |child| self.doc.indent(*child))
    }
}

/// The places of LVs that have become others, hidden ones: a spare that is a pool's metadata now. They belong behind
/// the volumes, as lvm2 writes them: it stops what it finds in this order, and metadata not before what stands on it.
fn taken(before: &Vg, draft: &Draft<'_>) -> Vec<usize> {
    let is_other = |at: usize, lv: &Lv| before.lvs[at].id != lv.id && !lv.is_visible();
    let entries = draft.touched.values();
    entries.filter_map(|entry| entry.before.filter(|at| is_other(*at, &entry.lv))).collect()
}

/// Source: lvm2 `lib/format_text/export.c` (`_print_historical_lv_with_descendants`).
fn historical_lv(lines: &mut Lines, lv: &HistoricalLv) {
    lines.blank();
    lines.open(&lv.name);
    lines.line(&format!("id = \"{}\"", lv.id));
    for (key, time) in [("creation_time = ", lv.creation_time), ("removal_time = ", lv.removal_time)] {
        if let Some(time) = time.filter(|time| *time != 0) {
            lines.commented(&[key, &time.to_string()], &time_comment(time));
        }
    }
    if let Some(origin) = &lv.origin {
        lines.line(&format!("origin = {}", quote(&origin.in_text())));
    }
    if !lv.descendants.is_empty() {
        lines.line(&format!("descendants = {}", list(&lv.descendants)));
    }
    lines.close();
}

fn vg_sections(doc: &Document, section: NodeId) -> impl Iterator<Item = Section<'_>> {
    doc.section(section).into_iter().flat_map(|section| section.sections())
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
