//! TPM2_Quote — Part 3, 18.4.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::pcr::PcrSelections;
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;

command! {
    /// TPM2_Quote: signs PCR values.
    Quote = 0x158, [];
    handles { signer: ObjectOrNull @ User }
    params {
        qualifying_data: Data,
        in_scheme: SigScheme,
        pcr_select: PcrSelections,
    }
    reply {
        quoted: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let scheme = tpm.attestation_scheme((handles.signer, 1), (params.in_scheme.0, 2))?;
    let selections = tpm.pcrs.filter(&params.pcr_select);
    // Where nobody signs, nobody chose the hash of the PCR digest.
    let hash = scheme.and_then(|scheme| scheme.hash).ok_or(Rc::SCHEME.parameter(2))?;
    let attested = Attested::Quote {
        pcr_digest: tpm.pcrs.digest(hash, &selections),
        selections,
    };
    let (quoted, signature) = tpm.attest(handles.signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply { quoted, signature })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{ENDORSEMENT, NULL, OWNER, Parts, Template, attr, sha256, sized};
    use crate::testing::{Bench, hex, plain, with_passwords};

    const QUOTE: u32 = 0x158;

    fn params(scheme: &str) -> Vec<u8> {
        [sized(&[b"nonce"]), hex(scheme), hex("00000001 000b 03 010000")].concat()
    }

    #[test]
    fn a_quote_names_signer_nonce_and_pcr_and_verifies() {
        let mut tpm = Bench::started();
        let key = tpm.primary(ENDORSEMENT, &Template::attestation_key());
        let (_, qualified) = tpm.names(key);
        let reply = tpm.ok_with(QUOTE, &[key], &[b""], &params("0010"));
        let mut parts = Parts(&reply);
        let quoted = parts.take();
        let signature = parts.0;
        let (magic, rest) = quoted.split_at(6);
        assert_eq!(magic, hex("ff544347 8018"));
        let mut rest = Parts(rest);
        assert_eq!((rest.take(), rest.take()), (&qualified[..], &b"nonce"[..]));
        // clock, counts, safe and firmware version; then the selection and the digest of a PCR of zeros
        let expected = [hex("00000001 000b 03 010000 0020"), sha256(&[&[0; 32]])].concat();
        assert_eq!(rest.0[25..], expected);
        let body = [&key.to_be_bytes()[..], &sized(&[&sha256(&[quoted])]), signature].concat();
        assert_eq!(tpm.run(&plain(0x177, &body)).0, 0);
    }

    #[test]
    fn keys_outside_the_endorsement_hierarchy_do_not_tell_counts_and_version() {
        let mut tpm = Bench::started();
        let mut counts = |hierarchy: u32| {
            let key = tpm.primary(hierarchy, &Template::attestation_key());
            let reply = tpm.ok_with(QUOTE, &[key], &[b""], &params("0010"));
            let mut parts = Parts(Parts(&reply).take());
            parts.0 = &parts.0[6..];
            parts.take();
            parts.take();
            parts.0[8..25].to_vec()
        };
        let candid = counts(ENDORSEMENT);
        assert_eq!(candid[8], 1, "the clock is safe");
        let version = crate::commands::capability::properties::FIRMWARE_VERSION;
        assert_eq!(candid[9..], version.to_be_bytes());
        let hidden = counts(OWNER);
        assert_ne!(hidden[..8], candid[..8]);
        assert_ne!(hidden[9..], candid[9..]);
        assert_eq!(hidden, counts(OWNER), "the same key always hides them in the same way");
    }

    #[test]
    fn refuses_keys_that_do_not_sign_and_schemes_that_do_not_suit() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::attestation_key());
        let storage = tpm.primary(OWNER, &Template::srk());
        let cipher = tpm.primary(OWNER, &Template::aes(attr::OWN | attr::SIGN));
        for (code, signer, scheme) in [
            (0x19C, storage, "0010"),
            (0x19C, cipher, "0010"),
            (0x2D2, key, "0018 000c"),
            (0x2D2, key, "0014 000b"),
            (0x2D2, NULL, "0010"),
        ] {
            assert_eq!(tpm.code_with(QUOTE, &[signer], &params(scheme)), code, "{scheme}");
        }
        let long = [sized(&[&[1; 67]]), hex("0010 00000000")].concat();
        assert_eq!(tpm.code_with(QUOTE, &[key], &long), 0x1D5);
        let wrong = with_passwords(QUOTE, &[key], &[b"wrong"], &params("0010"));
        assert_eq!(tpm.run(&wrong).0, 0x9A2);
    }
}
