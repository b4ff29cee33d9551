//! TPM2_CertifyCreation — Part 3, 18.3.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;
use crate::types::ticket::CreationTicket;

command! {
    /// TPM2_CertifyCreation: signs that this TPM made an object, under the circumstances that its ticket is for.
    CertifyCreation = 0x14A, [];
    handles { signer: ObjectOrNull @ User, object: Object }
    params {
        qualifying_data: Data,
        creation_hash: Digest,
        in_scheme: SigScheme,
        creation_ticket: CreationTicket,
    }
    reply {
        certify_info: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let scheme = tpm.attestation_scheme((handles.signer, 1), (params.in_scheme.0, 3))?;
    let object_name = tpm.name(handles.object);
    tpm.check_ticket(&params.creation_ticket.0, &[&object_name, &params.creation_hash])
        .map_err(|code| code.parameter(4))?;
    let attested = Attested::Creation {
        object_name,
        creation_hash: params.creation_hash,
    };
    let (certify_info, signature) = tpm.attest(handles.signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply {
        certify_info,
        signature,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{ENDORSEMENT, NULL, Parts, Template, creation, sized};
    use crate::testing::{Bench, hex};

    const CERTIFY: u32 = 0x148;
    const CERTIFY_CREATION: u32 = 0x14A;

    #[test]
    fn certifies_only_what_the_ticket_is_for() {
        let mut tpm = Bench::started();
        let template = Template::attestation_key();
        let (key, reply) = tpm.ok_handle(0x131, &[ENDORSEMENT], b"", &creation(&template, b"", b""));
        let mut parts = Parts(&reply);
        parts.take();
        parts.take();
        let hash = parts.take().to_vec();
        let ticket = parts.0[..6 + 2 + 64].to_vec();
        let params = |hash: &[u8], scheme: &str, ticket: &[u8]| {
            [sized(&[b"nonce", hash]), hex(scheme), ticket.to_vec()].concat()
        };
        let name = tpm.names(key).0;
        for signer in [key, NULL] {
            let good = params(&hash, "0010", &ticket);
            let reply = crate::testing::with_passwords(CERTIFY_CREATION, &[signer, key], &[b""], &good);
            let (code, response) = tpm.run(&reply);
            assert_eq!(code, 0);
            let mut parts = Parts(&response[14..]);
            let info = parts.take();
            assert_eq!(info[..6], hex("ff544347 801a"));
            assert!(info.ends_with(&sized(&[&name, &hash])));
        }
        let mut forged = ticket.clone();
        forged[20] ^= 1;
        for (code, params) in [
            (0x4E0, params(&hash[1..], "0010", &ticket)),
            (0x4E0, params(&hash, "0010", &forged)),
            (0x4E0, params(&hash, "0010", &hex("8021 40000007 0000"))),
            (0x4D7, params(&hash, "0010", &hex("8022 40000007 0000"))),
            (0x3D2, params(&hash, "0018 000c", &ticket)),
        ] {
            let command = crate::testing::with_passwords(CERTIFY_CREATION, &[key, key], &[b""], &params);
            assert_eq!(tpm.run(&command).0, code);
        }
    }

    #[test]
    fn certify_names_the_object_and_where_it_stands() {
        let mut tpm = Bench::started();
        let key = tpm.primary(ENDORSEMENT, &Template::attestation_key());
        let storage = tpm.primary(ENDORSEMENT, &Template::srk());
        let (name, qualified) = tpm.names(storage);
        let params = [sized(&[b"nonce"]), hex("0010")].concat();
        for signer in [key, NULL] {
            let reply = tpm.ok_with(CERTIFY, &[storage, signer], &[b"", b""], &params);
            let mut parts = Parts(&reply);
            let info = parts.take();
            assert_eq!(info[..6], hex("ff544347 8017"));
            assert!(info.ends_with(&sized(&[&name, &qualified])));
            assert_eq!(parts.0.starts_with(&hex("0010")), signer == NULL);
        }
        assert_eq!(tpm.code_with(CERTIFY, &[key, storage], &params), 0x29C);
    }
}
