//! Words that messages have in common.

/// A number and what it counts: `1 worker`, `2 workers`. For nouns that take an s.
pub fn counted(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        for (number, text) in [(0, "0 workers"), (1, "1 worker"), (2, "2 workers")] {
            assert_eq!(counted(number, "worker"), text);
        }
    }
}
