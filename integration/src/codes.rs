//! Numbers of the specification's Part 2.

macro_rules! constants {
    ($($(#[$doc:meta])* $module:ident: $type:ty { $($name:ident = $value:expr),+ $(,)? })+) => {$(
        $(#[$doc])*
        pub mod $module {$(
            #[doc = concat!("`", stringify!($name), "`")]
            pub const $name: $type = $value;
        )+}
    )+};
}

constants! {
    /// TPM_ALG_ID: algorithms.
    alg: u16 {
        RSA = 0x1, TDES = 0x3, SHA1 = 0x4, HMAC = 0x5, AES = 0x6, MGF1 = 0x7, KEYEDHASH = 0x8, XOR = 0xA, SHA256 = 0xB,
        SHA384 = 0xC, SHA512 = 0xD, NULL = 0x10, SM4 = 0x13, RSASSA = 0x14, RSAES = 0x15, RSAPSS = 0x16, OAEP = 0x17,
        ECDSA = 0x18, ECDH = 0x19, ECDAA = 0x1A, SM2 = 0x1B, ECSCHNORR = 0x1C, ECMQV = 0x1D, KDF1_56A = 0x20,
        KDF2 = 0x21, KDF1_108 = 0x22, ECC = 0x23, SYMCIPHER = 0x25, CAMELLIA = 0x26, CMAC = 0x3F, CTR = 0x40,
        OFB = 0x41, CBC = 0x42, CFB = 0x43, ECB = 0x44,
    }
    /// TPM_ECC_CURVE: curves.
    curve: u16 { P192 = 1, P224 = 2, P256 = 3, P384 = 4, P521 = 5, BN256 = 0x10, BN638 = 0x11, SM2_P256 = 0x20 }
    /// TPM_ST: structure tags.
    st: u16 {
        RSP_COMMAND = 0xC4, NO_SESSIONS = 0x8001, SESSIONS = 0x8002, ATTEST_NV = 0x8014, ATTEST_COMMAND_AUDIT = 0x8015,
        ATTEST_SESSION_AUDIT = 0x8016, ATTEST_CERTIFY = 0x8017, ATTEST_QUOTE = 0x8018, ATTEST_TIME = 0x8019,
        ATTEST_CREATION = 0x801A, ATTEST_NV_DIGEST = 0x801C, CREATION = 0x8021, VERIFIED = 0x8022,
        AUTH_SECRET = 0x8023, HASHCHECK = 0x8024, AUTH_SIGNED = 0x8025,
    }
    /// TPM_RH and TPM_RS: permanent handles.
    rh: u32 {
        OWNER = 0x4000_0001, NULL = 0x4000_0007, PW = 0x4000_0009, LOCKOUT = 0x4000_000A, ENDORSEMENT = 0x4000_000B,
        PLATFORM = 0x4000_000C, PLATFORM_NV = 0x4000_000D,
    }
    /// TPM_SE: session types.
    se: u8 { HMAC = 0, POLICY = 1, TRIAL = 3 }
    /// TPMA_SESSION: session attributes.
    sa: u8 {
        CONTINUE = 0x01, AUDIT_EXCLUSIVE = 0x02, AUDIT_RESET = 0x04, DECRYPT = 0x20, ENCRYPT = 0x40, AUDIT = 0x80,
    }
    /// TPMA_OBJECT: object attributes.
    oa: u32 {
        FIXED_TPM = 1 << 1, ST_CLEAR = 1 << 2, FIXED_PARENT = 1 << 4, SENSITIVE_DATA_ORIGIN = 1 << 5,
        USER_WITH_AUTH = 1 << 6, ADMIN_WITH_POLICY = 1 << 7, NO_DA = 1 << 10, ENCRYPTED_DUPLICATION = 1 << 11,
        RESTRICTED = 1 << 16, DECRYPT = 1 << 17, SIGN = 1 << 18, X509_SIGN = 1 << 19,
    }
    /// TPMA_NV: attributes of NV indices.
    na: u32 {
        PPWRITE = 1 << 0, OWNERWRITE = 1 << 1, AUTHWRITE = 1 << 2, POLICYWRITE = 1 << 3, COUNTER = 1 << 4,
        BITS = 2 << 4, EXTEND = 4 << 4, PIN_FAIL = 8 << 4, PIN_PASS = 9 << 4, POLICY_DELETE = 1 << 10,
        WRITELOCKED = 1 << 11, WRITEALL = 1 << 12, WRITEDEFINE = 1 << 13, WRITE_STCLEAR = 1 << 14,
        GLOBALLOCK = 1 << 15, PPREAD = 1 << 16, OWNERREAD = 1 << 17, AUTHREAD = 1 << 18, POLICYREAD = 1 << 19,
        NO_DA = 1 << 25, ORDERLY = 1 << 26, CLEAR_STCLEAR = 1 << 27, READLOCKED = 1 << 28, WRITTEN = 1 << 29,
        PLATFORMCREATE = 1 << 30, READ_STCLEAR = 1 << 31,
    }
    /// TPM_RC that the client itself must know.
    rc: u32 { SUCCESS = 0, FAILURE = 0x101, NV_UNINITIALIZED = 0x14A, HANDLE_1 = 0x18B, CANCELED = 0x909, RETRY = 0x922 }
    /// TPM_CAP: capabilities.
    cap: u32 {
        ALGS = 0, HANDLES = 1, COMMANDS = 2, PP_COMMANDS = 3, AUDIT_COMMANDS = 4, PCRS = 5, TPM_PROPERTIES = 6,
        PCR_PROPERTIES = 7, ECC_CURVES = 8, AUTH_POLICIES = 9, ACT = 10,
    }
    /// TPM_EO: comparisons.
    eo: u16 {
        EQ = 0, NEQ = 1, SIGNED_GT = 2, UNSIGNED_GT = 3, SIGNED_LT = 4, UNSIGNED_LT = 5, SIGNED_GE = 6,
        UNSIGNED_GE = 7, SIGNED_LE = 8, UNSIGNED_LE = 9, BITSET = 0xA, BITCLEAR = 0xB,
    }
}
