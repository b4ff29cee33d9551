//! Whether to spin for what another process does, or to sleep until it wakes us.

/// Learns from one wait after another whether spinning pays. What came soon enough while nobody spun counts, too, so that
/// spinning begins again by itself; what spinning was in vain for has to come soon twice as often as before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spinning {
    /// How often in a row it came soon.
    soon: u32,
    /// How often it has to.
    needed: u32,
}

impl Spinning {
    /// Whether to spin for what comes next. It is tried at first.
    #[must_use]
    pub const fn pays(self) -> bool {
        self.soon >= self.needed
    }

    /// It came: soon enough for spinning, and whether that was done.
    pub fn came(&mut self, soon: bool, spun: bool) {
        const LEAST: u32 = 2;
        const MOST: u32 = 64;
        match (soon, spun) {
            (true, true) => self.needed = LEAST,
            (false, true) => self.needed = self.needed.saturating_mul(2).clamp(LEAST, MOST),
            (_, false) => {}
        }
        self.soon = if soon { self.soon.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_soon_is_not_spun_for_again() {
        let mut spinning = Spinning::default();
        assert!(spinning.pays());
        for _ in 0..100 {
            let spun = spinning.pays();
            spinning.came(false, spun);
            assert!(!spinning.pays());
        }
    }

    #[test]
    fn what_comes_soon_again_is_spun_for_again() {
        let mut spinning = Spinning::default();
        spinning.came(false, true);
        spinning.came(true, false);
        assert!(!spinning.pays());
        spinning.came(true, false);
        assert!(spinning.pays());
        // One that takes longer ends it for two.
        spinning.came(true, true);
        spinning.came(false, true);
        for _ in 0..4 {
            assert!(!spinning.pays());
            spinning.came(true, false);
        }
        assert!(spinning.pays());
    }

    #[test]
    fn spinning_that_keeps_others_from_coming_is_tried_seldom() {
        // As where both sides share a processor: whoever is spun for comes as soon as the spinning ends.
        let mut spinning = Spinning::default();
        let mut spins = 0;
        for _ in 0..1000 {
            let spun = spinning.pays();
            spins += u32::from(spun);
            spinning.came(!spun, spun);
        }
        assert!(spins < 25, "{spins}");
    }
}
