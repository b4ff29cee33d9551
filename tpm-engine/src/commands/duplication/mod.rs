//! Duplication (Part 3, 13): objects on their way to another parent.

pub(crate) mod duplicate;
pub(crate) mod import;
pub(crate) mod rewrap;

use crate::keys::protect::Plain;
use crate::rc::{Rc, RcResult};
use crate::types::Private;

/// The label of the seeds of outer wrappers (Part 1, 22.6).
const LABEL: &[u8] = b"DUPLICATE";

/// A TPM2B_PRIVATE of a duplicate.
fn private(bytes: &[u8]) -> RcResult<Private> {
    Private::new(bytes).ok_or(Rc::SIZE)
}

/// What a TPM2B_PRIVATE holds, as plain text to work on.
fn plain(private: &Private) -> Plain {
    Plain::new(private.iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{Blob, NULL, OWNER, Parts, Template, attr, sha256, sized};
    use crate::testing::session::{Entity, Start};
    use crate::testing::{Bench, hex, with_passwords};

    const DUPLICATE: u32 = 0x14B;
    const REWRAP: u32 = 0x152;
    const IMPORT: u32 = 0x156;
    const AES: &str = "0006 0080 0043";
    const NO_CIPHER: &str = "0010";

    /// The policy that lets an object be duplicated: TPM2_PolicyCommandCode.
    fn policy() -> Vec<u8> {
        sha256(&[&[0; 32], &0x16Cu32.to_be_bytes(), &DUPLICATE.to_be_bytes()])
    }

    fn sealed(attributes: u32) -> Template {
        Template {
            policy: policy(),
            ..Template::keyed_hash(attr::USER | attr::NO_DA | attributes)
        }
    }

    #[derive(Debug, Clone)]
    struct Moved {
        key: Vec<u8>,
        duplicate: Vec<u8>,
        seed: Vec<u8>,
    }

    fn duplicate(tpm: &mut Bench, object: u32, parent: u32, key: &[u8], cipher: &str) -> Result<Moved, u32> {
        let mut session = Start::policy().run(tpm).unwrap();
        tpm.policy(session.handle, 0x16C, "0000014b").unwrap();
        let named = |tpm: &mut Bench, handle: u32| match handle {
            NULL => Entity::of(NULL),
            _ => {
                let name = tpm.names(handle).0;
                Entity::named(handle, &name)
            }
        };
        let entities = [named(tpm, object), named(tpm, parent)];
        let params = [sized(&[key]), hex(cipher)].concat();
        let reply = tpm.send(DUPLICATE, &entities, &mut [session.with(0)], &params)?;
        let mut parts = Parts(&reply);
        Ok(Moved {
            key: parts.take().to_vec(),
            duplicate: parts.take().to_vec(),
            seed: parts.take().to_vec(),
        })
    }

    fn import_params(key: &[u8], public: &[u8], moved: &Moved, cipher: &str) -> Vec<u8> {
        [sized(&[key, public, &moved.duplicate, &moved.seed]), hex(cipher)].concat()
    }

    fn unseal_imported(tpm: &mut Bench, parent: u32, params: &[u8], public: &[u8]) {
        let reply = tpm.ok_with(IMPORT, &[parent], &[b""], params);
        let blob = Blob {
            private: Parts(&reply).take().to_vec(),
            public: public.to_vec(),
        };
        let handle = tpm.load(parent, &blob);
        assert_eq!(tpm.ok_with(0x15E, &[handle], &[b"auth"], b""), b"\0\x06sealed");
        tpm.tpm.objects.remove(crate::handle::Handle(handle));
    }

    #[test]
    fn every_kind_of_wrapper_comes_off_again() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let rsa = tpm.primary(OWNER, &Template::rsa(attr::OWN | attr::STORAGE));
        for attributes in [0, attr::ENCRYPTED_DUPLICATION] {
            let blob = tpm.create(parent, &sealed(attributes), b"auth", b"sealed");
            let object = tpm.load(parent, &blob);
            for (target, given, cipher) in [
                (parent, &b""[..], AES),
                (parent, &[7; 16], AES),
                (rsa, b"", AES),
                (parent, b"", NO_CIPHER),
                (NULL, b"", NO_CIPHER),
                (NULL, b"", AES),
            ] {
                if attributes != 0 && (target == NULL || cipher == NO_CIPHER) {
                    continue;
                }
                let moved = duplicate(&mut tpm, object, target, given, cipher).unwrap();
                assert_eq!(moved.seed.is_empty(), target == NULL);
                assert_eq!(moved.key.is_empty(), !given.is_empty() || cipher == NO_CIPHER);
                let key = if given.is_empty() { &moved.key[..] } else { given };
                let home = if target == NULL { parent } else { target };
                let params = import_params(key, &blob.public, &moved, cipher);
                unseal_imported(&mut tpm, home, &params, &blob.public);
            }
            tpm.tpm.objects.remove(crate::handle::Handle(object));
        }
    }

    #[test]
    fn a_duplicate_can_be_wrapped_for_another_parent() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let other = tpm.primary(OWNER, &Template::srk().with_unique(&sized(&[&[1], b""])));
        let blob = tpm.create(parent, &sealed(0), b"auth", b"sealed");
        let object = tpm.load(parent, &blob);
        let name = tpm.names(object).0;
        let moved = duplicate(&mut tpm, object, parent, b"", NO_CIPHER).unwrap();
        let params = sized(&[&moved.duplicate, &name, &moved.seed]);
        for target in [other, NULL] {
            let command = with_passwords(REWRAP, &[parent, target], &[b""], &params);
            let (code, response) = tpm.run(&command);
            assert_eq!(code, 0);
            let mut parts = Parts(&response[14..]);
            let rewrapped = Moved {
                key: Vec::new(),
                duplicate: parts.take().to_vec(),
                seed: parts.take().to_vec(),
            };
            let params = import_params(b"", &blob.public, &rewrapped, NO_CIPHER);
            unseal_imported(&mut tpm, other, &params, &blob.public);
        }
        let mut code = |old: u32, duplicate: &[u8], name: &[u8], seed: &[u8]| {
            let params = sized(&[duplicate, name, seed]);
            tpm.run(&with_passwords(REWRAP, &[old, other], &[b""], &params)).0
        };
        assert_eq!(code(NULL, &moved.duplicate, &name, &moved.seed), 0x18B);
        assert_eq!(code(parent, &moved.duplicate, &name, b""), 0x18B);
        assert_eq!(code(parent, &moved.duplicate, &name[1..], &moved.seed), 0x1DF);
        assert_eq!(code(parent, &moved.duplicate, &name, &moved.seed[1..]), 0x3C4);
        assert_eq!(code(object, &moved.duplicate, &name, &moved.seed), 0x9A2);
    }

    #[test]
    fn what_may_not_leave_does_not() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let fixed = tpm.child(parent, &sealed(attr::FIXED_TPM | attr::FIXED_PARENT), b"", b"x");
        let wrapped = tpm.child(parent, &sealed(attr::ENCRYPTED_DUPLICATION), b"", b"x");
        let free = tpm.child(parent, &sealed(0), b"", b"x");
        for (code, object, target, key, cipher) in [
            (0x182, fixed, parent, &b""[..], NO_CIPHER),
            (0x2D6, wrapped, parent, b"", NO_CIPHER),
            (0x285, wrapped, NULL, b"", AES),
            (0x28A, free, free, b"", AES),
            (0x1D5, free, parent, &[1; 15], AES),
            (0x1D5, free, parent, &[1; 16], NO_CIPHER),
        ] {
            let refused = duplicate(&mut tpm, object, target, key, cipher).unwrap_err();
            assert_eq!(refused, code, "{object:x} {target:x} {cipher}");
        }
        // The authorization value never suffices.
        let password = with_passwords(DUPLICATE, &[free, parent], &[b""], &hex("0000 0010"));
        assert_eq!(tpm.run(&password).0, 0x124);
    }

    #[test]
    fn import_refuses_what_was_changed_or_does_not_fit() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let blob = tpm.create(parent, &sealed(0), b"auth", b"sealed");
        let object = tpm.load(parent, &blob);
        let moved = duplicate(&mut tpm, object, parent, &[7; 16], AES).unwrap();
        let changed = |at: usize| {
            let mut other = moved.clone();
            other.duplicate[at] ^= 1;
            other
        };
        let unseeded = Moved {
            seed: Vec::new(),
            ..moved.clone()
        };
        let last = moved.duplicate.len() - 1;
        let fixed = Template::keyed_hash(attr::FIXED_PARENT).bytes();
        let wrapped = sealed(attr::ENCRYPTED_DUPLICATION).bytes();
        for (code, params) in [
            (0x3DF, import_params(&[7; 16], &blob.public, &changed(2), AES)),
            (0x3DF, import_params(&[7; 16], &blob.public, &changed(last), AES)),
            (0x1D5, import_params(&[7; 15], &blob.public, &moved, AES)),
            (0x1D5, import_params(&[7; 16], &blob.public, &moved, NO_CIPHER)),
            (0x2C2, import_params(&[7; 16], &fixed, &moved, AES)),
            (0x1C2, import_params(b"", &wrapped, &moved, NO_CIPHER)),
            (0x4C2, import_params(&[7; 16], &wrapped, &unseeded, AES)),
        ] {
            assert_eq!(tpm.code_with(IMPORT, &[parent], &params), code);
        }
        let wrong_key = import_params(&[8; 16], &blob.public, &moved, AES);
        assert_ne!(tpm.code_with(IMPORT, &[parent], &wrong_key), 0);
        let under_sealed = import_params(&[7; 16], &blob.public, &moved, AES);
        let command = with_passwords(IMPORT, &[object], &[b"auth"], &under_sealed);
        assert_eq!(tpm.run(&command).0, 0x18A);
    }

    #[test]
    fn import_checks_keys_for_a_parent_that_load_trusts() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let x = hex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
        let y = hex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
        let public = Template::ecc(attr::USER | attr::SIGN)
            .with_unique(&sized(&[&x, &y]))
            .bytes();
        for (code, scalar) in [(0x000, 1), (0x0A5, 2), (0x087, 0)] {
            let area = [hex("0023"), sized(&[b"", b"", &[scalar]])].concat();
            let plain = Moved {
                key: Vec::new(),
                duplicate: sized(&[&area]),
                seed: Vec::new(),
            };
            let params = import_params(b"", &public, &plain, NO_CIPHER);
            assert_eq!(tpm.code_with(IMPORT, &[parent], &params), code, "{scalar}");
        }
    }
}
