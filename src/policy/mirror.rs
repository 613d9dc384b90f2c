//! Which requests are copied to another group.

/// Where copies of requests go. What becomes of them, nobody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The index of the group: in the configuration there, in the listener's groups in service.
    pub group: usize,
    /// Copies have the content of their requests.
    pub with_content: bool,
    /// How many of a hundred requests are copied: 1..=100.
    pub percent: u32,
}

impl Mirror {
    /// Whether the request is copied to which chance gave this number.
    pub fn takes(&self, chance: impl FnOnce() -> u32) -> bool {
        // Scaled down instead of divided: the upper bits are as random as the lower ones.
        self.percent >= 100 || ((u64::from(chance()) * 100) >> 32) < u64::from(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_requests_is_taken() {
        let step = u32::MAX / 1_000;
        let taken = |percent| {
            let mirror = Mirror { group: 0, with_content: true, percent };
            (0..1_000).filter(|number| mirror.takes(|| number * step)).count()
        };
        assert_eq!(taken(100), 1_000);
        assert!((9..=11).contains(&taken(1)) && (499..=501).contains(&taken(50)), "{}", taken(50));
    }
}
