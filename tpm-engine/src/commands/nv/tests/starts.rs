//! What start-ups do to NV indices.

use super::*;

/// An index of each kind that start-ups treat differently, written and locked.
const STARTS: [(u32, u32); 11] = [
    (0, 0),
    (1, CLEAR_STCLEAR),
    (2, ORDERLY),
    (3, ORDERLY | CLEAR_STCLEAR),
    (4, WRITEDEFINE),
    (5, ORDERLY | WRITEDEFINE),
    (6, COUNTER),
    (7, COUNTER | ORDERLY),
    (8, COUNTER | ORDERLY | WRITEDEFINE),
    (9, READ_STCLEAR),
    (10, WRITE_STCLEAR),
];

fn prepared() -> Bench {
    let mut tpm = Bench::started();
    for (at, attributes) in STARTS {
        let index = INDEX + at;
        assert_eq!(define(&mut tpm, index, PLAIN | attributes, 8), 0);
        for _ in 0..5 {
            let code = if attributes & COUNTER == 0 {
                write(&mut tpm, index, b"contents", 0)
            } else {
                increment(&mut tpm, index)
            };
            assert_eq!(code, 0);
        }
        write_lock(&mut tpm, index);
        read_lock(&mut tpm, index);
    }
    tpm
}

/// Of every index: its contents, or the code that reading answers with, and whether writing is locked.
fn states(tpm: &mut Bench) -> Vec<(Result<u64, u32>, bool)> {
    STARTS
        .map(|(at, _)| {
            let index = INDEX + at;
            let contents = read(tpm, index, 8).map(|data| u64::from_be_bytes(data.try_into().unwrap()));
            (contents, attributes(tpm, index) & WRITELOCKED != 0)
        })
        .to_vec()
}

#[test]
fn start_ups_treat_indices_as_their_attributes_say() {
    let kept = Ok(u64::from_be_bytes(*b"contents"));
    let gone = Err(0x14A);
    let reset = |orderly_counter: u64| {
        vec![
            (kept, false),
            (gone, false),
            (gone, false),
            (gone, false),
            (kept, true),
            (gone, false),
            (Ok(5), false),
            (Ok(orderly_counter), false),
            (Ok(orderly_counter), true),
            (kept, false),
            (kept, false),
        ]
    };
    // After a power failure an orderly counter is beyond all it can have been.
    assert_eq!(states(&mut cycle(prepared(), None, 0)), reset(0xFF));
    assert_eq!(states(&mut cycle(prepared(), Some(0), 0)), reset(5));
    let mut restart = reset(5);
    restart[2] = (kept, false);
    restart[5] = (kept, true);
    assert_eq!(states(&mut cycle(prepared(), Some(1), 0)), restart);
    let mut resume = restart;
    resume[1] = (kept, false);
    resume[3] = (kept, false);
    resume[9] = (Err(0x148), false);
    resume[10] = (kept, true);
    assert_eq!(states(&mut cycle(prepared(), Some(1), 1)), resume);
}

#[test]
fn contents_that_a_start_up_ended_do_not_come_back() {
    let mut tpm = prepared();
    tpm = cycle(tpm, None, 0);
    for (at, rest) in [(1, 0xFF), (2, 0), (3, 0)] {
        assert_eq!(write(&mut tpm, INDEX + at, b"n", 0), 0);
        assert_eq!(read(&mut tpm, INDEX + at, 3).unwrap(), [b'n', rest, rest]);
    }
}

#[test]
fn an_orderly_counter_never_falls_back() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN | COUNTER | ORDERLY, 8);
    let mut reported = 0;
    for (steps, shutdown) in [
        (1, None),
        (0, None),
        (1, Some(0)),
        (300, None),
        (3, Some(0)),
        (0, None),
        (2, None),
    ] {
        for _ in 0..steps {
            assert_eq!(increment(&mut tpm, INDEX), 0);
            reported += 1;
            assert_eq!(number(&mut tpm, INDEX), reported);
        }
        tpm = cycle(tpm, shutdown, 0);
        let now = number(&mut tpm, INDEX);
        assert!(now >= reported, "{now} after {reported}");
        assert!(now - reported <= 0xFF && (shutdown.is_none() || now == reported));
        reported = now;
    }
}
