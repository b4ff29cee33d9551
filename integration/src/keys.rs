//! Keys that both TPMs are given, so that what they compute with them is the same.

use anyhow::Result;

use crate::build::{Public, point, sensitive};
use crate::codes::{alg, curve, oa};
use crate::crypto;
use crate::wire::Out;

/// Modulus and first prime of an RSA key of 1024 bits, made for these tests by OpenSSL.
const RSA_1024: (&str, &str) = (
    "\
     a8a2b90f99afd7feb39da1e72ecbf8fda34b0f044605d357d31e315555dd205f45ff8d52b9960f082e31f747ac61e657f24c14d8\
     2d1e562d9f6fb175c515a012f1df8eaafb56f4b11861ef81d6793bfb75c1c4b15c347a7462868559fb49f7f9b8b9f2557d111f7b\
     23ada5cff38128ed541b9ef322f4290b5fa573893c5e7921\
",
    "\
     d5d1e3b2332bcf3f85007228affa44ff67ff922fa17ee2a0703747843fee2699418e8fa6f0771ccea8f1351a9c822ef95d4ac7df\
     94d1430e8f2fd95e4297ded1\
",
);

/// Modulus and first prime of an RSA key of 2048 bits, made for these tests by OpenSSL.
const RSA_2048: (&str, &str) = (
    "\
     cc460f34860acc3f9e7f1b05eaf045c186a34d5e577def6856f590fb55689b29510ceab158f3d949c7a5a7508968423771e7bad1\
     bd0b4dc0328b463ef0c4e258dceaa75b874611f80351863689fb598658cae3443c04d62d1703f2929bd0c3758aec1963e974139a\
     548dd77811581ebe569287178e833474b1537f729e8fe128c6661ef4f59731b46b400f923c78cc0346450e50ebd8fb67b9848ba9\
     ea55e70d21ad43f425ec0027112c3c98fbe8cc51ff128eaab2dbc2bd8d20e8f367c568a340fc01d38a71db3873b54c46e6424978\
     ba59564405edb79cb7098e44e4caf789eab5d179d2aeb3e5032c792ae8d7b8d76a11a11a868a51bd96fb09ef3930e3c7\
",
    "\
     e8ce8c01e23bb5c02e1d074aa4d7bb25e8186a4ab8234b4891021098a3aa0ecd02e1608f2963460e1c44dbc9b3209ec9788a44c2\
     557dd92ef6f8311d235278c459098fdcb4c8abd625b39dcdd522172ef6a7c3833576a14303ba0f75f01345f8e649e9ae4c3188b8\
     d5ecf38c291e5e2e50db370958ad8eb972257988cfca1a85\
",
);

/// A key that is known: what LoadExternal, Import and Create under a known parent take.
#[derive(Debug, Clone)]
pub struct Key {
    /// TPMT_PUBLIC.
    pub public: Public,
    /// TPMT_SENSITIVE.
    pub sensitive: Vec<u8>,
}

/// Bytes from hex.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .unwrap_or(0)
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| (digit(pair[0]) << 4) | digit(pair[1]))
        .collect()
}

impl Key {
    /// An RSA key of 1024 or 2048 bits with this scheme.
    #[must_use]
    pub fn rsa(bits: u16, scheme: &[u16], attributes: u32, auth: &[u8]) -> Self {
        let (modulus, prime) = if bits == 1024 { RSA_1024 } else { RSA_2048 };
        let public = Public::rsa(bits, scheme, attributes).external();
        Self {
            public: public.unique(Out::new().b2(&unhex(modulus)).0),
            sensitive: sensitive(alg::RSA, auth, &[], &unhex(prime)),
        }
    }

    /// An RSA storage parent of 2048 bits.
    #[must_use]
    pub fn rsa_parent(seed: &[u8]) -> Self {
        let public = Public::rsa_parent(2048).external();
        Self {
            public: public.unique(Out::new().b2(&unhex(RSA_2048.0)).0),
            sensitive: sensitive(alg::RSA, &[], seed, &unhex(RSA_2048.1)),
        }
    }

    /// A P-256 key with this scalar.
    ///
    /// # Errors
    /// The scalar is zero.
    pub fn ecc(scalar: [u8; 32], scheme: &[u16], attributes: u32, auth: &[u8]) -> Result<Self> {
        let (x, y) = crypto::p256_public(&scalar)?;
        let public = Public::ecc(curve::P256, scheme, attributes).external();
        Ok(Self {
            public: public.unique(point(&x, &y)),
            sensitive: sensitive(alg::ECC, auth, &[], &scalar),
        })
    }

    /// A P-256 storage parent.
    ///
    /// # Errors
    /// The scalar is zero.
    pub fn ecc_parent(scalar: [u8; 32], seed: &[u8]) -> Result<Self> {
        let (x, y) = crypto::p256_public(&scalar)?;
        Ok(Self {
            public: Public::ecc_parent().external().unique(point(&x, &y)),
            sensitive: sensitive(alg::ECC, &[], seed, &scalar),
        })
    }

    /// An HMAC key of this hash.
    ///
    /// # Errors
    /// The hash is unknown.
    pub fn hmac(hash: u16, secret: &[u8], auth: &[u8]) -> Result<Self> {
        Self::hidden(Public::hmac_key(hash), alg::KEYEDHASH, secret, auth)
    }

    /// Sealed data.
    ///
    /// # Errors
    /// None for SHA-256.
    pub fn sealed(data: &[u8], auth: &[u8]) -> Result<Self> {
        Self::hidden(Public::sealed(), alg::KEYEDHASH, data, auth)
    }

    /// A key for a block cipher.
    ///
    /// # Errors
    /// None for SHA-256.
    pub fn symmetric(cipher: u16, mode: u16, secret: &[u8], auth: &[u8]) -> Result<Self> {
        let bits = u16::try_from(secret.len() * 8)?;
        Self::hidden(Public::symmetric(cipher, bits, mode), alg::SYMCIPHER, secret, auth)
    }

    /// An object whose unique field is a digest of its seed and secret (Part 1, 27.5.3.2).
    fn hidden(public: Public, kind: u16, secret: &[u8], auth: &[u8]) -> Result<Self> {
        let seed = crypto::hash(public.name_alg, &[b"seed", secret])?;
        let unique = crypto::hash(public.name_alg, &[&seed, secret])?;
        Ok(Self {
            public: public.external().unique(Out::new().b2(&unique).0),
            sensitive: sensitive(kind, auth, &seed, secret),
        })
    }

    /// With these attributes set.
    #[must_use]
    pub fn set(mut self, attributes: u32) -> Self {
        self.public = self.public.set(attributes);
        self
    }

    /// With this authPolicy.
    #[must_use]
    pub fn policy(mut self, policy: &[u8]) -> Self {
        self.public = self.public.policy(policy);
        self
    }

    /// An ECDSA P-256 signing key.
    ///
    /// # Errors
    /// The scalar is zero.
    pub fn ecdsa(scalar: [u8; 32]) -> Result<Self> {
        Self::ecc(scalar, &[alg::ECDSA, alg::SHA256], oa::SIGN, &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moduli_have_their_size() {
        assert_eq!(unhex(RSA_1024.0).len(), 128);
        assert_eq!(unhex(RSA_1024.1).len(), 64);
        assert_eq!(unhex(RSA_2048.0).len(), 256);
        assert_eq!(unhex(RSA_2048.1).len(), 128);
    }
}
