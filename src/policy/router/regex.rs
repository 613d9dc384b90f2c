//! Regular expressions: searched for in time linear in the text, those of a listener 32 in a pass.

use regex_automata::Input;
use regex_automata::PatternID;
use regex_automata::PatternSet;
use regex_automata::meta;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;

/// Bytes that the compiled expressions of one kind of one listener may take.
const MAX_SET_BYTES: usize = 64 << 20;

/// Bytes that one compiled expression may take.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Bytes that each worker may spend on remembering where a search has been.
const MAX_CACHE_BYTES: usize = 4 << 20;

/// What one part of a set gets of that at least. With less, it would forget all the time.
const LEAST_CACHE_BYTES: usize = 256 << 10;

/// Expressions that are searched for in one pass. Text that many of them match in part, as clients can make it up, leads
/// through states that nobody has seen before and that are as large as their number; then a pass is slow. With few, it
/// soon knows all that there are.
const PART: usize = 32;

/// Groups whose text an expression can give, the whole match among them.
const MAX_GROUPS: usize = 10;

/// A regular expression as it was written. Unanchored, without Unicode classes, and a `.` is any byte but a line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexText {
    pub text: String,
    pub ignores_case: bool,
}

/// Why an expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    pub message: String,
    /// The byte of the expression where it goes wrong, if it is one.
    pub position: Option<usize>,
}

impl RegexText {
    /// How many groups it captures.
    ///
    /// # Errors
    /// It is no expression, has a feature that takes more than linear time, or is too large.
    pub fn check(&self) -> Result<usize, RegexError> {
        let regex = compile(&[self], of_at_most(MAX_REGEX_BYTES))?;
        Ok(regex.group_info().group_len(PatternID::ZERO).saturating_sub(1))
    }
}

/// The size that expressions may have.
fn of_at_most(bytes: usize) -> meta::Config {
    meta::Config::new().nfa_size_limit(Some(bytes)).hybrid_cache_capacity(MAX_CACHE_BYTES)
}

/// Compiles expressions, each of which matches on its own.
fn compile(texts: &[&RegexText], config: meta::Config) -> Result<meta::Regex, RegexError> {
    let parsed: Result<Vec<_>, _> = texts.iter().map(|text| parse(text)).collect();
    let config = config.utf8_empty(false).match_kind(if texts.len() == 1 {
        regex_automata::MatchKind::LeftmostFirst
    } else {
        regex_automata::MatchKind::All
    });
    meta::Builder::new().configure(config).build_many_from_hir(&parsed?).map_err(|error| RegexError {
        message: match error.size_limit() {
            Some(limit) if limit > MAX_REGEX_BYTES => {
                "all together take more than 64 MiB when compiled".to_owned()
            }
            Some(limit) => format!("it takes more than {} MiB when compiled", limit >> 20),
            None => error.to_string(),
        },
        position: None,
    })
}

fn parse(text: &RegexText) -> Result<regex_syntax::hir::Hir, RegexError> {
    let config = syntax::Config::new().unicode(false).utf8(false).case_insensitive(text.ignores_case);
    syntax::parse_with(&text.text, &config).map_err(|error| {
        let (message, position) = match &error {
            regex_syntax::Error::Parse(error) => (error.kind().to_string(), Some(error.span().start.offset)),
            regex_syntax::Error::Translate(error) => {
                (error.kind().to_string(), Some(error.span().start.offset))
            }
            other => (other.to_string(), None),
        };
        RegexError { message, position }
    })
}

/// Expressions that are searched for together, some at a time.
#[derive(Default)]
pub(super) struct RegexSet {
    parts: Box<[meta::Regex]>,
}

/// Which expressions of a set match, and what finding that out takes; kept from one search to the next.
pub(super) struct SetMatches {
    parts: Box<[(meta::Cache, PatternSet)]>,
}

impl RegexSet {
    pub(super) fn new(texts: &[&RegexText]) -> Result<RegexSet, RegexError> {
        // Each part gets its share of the memory for all.
        let share = (MAX_CACHE_BYTES / texts.len().div_ceil(PART).max(1)).max(LEAST_CACHE_BYTES);
        let mut left = MAX_SET_BYTES;
        let mut parts = Vec::with_capacity(texts.len().div_ceil(PART));
        for texts in texts.chunks(PART) {
            let part = compile(texts, of_at_most(left).hybrid_cache_capacity(share))?;
            left = left.saturating_sub(part.memory_usage());
            parts.push(part);
        }
        Ok(RegexSet { parts: parts.into() })
    }

    pub(super) fn matches(&self) -> SetMatches {
        let parts = self.parts.iter().map(|part| (part.create_cache(), PatternSet::new(part.pattern_len())));
        SetMatches { parts: parts.collect() }
    }

    /// Finds out which expressions match this text.
    pub(super) fn search(&self, text: &[u8], matches: &mut SetMatches) {
        for (part, (cache, found)) in self.parts.iter().zip(&mut matches.parts) {
            found.clear();
            part.which_overlapping_matches_with(cache, &Input::new(text), found);
        }
    }
}

impl SetMatches {
    pub(super) fn contains(&self, number: u32) -> bool {
        let number = number as usize;
        let part = self.parts.get(number / PART);
        part.is_some_and(|(_, found)| PatternID::new(number % PART).is_ok_and(|id| found.contains(id)))
    }

    /// The numbers of the expressions that match.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let parts = self.parts.iter().enumerate();
        parts.flat_map(|(part, (_, found))| found.iter().map(move |id| part * PART + id.as_usize()))
    }
}

/// One expression whose groups are wanted.
pub(super) struct CapturingRegex {
    regex: meta::Regex,
}

impl CapturingRegex {
    pub(super) fn new(text: &RegexText) -> Result<CapturingRegex, RegexError> {
        // Each rule has one, and clients could fill the memory that a lazy automaton takes for each. That the text matches
        // is known already, by the set.
        let config = of_at_most(MAX_REGEX_BYTES).hybrid(false).dfa(false);
        Ok(CapturingRegex { regex: compile(&[text], config)? })
    }

    pub(super) fn cache(&self) -> meta::Cache {
        self.regex.create_cache()
    }

    /// What the groups captured of this text, if it matches.
    pub(super) fn captures<'t>(&self, text: &'t [u8], cache: &mut meta::Cache) -> Option<Captures<'t>> {
        let mut slots = [None; 2 * MAX_GROUPS];
        self.regex.search_slots_with(cache, &Input::new(text), &mut slots)?;
        Some(Captures { text, slots })
    }
}

/// Parts of a text that the groups of an expression captured.
#[derive(Clone, Copy)]
pub struct Captures<'t> {
    text: &'t [u8],
    slots: [Option<NonMaxUsize>; 2 * MAX_GROUPS],
}

impl<'t> Captures<'t> {
    /// Nothing was captured.
    pub fn none() -> Captures<'t> {
        Captures { text: b"", slots: [None; 2 * MAX_GROUPS] }
    }

    /// The text of the group with this number, counted from 1; empty if it took no part in the match.
    pub fn group(&self, number: usize) -> &'t [u8] {
        let slot = |at: usize| self.slots.get(at).copied().flatten().map(NonMaxUsize::get);
        let (Some(begin), Some(end)) = (slot(2 * number), slot(2 * number + 1)) else { return b"" };
        self.text.get(begin..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> RegexText {
        RegexText { text: text.to_owned(), ignores_case: false }
    }

    #[test]
    fn errors_name_the_place() {
        let error = text("^/a(b").check().unwrap_err();
        assert_eq!(error.position, Some(3), "{error:?}");
        let error = text("/a(?=b)").check().unwrap_err();
        assert!(error.message.contains("look-around"), "{error:?}");
        let error = text("(?:a{1000}){1000}").check().unwrap_err();
        assert!(error.message.contains("1 MiB"), "{error:?}");
        assert_eq!(text(r"^/(a)(?:b)(c)\d").check(), Ok(2));
    }

    #[test]
    fn a_set_tells_every_match() {
        let texts = [text("^/a"), text("b"), text("c$"), text("^/a.*c$")];
        let set = RegexSet::new(&texts.iter().collect::<Vec<_>>()).unwrap();
        let mut matches = set.matches();
        set.search(b"/abc", &mut matches);
        assert_eq!(matches.iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
        set.search(b"/xb", &mut matches);
        assert_eq!(matches.iter().collect::<Vec<_>>(), [1]);
        assert!(matches.contains(1) && !matches.contains(0) && !matches.contains(77));
    }

    /// A text that many of them match in part costs little only where few share a pass.
    #[test]
    fn large_sets_are_searched_in_parts() {
        let texts: Vec<RegexText> = (0..100).map(|number| text(&format!("/p{number}/.*x$"))).collect();
        let set = RegexSet::new(&texts.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(set.parts.iter().map(meta::Regex::pattern_len).collect::<Vec<_>>(), [32, 32, 32, 4]);
        let mut matches = set.matches();
        set.search(b"/p99/p0/p31/p32/p7/x", &mut matches);
        assert_eq!(matches.iter().collect::<Vec<_>>(), [0, 7, 31, 32, 99]);
        assert!((0..200).all(|number| matches.contains(number) == [0, 7, 31, 32, 99].contains(&number)));
    }

    /// Whatever clients send, the memory of one rule of thousands stays small.
    #[test]
    fn capturing_takes_little_memory() {
        let regex = CapturingRegex::new(&text("^/p/(.*)/(.*[ab].{14})$")).unwrap();
        let mut cache = regex.cache();
        let mut state = 1u64;
        for _ in 0..50 {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                b"abc"[(state >> 33) as usize % 3]
            };
            let path: Vec<u8> = b"/p/x/".iter().copied().chain((0..6_000).map(|_| next())).collect();
            let _ = regex.captures(&path, &mut cache);
        }
        assert!(cache.memory_usage() < 512 * 1024, "{} bytes", cache.memory_usage());
    }

    #[test]
    fn what_groups_capture() {
        let regex = CapturingRegex::new(&text("^/v([0-9]+)/(x)?(.*)")).unwrap();
        let captures = regex.captures(b"/v12/rest", &mut regex.cache()).unwrap();
        assert_eq!(captures.group(1), b"12");
        assert_eq!(captures.group(2), b"");
        assert_eq!(captures.group(3), b"rest");
        assert_eq!(captures.group(9), b"");
        assert!(regex.captures(b"/w", &mut regex.cache()).is_none());
    }
}
