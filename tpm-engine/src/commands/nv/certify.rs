//! TPM2_NV_Certify — Part 3, 31.16.

use crate::bytes::Digest;
use crate::crypto::hash::hash;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;
use crate::types::{Data, MaxNvBuffer};

command! {
    /// TPM2_NV_Certify: signs contents of an index.
    NvCertify = 0x184, [NvRead];
    handles { sign_handle: ObjectOrNull @ User, auth_handle: NvAuth @ User, nv_index: NvIndex }
    params { qualifying_data: Data, in_scheme: SigScheme, size: u16, offset: u16 }
    reply { certify_info: AttestData, signature: Signature }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let index = handles.nv_index;
    let scheme = tpm.attestation_scheme((handles.sign_handle, 1), (params.in_scheme.0, 2))?;
    tpm.check_nv_read(handles.auth_handle, index)?;
    let contents = tpm.nv_range(index, params.offset, params.size)?;
    if contents.len() > MaxNvBuffer::CAPACITY {
        return Err(Rc::VALUE.parameter(3));
    }
    let index_name = tpm.name(index);
    let attested = if params.size == 0 && params.offset == 0 {
        // Nothing asked for is a digest over all, for what would not fit.
        let alg = scheme.and_then(|scheme| scheme.hash);
        Attested::NvDigest {
            index_name,
            nv_digest: match alg {
                Some(alg) => hash(alg, &[tpm.nv_data(index)?]),
                None => Digest::EMPTY,
            },
        }
    } else {
        Attested::Nv {
            index_name,
            offset: params.offset,
            contents: Box::new(MaxNvBuffer::truncated(contents)),
        }
    };
    let (certify_info, signature) = tpm.attest(handles.sign_handle, scheme, &params.qualifying_data, attested)?;
    Ok(Reply {
        certify_info,
        signature,
    })
}

#[cfg(test)]
mod tests {
    use crate::commands::nv::tests::{INDEX, PLAIN, define, write};
    use crate::testing::{Bench, hex, with_passwords};

    const NULL: u32 = 0x4000_0007;

    fn certify(tpm: &mut Bench, scheme: &str, size: u16, offset: u16) -> Result<Vec<u8>, u32> {
        let params = [
            hex("0002 7171"),
            hex(scheme),
            size.to_be_bytes().to_vec(),
            offset.to_be_bytes().to_vec(),
        ]
        .concat();
        let command = with_passwords(0x184, &[NULL, INDEX, INDEX], &[b"", b""], &params);
        let (code, response) = tpm.run(&command);
        if code == 0 {
            Ok(response[14..].to_vec())
        } else {
            Err(code)
        }
    }

    #[test]
    fn nobody_certifies_contents_or_their_absence() {
        let mut tpm = Bench::started();
        define(&mut tpm, INDEX, PLAIN, 16);
        assert_eq!(certify(&mut tpm, "0010", 1, 0), Err(0x14A));
        write(&mut tpm, INDEX, &[0x41; 16], 0);
        let name = tpm.tpm.name(crate::handle::Handle(INDEX));
        // TPM_GENERATED_VALUE, TPM_ST_ATTEST_NV, the null signer, extraData; at the end Name, offset and contents.
        let contents = certify(&mut tpm, "0010", 4, 2).unwrap();
        assert_eq!(contents[2..18], hex("ff544347 8014 0004 40000007 0002 7171"));
        let tail = [&[0, 34][..], &name, &hex("0002 0004 41414141 0010")].concat();
        assert_eq!(contents[2 + 4 + 2 + 6 + 4 + 17 + 8..][..tail.len()], tail);
        // TPM_ST_ATTEST_NV_DIGEST: without a scheme there is no hash.
        let digest = certify(&mut tpm, "0010", 0, 0).unwrap();
        assert_eq!(digest[6..8], [0x80, 0x1C]);
        let tail = [&[0, 34][..], &name, &hex("0000 0010")].concat();
        assert_eq!(digest[2 + 4 + 2 + 6 + 4 + 17 + 8..][..tail.len()], tail);
    }

    #[test]
    fn the_range_must_lie_in_the_index() {
        let mut tpm = Bench::started();
        define(&mut tpm, INDEX, PLAIN, 2048);
        write(&mut tpm, INDEX, &[0x41; 16], 0);
        assert!(certify(&mut tpm, "0010", 0, 2048).is_ok());
        assert_eq!(certify(&mut tpm, "0010", 1, 2048), Err(0x146));
        assert_eq!(certify(&mut tpm, "0010", 2049, 0), Err(0x146));
        assert_eq!(certify(&mut tpm, "0010", 1025, 0), Err(0x3C4));
        assert_eq!(certify(&mut tpm, "0099", 0, 0), Err(0x2D2));
    }
}
