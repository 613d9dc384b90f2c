//! Which of many texts are a text, or a beginning of it: a radix tree in two arrays.

use std::collections::BTreeMap;
use std::ops::Range;

/// Texts with what is to be found under them. Looking up costs a step per place where texts part, not per text.
#[derive(Default)]
pub(super) struct PrefixTree {
    /// The root is the first; the children of each stand side by side, by their first byte.
    nodes: Vec<TreeNode>,
    bytes: Vec<u8>,
}

struct TreeNode {
    /// What the node adds to its parent, in `bytes`.
    label: Range<u32>,
    first_byte: u8,
    children: Range<u32>,
    values: TreeValues,
}

/// What is found where a text ends.
#[derive(Clone, Copy, Default)]
struct TreeValues {
    /// Under the text itself.
    exact: Option<u32>,
    /// Under everything that begins with it.
    prefix: Option<u32>,
}

/// Collects texts for a tree.
#[derive(Default)]
pub(super) struct PrefixTreeBuilder {
    texts: BTreeMap<Vec<u8>, TreeValues>,
}

impl PrefixTreeBuilder {
    /// The value of this text: the one that it has, or else the one that is made.
    pub(super) fn exact(&mut self, text: &[u8], make: impl FnOnce() -> u32) -> u32 {
        *self.texts.entry(text.to_vec()).or_default().exact.get_or_insert_with(make)
    }

    /// The same for all that begins with this text.
    pub(super) fn prefix(&mut self, text: &[u8], make: impl FnOnce() -> u32) -> u32 {
        *self.texts.entry(text.to_vec()).or_default().prefix.get_or_insert_with(make)
    }

    pub(super) fn build(self) -> PrefixTree {
        let mut tree = PrefixTree::default();
        let texts: Vec<(Vec<u8>, TreeValues)> = self.texts.into_iter().collect();
        if !texts.is_empty() {
            tree.nodes.push(TreeNode {
                label: 0..0,
                first_byte: 0,
                children: 0..0,
                values: TreeValues::default(),
            });
            tree.fill(0, &texts, 0);
        }
        tree
    }
}

impl PrefixTree {
    /// Gives the value of each text that this one is or begins with, shorter ones first.
    pub(super) fn for_each_match(&self, text: &[u8], mut found: impl FnMut(u32)) {
        let Some(mut node) = self.nodes.first() else { return };
        let mut rest = text;
        loop {
            if let Some(value) = node.values.prefix {
                found(value);
            }
            let Some(&byte) = rest.first() else {
                if let Some(value) = node.values.exact {
                    found(value);
                }
                return;
            };
            let children = self.nodes.get(range(&node.children)).unwrap_or_default();
            let Ok(at) = children.binary_search_by_key(&byte, |child| child.first_byte) else { return };
            let Some(child) = children.get(at) else { return };
            let label = self.bytes.get(range(&child.label)).unwrap_or_default();
            let Some(behind) = rest.strip_prefix(label) else { return };
            (node, rest) = (child, behind);
        }
    }

    /// Fills the node of the texts that share their first `depth` bytes.
    fn fill(&mut self, index: usize, texts: &[(Vec<u8>, TreeValues)], depth: usize) {
        let mut rest = texts;
        if let Some(((text, values), others)) = texts.split_first()
            && text.len() == depth
        {
            self.nodes[index].values = *values;
            rest = others;
        }
        let branches: Vec<_> = rest.chunk_by(|a, b| a.0.get(depth) == b.0.get(depth)).collect();
        let begin = self.nodes.len();
        for branch in &branches {
            let length = shared_length(branch, depth);
            let label = branch.first().and_then(|(text, _)| text.get(depth..length)).unwrap_or_default();
            let from = self.bytes.len();
            self.bytes.extend_from_slice(label);
            self.nodes.push(TreeNode {
                label: narrow(from..self.bytes.len()),
                first_byte: label.first().copied().unwrap_or_default(),
                children: 0..0,
                values: TreeValues::default(),
            });
        }
        self.nodes[index].children = narrow(begin..self.nodes.len());
        for (number, branch) in branches.iter().enumerate() {
            self.fill(begin + number, branch, shared_length(branch, depth));
        }
    }
}

/// How many of their first bytes texts share, which are sorted and share more than `depth`.
fn shared_length(texts: &[(Vec<u8>, TreeValues)], depth: usize) -> usize {
    let (Some((first, _)), Some((last, _))) = (texts.first(), texts.last()) else { return depth };
    first.iter().zip(last).take_while(|(a, b)| a == b).count()
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// The texts of a configuration are far from filling four gigabytes.
fn narrow(range: Range<usize>) -> Range<u32> {
    range.start as u32..range.end as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(tree: &PrefixTree, text: &str) -> Vec<u32> {
        let mut found = Vec::new();
        tree.for_each_match(text.as_bytes(), |value| found.push(value));
        found
    }

    #[test]
    fn texts_and_prefixes() {
        let mut builder = PrefixTreeBuilder::default();
        assert_eq!(builder.exact(b"/api", || 1), 1);
        assert_eq!(builder.exact(b"/api", || 9), 1);
        builder.prefix(b"/api/", || 2);
        builder.prefix(b"/api/v1/", || 3);
        builder.exact(b"/api/v1/users", || 4);
        builder.exact(b"/app", || 5);
        builder.prefix(b"", || 6);
        builder.prefix(b"/app", || 7);
        let tree = builder.build();
        assert_eq!(matches(&tree, "/api"), [6, 1]);
        assert_eq!(matches(&tree, "/api/"), [6, 2]);
        assert_eq!(matches(&tree, "/api/v1/users"), [6, 2, 3, 4]);
        assert_eq!(matches(&tree, "/api/v1/users/7"), [6, 2, 3]);
        assert_eq!(matches(&tree, "/app"), [6, 7, 5]);
        assert_eq!(matches(&tree, "/apple"), [6, 7]);
        assert_eq!(matches(&tree, "/ap"), [6]);
        assert_eq!(matches(&tree, ""), [6]);
    }

    #[test]
    fn an_empty_tree_finds_nothing() {
        assert!(matches(&PrefixTreeBuilder::default().build(), "/").is_empty());
    }

    /// Against a naive search over texts of a small alphabet, where nodes split in every way.
    #[test]
    fn agrees_with_a_naive_search() {
        let texts: Vec<String> = (0..200u32)
            .map(|seed| {
                let bits = seed.wrapping_mul(2_654_435_761);
                (0..bits % 7).map(|at| if bits >> (at + 8) & 1 == 0 { 'a' } else { 'b' }).collect()
            })
            .collect();
        let mut builder = PrefixTreeBuilder::default();
        let (mut exact, mut prefix) = (BTreeMap::new(), BTreeMap::new());
        for (number, text) in texts.iter().enumerate() {
            let number = number as u32;
            if number.is_multiple_of(2) {
                exact.insert(text.clone(), builder.exact(text.as_bytes(), || number));
            } else {
                prefix.insert(text.clone(), builder.prefix(text.as_bytes(), || number));
            }
        }
        let tree = builder.build();
        for text in &texts {
            let mut expected: Vec<u32> = prefix
                .iter()
                .filter(|(known, _)| text.starts_with(known.as_str()))
                .map(|(_, &v)| v)
                .collect();
            expected.extend(exact.get(text));
            let mut found = matches(&tree, text);
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{text}");
        }
    }
}
