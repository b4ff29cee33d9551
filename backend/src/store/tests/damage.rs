//! Damaged and truncated files. What opens holds what was committed, or it is refused.

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
        let before = {
            let mut before = want.clone();
            before.insert(b"a".to_vec(), vec![5; 100]);
            before.insert(b"c".to_vec(), vec![3; 5000]);
            before
        };
        let (mut refused, mut stepped_back) = (0, 0);
        for place in (0..bench.image().len()).step_by(step) {
            for mask in [0x01, 0x80, 0xFF] {
                let mut image = bench.image().to_vec();
                image[place] ^= mask;
                match bench.values(image) {
                    Ok(found) if found == want => {}
                    // A damaged last commit of a process that was killed looks like one that the power cut short.
                    Ok(found) if found == before && end == End::Killed => stepped_back += 1,
                    Ok(found) => panic!("byte {place}, {mask:#x}: {found:02x?}"),
                    Err(OpenError::Read(..)) => refused += 1,
                    Err(error) => panic!("byte {place}, {mask:#x}: {error}"),
                }
            }
        }
        let places = bench.image().len().div_ceil(step);
        println!(
            "{end:?}, encrypted: {encrypted}; {places} bytes flipped in 3 ways: {refused} refused, {stepped_back} opened with the \
             commit before"
        );
        assert!(refused > 0 && refused + stepped_back < 3 * places);
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
                Err(OpenError::Read(..)) => refused += 1,
                Err(error) => panic!("{len}: {error}"),
            }
        }
        println!("{} lengths: {refused} refused", bench.image().len().div_ceil(step));
        assert!(refused > 0);
    }
}
