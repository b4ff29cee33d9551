//! What is wanted of a command beside libtpms.

/// What a command is measured against, and under which heading it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Target {
    pub(crate) heading: &'static str,
    /// How many times faster than libtpms by the median: ours, and with AWS-LC.
    pub(crate) faster: Option<[f64; 2]>,
    /// Milliseconds that the median stays below.
    pub(crate) median_ms: Option<f64>,
    /// Milliseconds that the 99th percentile stays below: where the processor has AVX-512 IFMA, and where not.
    pub(crate) p99_ms: Option<[f64; 2]>,
}

const fn faster(heading: &'static str, ours: f64, aws_lc: f64) -> Target {
    Target {
        heading,
        faster: Some([ours, aws_lc]),
        median_ms: None,
        p99_ms: None,
    }
}

const CURVES: &str = "Elliptic curves";
const RSA: &str = "RSA";

pub(crate) const CHEAP: Target = faster("Cheap commands", 1.0, 1.0);
/// Of SHA-384 and SHA-512 nearly alone, which take the crate 1.4 times as long as OpenSSL.
pub(crate) const BANKS: Target = faster("Hashing in every bank", 0.7, 0.7);
pub(crate) const CURVE: Target = faster(CURVES, 1.0, 1.0);
pub(crate) const CURVE_KEY: Target = faster(CURVES, 4.0, 10.0);
pub(crate) const RSA_PUBLIC: Target = faster(RSA, 1.0, 1.0);
pub(crate) const RSA_PRIVATE: Target = faster(RSA, 1.3, 7.0);
pub(crate) const RSA_CREATE: Target = faster(RSA, 10.0, 10.0);
pub(crate) const RSA_POOL: Target = faster(RSA, 50.0, 50.0);
pub(crate) const RSA_2048: Target = Target {
    p99_ms: Some([40.0, 130.0]),
    ..faster(RSA, 3.0, 3.0)
};
pub(crate) const RSA_3072: Target = Target {
    p99_ms: Some([130.0, 130.0]),
    ..faster(RSA, 1.0, 1.0)
};
pub(crate) const RSA_KEPT: Target = Target {
    median_ms: Some(1.0),
    ..faster(RSA, 1.0, 1.0)
};
pub(crate) const SELF_TEST: Target = Target {
    median_ms: Some(20.0),
    ..faster("Self-test", 1.0, 1.0)
};

/// Whether the processor has what the limits of the 99th percentile go by.
pub(crate) fn has_ifma() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512ifma");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
