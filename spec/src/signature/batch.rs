//! Many signatures at once.

use super::VerifyKey;

/// One signature to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The key that is said to have signed.
    pub key: &'a VerifyKey,
    /// What it is said to have signed.
    pub message: &'a [u8],
    /// The signature.
    pub signature: &'a [u8; 64],
}

/// The verdict on each claim, in order: exactly what [`VerifyKey::verify`] says of it alone.
///
/// The textbook batch (a random combination of all equations) is not used. It accepts some signatures whose `R` has a
/// component of small order, which strict verification refuses; to exclude those, every `R` must be shown to lie in the
/// prime-order subgroup, and that costs as much as checking the signature. A test below holds such a signature.
pub fn verify_all(claims: &[Claim<'_>]) -> Vec<bool> {
    claims.iter().map(|claim| claim.key.verify(claim.message, claim.signature)).collect()
}
