//! Our TPM against Debian's swtpm: all scenarios, and some thousand generated commands.

mod common;

use integration::compare::Comparer;
use integration::differences::List;
use integration::generate::SEQUENCE;
use integration::peer::Kind;
use integration::report::Report;
use integration::run::Endurance;
use integration::scenarios::crossing;
use integration::{run, scenarios};

fn ours() -> Kind {
    Kind::Ours(common::daemon())
}

#[test]
fn scenarios_agree() {
    let (ours, list, mut report) = (ours(), List::default(), Report::default());
    for scenario in scenarios::ALL {
        let (theirs, mine) = run::both(&Kind::Swtpm, &ours, 1, &scenario.run).unwrap();
        assert!(theirs.error.is_none(), "{}: {:?}", scenario.name, theirs.error);
        report.add(
            Comparer::default().compare(scenario.name, &theirs.transcript, &mine.transcript),
            &list,
        );
    }
    report.unused = list.unused();
    println!("{}", report.table());
    assert!(
        report.unexplained.is_empty() && report.unused.is_empty(),
        "{}",
        report.details(40)
    );
}

#[test]
fn generated_commands_agree() {
    let (ours, list, mut report) = (ours(), List::default(), Report::default());
    let mut endurance = Endurance::start(&ours).unwrap();
    for seed in 1..=32 {
        let sequence = run::generated(&ours, seed, SEQUENCE, &list, &mut report).unwrap();
        assert!(
            sequence.sides.0.error.is_none(),
            "seed {seed}: {:?}",
            sequence.sides.0.error
        );
        endurance.sequence(seed, SEQUENCE).unwrap();
    }
    println!("{}\n{}", report.table(), endurance.memory().unwrap());
    assert!(report.unexplained.is_empty(), "{}", report.details(4));
}

#[test]
fn what_one_makes_the_other_takes() {
    let ours = ours();
    for crossing in crossing::ALL {
        for (maker, taker) in [(&Kind::Swtpm, &ours), (&ours, &Kind::Swtpm)] {
            run::crossed(maker, taker, crossing).unwrap();
        }
    }
}

/// Whatever is random by nature must be known as such: the peer against itself shows no difference.
#[test]
fn swtpm_agrees_with_itself() {
    let (list, mut report) = (List::default(), Report::default());
    for scenario in scenarios::ALL {
        let (one, other) = run::both(&Kind::Swtpm, &Kind::Swtpm, 1, &scenario.run).unwrap();
        report.add(
            Comparer::default().compare(scenario.name, &one.transcript, &other.transcript),
            &list,
        );
    }
    assert!(report.unexplained.is_empty(), "{}", report.details(40));
}
