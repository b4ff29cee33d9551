//! Damaged and truncated files. What opens holds the last commit that was answered, or it is refused.

use super::faults::{Bench, End};
use super::*;

/// One of how many places is looked at. The default is a prime, so that all parts of a page are hit; all places take
/// minutes.
fn step() -> usize {
    const DEFAULT: usize = 211;
    std::env::var("DAMAGE_STEP").map_or(DEFAULT, |step| step.parse().unwrap())
}

#[test]
fn a_flipped_byte_is_refused_or_has_no_effect() {
    let step = step();
    for (access, end) in [
        (plain(), End::InOrder),
        (plain(), End::Killed),
        (with_key(1), End::InOrder),
        (with_key(1), End::Killed),
    ] {
        let encrypted = access.key.is_some();
        let (bench, want) = Bench::made(access, end);
        let (mut refused, mut stepped_back) = (0, 0);
        for place in (0..bench.image().len()).step_by(step) {
            for mask in [0x01, 0x80, 0xFF] {
                let mut image = bench.image().to_vec();
                image[place] ^= mask;
                match bench.values(image) {
                    Ok(found) if found == want => {}
                    Ok(found) => panic!("byte {place}, {mask:#x}: {found:02x?}"),
                    Err(OpenError::Read(..)) => refused += 1,
                    // The database takes the last commit for one that the power cut short, and opens with the one before.
                    Err(OpenError::Lost { .. }) if end == End::Killed => stepped_back += 1,
                    Err(error) => panic!("byte {place}, {mask:#x}: {error}"),
                }
            }
        }
        let places = bench.image().len().div_ceil(step);
        println!(
            "{end:?}, encrypted: {encrypted}; {places} bytes flipped in 3 ways: {refused} refused, {stepped_back} more because \
             the last commit was missing"
        );
        assert!(refused > 0 && refused + stepped_back < 3 * places);
        assert_eq!(stepped_back > 0, end == End::Killed);
    }
}

#[test]
fn a_truncated_state_is_refused_or_whole() {
    let step = step();
    for access in [plain(), with_key(1)] {
        let (bench, want) = Bench::made(access, End::Killed);
        let mut refused = 0;
        for len in (0..bench.image().len()).step_by(step) {
            match bench.values(bench.image()[..len].to_vec()) {
                Ok(found) => assert_eq!(found, want, "{len}"),
                Err(OpenError::Read(..) | OpenError::Lost { .. }) => refused += 1,
                Err(error) => panic!("{len}: {error}"),
            }
        }
        println!("{} lengths: {refused} refused", bench.image().len().div_ceil(step));
        assert!(refused > 0);
    }
}

/// The mark of the last commit that was answered is a means against damage of the database; its own says nothing.
#[test]
fn a_damaged_mark_refuses_no_good_state() {
    let (bench, want) = Bench::made(plain(), End::Killed);
    let good = std::fs::read(bench.acknowledged()).unwrap();
    let values = |mark: &[u8]| {
        std::fs::write(bench.acknowledged(), mark).unwrap();
        bench.values(bench.image().to_vec()).unwrap()
    };
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0x80;
        assert_eq!(values(&bad), want, "{place}");
        assert_eq!(values(&good[..place]), want, "{place}");
    }
    std::fs::remove_file(bench.acknowledged()).unwrap();
    assert_eq!(bench.values(bench.image().to_vec()).unwrap(), want);
}
