use super::*;
use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::crypto::testing::{hex, to_hex};

/// Made by OpenSSL 3.5; the keys and signatures are also those of RFC 6979, A.2 (message "sample").
struct Vector {
    curve: Curve,
    scalar: &'static str,
    public: (&'static str, &'static str),
    signatures: &'static [(HashAlg, &'static str, &'static str)],
    /// Another point and its product with the scalar.
    peer: (&'static str, &'static str),
    z: &'static str,
}

fn point(x: &str, y: &str) -> Point {
    Point {
        x: Coordinate::new(&hex(x)).unwrap(),
        y: Coordinate::new(&hex(y)).unwrap(),
    }
}

fn rng() -> HmacDrbg {
    HmacDrbg::new(b"an ECC test", &[], &[])
}

const VECTORS: &[Vector] = &[
    Vector {
        curve: Curve::P256,
        scalar: "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
        public: (
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "61340c88c3aaebeb4f6d667f672ca9759a6ccaa9fa8811313039ee4a35471d32",
                "6d7f147dac089441bb2e2fe8f7a3fa264b9c475098fdcf6e00d7c996e1b8b7eb",
            ),
            (
                HashAlg::Sha256,
                "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
                "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
            ),
            (
                HashAlg::Sha512,
                "8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00",
                "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe",
            ),
        ],
        peer: (
            "2b68a03907aec4d4000b37f25b3ff39f0f719860a790efcd55003829ea2ffac4",
            "4949e7facf9fcd7a812f99309c9c8ae0d68cca3d3e16d4caca76623188fb0393",
        ),
        z: "63f4d4d7a4384cf0e94ee69a424268b7cdd3a64971bb2ecde1525b7e8181d362",
    },
    Vector {
        curve: Curve::P384,
        scalar: "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
        public: (
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13",
            "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "ec748d839243d6fbef4fc5c4859a7dffd7f3abddf72014540c16d73309834fa37b9ba002899f6fda3a4a9386790d4eb2",
                "a3bcfa947beef4732bf247ac17f71676cb31a847b9ff0cbc9c9ed4c1a5b3facf26f49ca031d4857570ccb5ca4424a443",
            ),
            (
                HashAlg::Sha256,
                "21b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33bde1e888e63355d92fa2b3c36d8fb2cd",
                "f3aa443fb107745bf4bd77cb3891674632068a10ca67e3d45db2266fa7d1feebefdc63eccd1ac42ec0cb8668a4fa0ab0",
            ),
            (
                HashAlg::Sha512,
                "ed0959d5880ab2d869ae7f6c2915c6d60f96507f9cb3e047c0046861da4a799cfe30f35cc900056d7c99cd7882433709",
                "512c8cceee3890a84058ce1e22dbc2198f42323ce8aca9135329f03c068e5112dc7cc3ef3446defceb01a45c2667fdd5",
            ),
        ],
        peer: (
            "8cfd9e9144b6fcece93fae5199fe828c2a221081fe86b3baa47a1823e489c08123aef60d63e892601bfa12dd56c1a93a",
            "980dc5189b64bc521bc0ac645ed3aa92003b4c37a472d650ad9882625aad8238ebee16fc15374826fc7c10bb6b77d02e",
        ),
        z: "a111ab050e513a6236c461d28431e42eff6ee083cb7479f5418418fd327f332c0960dcc668d5337eb121862371165f34",
    },
    Vector {
        curve: Curve::P192,
        scalar: "006fab034934e4c0fc9ae67f5b5659a9d7d1fefd6ee09fd4",
        public: (
            "8ffcf33b37529a12f362deaef9025439212b7bdad1f9e48d",
            "e79687050d661e816fe108b7f5f035fa63911ad858996640",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "a1ced0e269a3641fda70e364ad74fa819ff491d6115b6024",
                "f283c601ed41a1df3767a0eef8f3eafcc0ef0ac938f2a4e2",
            ),
            (
                HashAlg::Sha256,
                "6ae36d4a5fe857c7edc220fc6500d6f42bc5dcd062ffed10",
                "57bf6d16230498723f8ece8c11050ffdc27e8cfeadf7943b",
            ),
            (
                HashAlg::Sha512,
                "e1d6076c9e02587297083cbf6fc0c4881c865854689e819e",
                "960d6f25744d0447d94fa04eb145d27094258008289c9bb7",
            ),
        ],
        peer: (
            "1b209634200ab5ec7f42f0937b2edce74c37efcc0aa73bac",
            "30bbadcdc1abaef539b31a2271435f2dbf35ad93794aa02b",
        ),
        z: "d11bbc6635c63266419cbe77c9b2a423979c0b0f115e2c30",
    },
    Vector {
        curve: Curve::P224,
        scalar: "f220266e1105bfe3083e03ec7a3a654651f45e37167e88600bf257c1",
        public: (
            "00cf08da5ad719e42707fa431292dea11244d64fc51610d94b130d6c",
            "eeab6f3debe455e3dbf85416f7030cbd94f34f2d6f232c69f3c1385a",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "22226f9d40a96e19c4a301ce5b74b115303c0f3a4fd30fc257fb57ac",
                "66d1cdd83e3af75605dd6e2feff196d30aa7ed7a2edf7af475403d69",
            ),
            (
                HashAlg::Sha256,
                "61aa3da010e8e8406c656bc477a7a7189895e7e840cdfe8ff42307ba",
                "bc814050dab5d23770879494f9e0a680dc1af7161991bde692b10101",
            ),
            (
                HashAlg::Sha512,
                "074bd1d979d5f32bf958ddc61e4fb4872adcafeb2256497cdac30397",
                "a4ceca196c3d5a1ff31027b33185dc8ee43f288b21ab342e5d8eb084",
            ),
        ],
        peer: (
            "07d75defb0843f47ca1d0161a2fff3485bbc375e70510ac558986eb4",
            "66f1e9e2ec2f98895856f584f077b7861c4a48359bf8ecc987ef979f",
        ),
        z: "4b8f7528502a7742ecf0d515189c0bf3cd2d5d58264bfa8dc3610561",
    },
    Vector {
        curve: Curve::P521,
        scalar: "00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
        public: (
            "01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7f20fb633155d38ffa16d2bd761dcac474b9a2f5023a4",
            "00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0db25741b5b34a828008b22acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "00343b6ec45728975ea5cba6659bbb6062a5ff89eea58be3c80b619f322c87910fe092f7d45bb0f8eee01ed3f20babec079d202ae677b243ab40b5431d497c55d75d",
                "00e7b0e675a9b24413d448b8cc119d2bf7b2d2df032741c096634d6d65d0dbe3d5694625fb9e8104d3b842c1b0e2d0b98bea19341e8676aef66ae4eba3d5475d5d16",
            ),
            (
                HashAlg::Sha256,
                "01511bb4d675114fe266fc4372b87682baecc01d3cc62cf2303c92b3526012659d16876e25c7c1e57648f23b73564d67f61c6f14d527d54972810421e7d87589e1a7",
                "004a171143a83163d6df460aaf61522695f207a58b95c0644d87e52aa1a347916e4f7a72930b1bc06dbe22ce3f58264afd23704cbb63b29b931f7de6c9d949a7ecfc",
            ),
            (
                HashAlg::Sha512,
                "00c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa",
                "00617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
            ),
        ],
        peer: (
            "0187f99f31ed2329d0e4d0d0a8e71131aa0b8b4a10dfe431dd0d6f1a44135c6d135c72b070d9a2a6154355eab88154c020faefb42ae39a5cddefe5915e19e2f88589",
            "01d15b35a1bf530e11fc4696b6891bdaeca379f474f25254262b4188c4fa0f967121312050d7337a473f5cae26894598ab80443486bef3db91537e52cf7927eeadc0",
        ),
        z: "00d50dfb64c826802d5d1d1d4a43616e873bcfae5d15d563ef5d8adc94f2fba84f55183885fabb017a4ff33866dfd808e3acf2718d417c33584c036dc83de2ca9428",
    },
    // Made by a plain implementation of the group law in another language.
    Vector {
        curve: Curve::BnP256,
        scalar: "cbdef82ef11041e5bf3757d6b6be9156d0996bc87974bd3001bebfc348488674",
        public: (
            "d9ce2824281b56a091ebe6b70309d40e661f69fa95be2954e45b40c0dd9e3089",
            "4daf526ebe2cc1ce2804b41fa6af135e139e4260dfa29ae735ea6e9228f2de47",
        ),
        signatures: &[
            (
                HashAlg::Sha256,
                "32d573065b47c6fdab861b0bd863c44638fa43fd8baa9ef8c3661d1164cc7f62",
                "33ac9c0c892e2958f3cfb0265f42cf3ead737e00e1d56a8040701bf8769bb661",
            ),
            (
                HashAlg::Sha512,
                "32d573065b47c6fdab861b0bd863c44638fa43fd8baa9ef8c3661d1164cc7f62",
                "fd3e8e5d12cbd62480ff0de5c7a029561dbbe827c2f35abe4790eb66b8da9102",
            ),
        ],
        peer: (
            "44331a596898052504a79c7ada22d2b9e4563f0d225a9b777faf4fa0d0d18a0f",
            "a80d754cf5bd97b4131310e40afd2d3bf5a822b3c23aa050837a9f1ad338eeeb",
        ),
        z: "0faae9d29cbf9adc036d1c6398e654142536d9eabcfd4110ee02af7e641a624f",
    },
    // Made by a plain implementation of the group law in another language.
    Vector {
        curve: Curve::BnP638,
        scalar: "17def83a311041a23f37593eb6be8832d0998d7a69744d58c1c0d92048445c84f13f89670d07575b76ac731721eec46aed0d94235723a5882ac9872cd4793c7d582459ab9aa7be98d6fe4319b7c9ad6e",
        public: (
            "18fd2496dd3748d02f8d320d1b71b5dd90e22d5fe07f03853691a8734a09438dce01b90ba2c08feb4c4fca0416ebd18903d0d30f8cf637d6d12be0f2e1d0bb7af77e3c6d0369848b5fcbcf64d5b30951",
            "0e3220c609bfd9972295d063aa881565d6baae3de97f31b78165a8f9dab33aa1d40f11df30fcda1fd48c091e06cd9dfce92e922e3a57a3b3f9d223f9d7e7ea7afbe4c3661a9ef8b7e36c7e2c35e5e642",
        ),
        signatures: &[
            (
                HashAlg::Sha256,
                "10ce8311b7ea08e31310013e31dc67630485cb45717384a65739a0d5bc1e29bbf26b892cc61383b6bf6e8a37f6c96f152c71b33587dbeb840060f5dd57282eda8e99a27efbe69f8a5ac699330833153c",
                "23b4054285d6aa9f1f3d0f561156d9a90205b3e99f150ad6fa2a03acf1d14881b23a1269f0cb48902bae20ffa2e0a1155aea34d692478b36a12f00635566a72dd5cf4070f7c4ad31efecb2e6e3d2b98a",
            ),
            (
                HashAlg::Sha512,
                "10ce8311b7ea08e31310013e31dc67630485cb45717384a65739a0d5bc1e29bbf26b892cc61383b6bf6e8a37f6c96f152c71b33587dbeb840060f5dd57282eda8e99a27efbe69f8a5ac699330833153c",
                "004b7a0fbc6b677ccf3179b161c8d92cb47776b436f0d4c068f372f234fb1d2fe0c1e2568eaedb187c190ed9979a403aa9a45b6e0f34f6f32ee61e41863a058c56a5a0c3c821c958cb9ea64bd55ee5d4",
            ),
        ],
        peer: (
            "19fb931524f814571be48085d791609fac4fb46e8bcdd9ba1780e96bf85fe7e0fb1854e18ea2f9d3c0b246561a005a7396e4da801e4f816e5a31c1408270be8cbe0455b433aa4541bbececc889b8ba1d",
            "1370bbc50cc882ea1768e43072773717af6a3e1c88a88df7e101fdcd78c3bc63de1288fea458c966f52a90ce5d1c1abfcf5ad14d32632ccdfe9f5a451ccabbe47109ab8079f0bea6f10afe358ab38d91",
        ),
        z: "04f0a3bc455ee4da9663656d57a12f5dad51467e9f154459989d2b4cddeddb82b0137953b984af5ca59168ca2ed1e9e99e0b6c2c8a4eabf0a0a509aeb158f4caaac59987635e1a25929be96237aac4ab",
    },
    // GB/T 32918.5, A.2: the key pair; and the base point.
    Vector {
        curve: Curve::Sm2P256,
        scalar: "3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8",
        public: (
            "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020",
            "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13",
        ),
        signatures: &[],
        peer: (
            "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7",
            "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0",
        ),
        z: "09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020",
    },
];

#[test]
fn published_public_points() {
    for vector in VECTORS {
        let expected = point(vector.public.0, vector.public.1);
        assert_eq!(
            public(vector.curve, &hex(vector.scalar)).unwrap(),
            expected,
            "{:?}",
            vector.curve
        );
        assert!(on_curve(vector.curve, &expected.x, &expected.y));
    }
}

#[test]
fn published_signatures_verify() {
    for vector in VECTORS {
        let public = point(vector.public.0, vector.public.1);
        for (alg, r, s) in vector.signatures {
            let digest = hash(*alg, &[b"sample"]);
            ecdsa_verify(vector.curve, &public, &digest, &hex(r), &hex(s)).unwrap();
            let other = hash(*alg, &[b"simple"]);
            assert_eq!(
                ecdsa_verify(vector.curve, &public, &other, &hex(r), &hex(s)),
                Err(CryptoError::Signature),
                "{:?} {alg:?}",
                vector.curve
            );
        }
    }
}

#[test]
fn published_shared_secrets() {
    for vector in VECTORS {
        let peer = point(vector.peer.0, vector.peer.1);
        let z = multiply(vector.curve, &hex(vector.scalar), &peer).unwrap();
        assert_eq!(to_hex(&z.x), vector.z, "{:?}", vector.curve);
    }
}

#[test]
fn generated_keys_agree_and_sign() {
    let mut rng = rng();
    for curve in Curve::ALL.iter().copied() {
        let (a, a_public) = generate(curve, &mut rng);
        let (b, b_public) = generate(curve, &mut rng);
        assert_ne!(a, b);
        assert_eq!(
            (a.len(), a_public.x.len(), a_public.y.len()),
            (curve.size(), curve.size(), curve.size())
        );
        assert_eq!(public(curve, &a).unwrap(), a_public);
        let ab = multiply(curve, &a, &b_public).unwrap();
        assert_eq!(ab, multiply(curve, &b, &a_public).unwrap(), "{curve:?}");
        for alg in [HashAlg::Sha1, HashAlg::Sha512] {
            let digest = hash(alg, &[b"message"]);
            let (r, s) = ecdsa_sign(curve, &a, &digest, &mut rng).unwrap();
            ecdsa_verify(curve, &a_public, &digest, &r, &s).unwrap();
            let refused = Err(CryptoError::Signature);
            assert_eq!(ecdsa_verify(curve, &b_public, &digest, &r, &s), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &s, &r), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &[0], &s), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &r, &[]), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &[0xFF; 80], &s), refused);
        }
    }
}

#[test]
fn a_repeating_generator_does_not_repeat_a_signature_secret() {
    let (scalar, _) = generate(Curve::P256, &mut rng());
    let sign =
        |message: &[u8]| ecdsa_sign(Curve::P256, &scalar, &hash(HashAlg::Sha256, &[message]), &mut rng()).unwrap();
    assert_eq!(sign(b"one"), sign(b"one"));
    assert_ne!(sign(b"one").0, sign(b"two").0);
}

#[test]
fn numbers_out_of_range_are_refused() {
    for vector in VECTORS {
        let curve = vector.curve;
        let public_point = point(vector.public.0, vector.public.1);
        let order = with_curve!(curve, C => BoxedUint::from_be_slice_vartime(
            &<C as elliptic_curve::Curve>::ORDER.to_be_byte_array()
        ));
        let order = order.to_be_bytes();
        let order = &order[order.len() - curve.size()..];
        for scalar in [&[][..], &[0], order, &[0xFF; 80]] {
            assert_eq!(public(curve, scalar), Err(CryptoError::Value), "{curve:?}");
            assert_eq!(multiply(curve, scalar, &public_point), Err(CryptoError::Value));
            assert_eq!(ecdsa_sign(curve, scalar, &[1; 32], &mut rng()), Err(CryptoError::Value));
        }
        let mut last = order.to_vec();
        *last.last_mut().unwrap() -= 1;
        // -G has G's x.
        assert_eq!(public(curve, &last).unwrap().x, public(curve, &[1]).unwrap().x);

        let mut wrong = public_point.clone();
        wrong.y[0] ^= 1;
        let swapped = Point {
            x: public_point.y.clone(),
            y: public_point.x.clone(),
        };
        let zero = Point {
            x: Coordinate::EMPTY,
            y: Coordinate::EMPTY,
        };
        let long = Point {
            x: Coordinate::new(&[&[0; 1], &*public_point.x].concat()).unwrap_or_default(),
            y: public_point.y.clone(),
        };
        for point in [wrong, swapped, zero, long] {
            assert!(!on_curve(curve, &point.x, &point.y), "{curve:?} {point:?}");
            assert_eq!(multiply(curve, &[1], &point), Err(CryptoError::Point));
            assert_eq!(
                ecdsa_verify(curve, &point, &[1; 32], &[1], &[1]),
                Err(CryptoError::Point)
            );
        }
    }
}

/// A failure here means that every ECC primary key of every TPM becomes another one. The vectors were made by another
/// program, from the definition.
#[test]
fn a_stream_yields_the_same_scalar_for_ever() {
    for (curve, expected) in [
        (
            Curve::P192,
            "958ee27023665e3ff6f0a5414fccd44e1e710c9dc9b5de910bbce275bb1e002f",
        ),
        (
            Curve::P224,
            "8466482e1eba9d41baccd97bba6874645810e91769a10b6ee922937e1bdb601c",
        ),
        (
            Curve::P256,
            "8608d073a9da873b8ead5473a8a8b84a593e58214bcddb54887752482372cc5a",
        ),
        (
            Curve::P384,
            "2a1b8523da12efa1ad2d62b6b8df9709f38788b0107510032c8b788b58677ac4",
        ),
        (
            Curve::P521,
            "c5c70f312904bd63ff6b29dab7004779a83da70611717be1512b032d57132618",
        ),
        (
            Curve::BnP256,
            "ec39024ed24ccaa608dbab2a28750370cf547d67ac2eab5d2bd957755b7697d1",
        ),
        (
            Curve::BnP638,
            "fca0d76a596465d2345d99dd7989f163aabfab9d66e9e09b6aa52d7cb6572204",
        ),
        (
            Curve::Sm2P256,
            "13cea8cf2c0222cc2ca3477e45fac5f5ecf95b43a2ff22d5e54db1de6b11f830",
        ),
    ] {
        let mut stream = HmacDrbg::new(b"seed of a primary key", b"its template", b"derivation 1");
        let (scalar, _) = generate(curve, &mut stream);
        assert_eq!(
            to_hex(&hash(HashAlg::Sha256, &[&scalar])),
            expected,
            "derivation 1 gave another {curve:?} key: guests would lose every disk key, credential and blob that is \
             sealed under a primary key derived from a seed. Do not change the vector: restore the derivation, or add a \
             new one with a new number and keep this one for the TPMs that have it"
        );
    }
}

#[test]
fn a_key_pair_from_bytes_is_the_one_from_a_stream_of_them() {
    for curve in [Curve::P256, Curve::P384] {
        let stream = HmacDrbg::new(&[7; 48], &[], &[]);
        let mut wide = vec![0; wide_size(curve)];
        stream.clone().generate(&[], &mut wide);
        let (scalar, point) = from_wide(curve, &wide).unwrap();
        let (expected_scalar, expected_point) = generate(curve, &mut stream.clone());
        assert_eq!((&*scalar, point), (&*expected_scalar, expected_point));
        assert!(from_wide(curve, &wide[1..]).is_none());
    }
}
